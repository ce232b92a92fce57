"""One pre-flight from the first fact to the report: what to probe next, and when to stop. No torch.

Decisions are taken from times that rank 0 measured and shared, and from records that are equal on
all ranks; so every rank trains the same steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from hf_ftrisk.policy.verdict import Diagnosis
from hf_ftrisk.preflight.cost import Account
from hf_ftrisk.preflight.errors import PreflightArgumentError
from hf_ftrisk.preflight.evidence import Evidence, known_baseline, weigh, with_baseline
from hf_ftrisk.preflight.options import Options
from hf_ftrisk.preflight.plan import (
    FORWARD_SHARE,
    EvalSize,
    Plan,
    allowed_steps,
    check_depths,
    make_plan,
)
from hf_ftrisk.preflight.workload import Evaluation, Facts, Meter, Probe, Workload
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import RiskReport

T = TypeVar("T")

# A deeper look has to be at least this much deeper than the last one to be worth its evaluation.
_LEAST_DEEPENING = 4 / 3
# Planned evaluations are taken to cost this much more than measured: clocks are noisy.
_NOISE = 1.15
# Steps that tell what a step costs, before the rest is planned: the first is slow.
_TIMED_STEPS = 2
# Static signals may take this share of the time that the budget is worth.
_SIGNAL_SHARE = 0.25
# Reading each of two sets and running the model on them are bounded one by one.
_SIGNAL_PARTS = 3


class Ranks(Protocol):
    """The processes that train together."""

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0."""

    def from_main(self, value: Any) -> Any:
        """Rank 0's value on every rank."""


@dataclass
class Probed:
    """A probe and what its evaluations said, step -> metrics."""

    probe: Probe
    evals: dict[int, Mapping[str, float]]


class Session:
    """Runs the stages of one pre-flight.

    Args:
        workload: what is probed.
        ranks: the processes in lockstep.
        options: what was asked for.
        progress: called with the number of steps' worth spent so far.

    Raises:
        ValueError: no evaluation set, a budget of less than a step, or depths that are no steps
            of this run.
    """

    def __init__(
        self,
        workload: Workload,
        ranks: Ranks,
        options: Options,
        progress: Callable[[float], None] = lambda spent: None,
    ) -> None:
        self._workload = workload
        self._ranks = ranks
        self.options = options
        self._progress = progress
        self._start = time.perf_counter()
        self.facts: Facts = workload.facts()
        if self.facts.eval is None:
            raise ValueError(
                f"the goal {options.goal} is measured on an evaluation set, and there is none: "
                "pass eval_dataset=... to the Trainer"
            )
        self._size: EvalSize = self.facts.eval
        self.account = Account(allowed_steps(options.budget, self.facts.max_steps))
        if options.depths is not None:
            check_depths(options.depths, self.facts.max_steps)
        self.plan: Plan | None = None
        self.probed: list[Probed] = []
        self.untrained: Mapping[str, float] = {}
        self.signals: dict[str, float] = {}
        self.signal_seconds = 0.0
        self.faults: tuple[Diagnosis, ...] = ()
        self.evidence = Evidence()
        self.notes: list[str] = list(self.facts.notes)
        self.eval_rows: int | None = None
        self._looked = False
        # Metrics and rows of the evaluation that was done to see whether evaluating works.
        self._rehearsed: Evaluation | None = None

    @property
    def snapshot_bytes(self) -> int | None:
        """Memory that the snapshot of the user's weights took."""
        return self._workload.snapshot_bytes

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.perf_counter() - self._start

    @property
    def meter(self) -> Meter:
        """What was measured on all probes."""
        return sum((item.probe.meter for item in self.probed), Meter())

    def _on_main(self, compute: Callable[[], T]) -> T:
        """What rank 0 computes, on every rank."""
        value: Any = compute() if self._ranks.is_main else None
        shared: T = self._ranks.from_main(value)
        return shared

    # --- stages ---------------------------------------------------------------------------------

    def run(self) -> RiskReport:
        """All stages, to the report."""
        from hf_ftrisk.preflight.conclude import conclude

        self.faults = self._workload.faults()
        if not any(fault.severity == "fatal" for fault in self.faults):
            self._open()
            self._rehearse()
            self._signals()
            self._probe()
        return self._on_main(lambda: conclude(self))

    def _open(self) -> Probed:
        item = Probed(self._workload.open(len(self.probed)), {})
        self.probed.append(item)
        return item

    def _rehearse(self) -> None:
        """One small evaluation before any step: a goal without its metric is found here.

        Left out where the budget reaches one evaluation only: that one comes after a step.
        """
        if self.account.allowed < 1 + 2 * self._guessed_look():
            return
        self._set_rows(self._size.least_rows)
        # Of a set without a length one batch is taken.
        limit = 0.0 if self._size.rows is None else None
        evaluation = self._workload.evaluate_untrained(self.probed[0].probe, limit)
        self._rehearsed = self._post(evaluation)
        self._check_metric(evaluation.metrics)

    def _signals(self) -> None:
        """Static signals, in a time that is in proportion to the budget."""
        wanted = self.options.signal_seconds
        worth = self._guessed_step_seconds()
        if worth is not None:
            wanted = min(wanted, max(1.0, _SIGNAL_SHARE * self.account.allowed * worth))
        if wanted == 0:
            return
        start = time.perf_counter()
        # Every rank has the same limit, for it comes from rank 0's clock.
        self.signals = self._workload.signals(wanted / _SIGNAL_PARTS)
        self.signal_seconds = time.perf_counter() - start

    def _probe(self) -> None:
        if self.account.allowed < 1 + self._guessed_look():
            self._no_room()
            return
        self._time_a_step()
        self._make_plan()
        assert self.plan is not None
        if not self.plan.depths:
            self._no_room()
            return
        target: int | None = self.plan.depths[0]
        seeds = self.plan.seeds
        while target is not None:
            seeds = self._level(target, seeds)
            self.evidence = self._weigh()
            target = self._next(target, seeds)

    def _no_room(self) -> None:
        need = 1 + (self._least_look() or self._guessed_look())
        share = need / self.facts.max_steps
        self.notes.append(
            f"The budget of {self.account.allowed:.3g} steps does not reach one step with one "
            f"evaluation: give budget={min(1.0, share):.2g} or more."
        )

    # --- what things cost -----------------------------------------------------------------------

    def _most_rows(self) -> int | None:
        """Rows of the evaluation sample at most; None: a set of unknown length, all of it."""
        total, most = self._size.rows, self.options.eval_samples
        return most if total is None else total if most is None else min(total, most)

    def _guessed_look(self) -> float:
        """Cost of the smallest evaluation before anything was timed, steps."""
        rows = self._size.least_rows
        return rows / (self.facts.rows_per_step or rows) * FORWARD_SHARE

    def _guessed_step_seconds(self) -> float | None:
        """Time of a step, judged by that of the first evaluation."""
        if self._rehearsed is None:
            return None
        return self._rehearsed.seconds / self._guessed_look()

    def _least_look(self) -> float | None:
        """Measured cost of the smallest evaluation, steps; None before it was measured."""
        step = self.account.step_seconds
        if self._rehearsed is None or step is None:
            return None
        return self._rehearsed.seconds / step * _NOISE

    def _look_cost(self) -> float:
        """What the next evaluation is expected to cost, steps."""
        assert self.plan is not None
        last = self.account.last_eval_cost
        return last * _NOISE if self._looked and last is not None else self.plan.look_cost

    def _post(self, evaluation: Evaluation) -> Evaluation:
        """Enter an evaluation as rank 0 timed it."""
        seconds, rows = self._ranks.from_main((evaluation.seconds, evaluation.rows))
        self.account.post_evaluation(seconds, rows)
        self._progress(self.account.spent)
        return replace(evaluation, seconds=seconds, rows=rows)

    # --- probing --------------------------------------------------------------------------------

    def _time_a_step(self) -> None:
        """The first steps of the first probe, as many as leave room for an evaluation."""
        wanted = min(_TIMED_STEPS, self.facts.max_steps, *(self.options.depths or ()))
        for target in range(1, wanted + 1):
            # Only the first step is taken on a guess: it prices what was evaluated before.
            look = self._least_look() or self._guessed_look()
            if target > 1 and not self._affords(1 + look):
                return
            self._advance(self.probed[0], target)

    def _make_plan(self) -> None:
        item, account = self.probed[0], self.account
        least = self._least_look()
        if least is None:
            least = self._guessed_look()
        rows = self._most_rows()
        most = least * rows / self._size.least_rows if rows is not None else float("inf")
        plan = make_plan(
            account.left + account.steps,
            max_steps=self.facts.max_steps,
            seeds=self.options.seeds,
            least_look=least,
            most_look=most,
            depths=self.options.depths,
        )
        depths = plan.depths
        if not depths and account.left >= least / _NOISE:
            depths = (item.probe.step,)
        depths = tuple(sorted({max(depth, item.probe.step) for depth in depths}))
        self.plan = replace(plan, depths=depths)
        self.notes += plan.notes
        self._set_rows(rows)

    def _set_rows(self, rows: int | None) -> None:
        self.eval_rows = rows
        self._workload.set_eval_rows(rows)

    def _advance(self, item: Probed, target: int) -> None:
        before = len(item.probe.meter.step_seconds)
        item.probe.advance(target)
        seconds = self._ranks.from_main(item.probe.meter.step_seconds[before:])
        self.account.post_steps(seconds, opening=before == 0)
        self._progress(self.account.spent)

    def _level(self, target: int, seeds: int) -> int:
        """Take every probe to depth `target`; the number of probes that the budget carries on."""
        for index in range(seeds):
            if index == len(self.probed):
                if not self._affords(target + self._look_cost()):
                    self._tell_fewer(index, seeds, target)
                    return index
                self._open()
            item = self.probed[index]
            if item.probe.diverged:
                continue
            if not self._affords(target - item.probe.step + self._look_cost()) and index > 0:
                return index
            self._workload.activate(item.probe)
            self._advance(item, target)
            if not item.probe.diverged:
                self._look(item)
            if index == 0 and not self.untrained:
                self._look_untrained(seeds - 1, target)
        return seeds

    def _affords(self, cost: float) -> bool:
        return cost <= self.account.left

    def _tell_fewer(self, kept: int, seeds: int, target: int) -> None:
        self.notes.append(
            f"{kept} of {seeds} seeds probed: one probe to step {target} costs "
            f"{target + self._look_cost():.1f} steps with its evaluation, "
            f"{max(0.0, self.account.left):.1f} were left."
        )

    def _look(self, item: Probed) -> None:
        """Evaluate a probe where it stands, within what is left."""
        left = self.account.left
        # Before the first look only the smallest one's cost is known, and it fixes the rows.
        least = (self._look_cost() if self._looked else self._least_look() or 0.0) / _NOISE
        if left < least:
            self.notes.append(
                f"Probe {item.probe.seed} not evaluated at step {item.probe.step}: an evaluation "
                f"costs {least:.1f} steps, {max(0.0, left):.1f} were left."
            )
            return
        limit = min(left, 2 * least) if self._looked else min(left, max(least, self._look_cost()))
        if not self._looked:
            self._fit_rows(limit / least if least else float("inf"))
        seconds = limit * (self.account.step_seconds or 0.0)
        evaluation = self._post(item.probe.evaluate(seconds))
        self._check_metric(evaluation.metrics)
        item.evals[item.probe.step] = evaluation.metrics
        if evaluation.rows is not None and evaluation.rows != self.eval_rows:
            if self._looked:
                self.notes.append(
                    f"Evaluated on {evaluation.rows} rows from step {item.probe.step} on, before "
                    f"on {self.eval_rows}: evaluating has become slower."
                )
            self._set_rows(evaluation.rows)
        self._looked = True

    def _fit_rows(self, ratio: float) -> None:
        """Fewer rows than a batch, if the time is too short for a batch.

        Args:
            ratio: time there is over that of the smallest evaluation.
        """
        size = self._size
        if ratio * size.least_rows < size.batch:
            self._set_rows(max(size.least_rows, int(ratio * size.least_rows)))

    def _look_untrained(self, others: int, target: int) -> None:
        """Evaluate the model as it is, if that leaves the budget for the other probes."""
        if not self._looked:
            return
        item = self.probed[0]
        if self._rehearsed is not None and self._rehearsed.rows == self.eval_rows:
            self.untrained = item.evals[0] = self._rehearsed.metrics
            return
        cost = self._look_cost()
        if not self._affords(cost + others * (target + cost)):
            self.notes.append(
                "The untrained model was not evaluated on the whole sample: the budget went into "
                "steps."
            )
            return
        limit = 2 * cost * (self.account.step_seconds or 0.0)
        evaluation = self._post(self._workload.evaluate_untrained(item.probe, limit))
        self.untrained = item.evals[0] = evaluation.metrics

    def _check_metric(self, metrics: Mapping[str, float]) -> None:
        metric = self.options.goal.metric
        if metric not in metrics:
            timed = ("_runtime", "_per_second", "_preparation_time")
            have = sorted(m for m in metrics if m.startswith("eval_") and not m.endswith(timed))
            raise PreflightArgumentError(
                f"the evaluation gives no {metric!r}; it gives {', '.join(have) or 'nothing'}. "
                "Check compute_metrics, or choose a goal among these."
            )

    # --- what to do next ------------------------------------------------------------------------

    def records(self) -> tuple[RunRecord, ...]:
        """Trajectories of the probes, with the trivial baseline in them."""
        baseline = self.baseline()
        shared = self._workload.same_start
        records = []
        for item in self.probed:
            evals = dict(item.evals)
            if shared and self.untrained:
                evals.setdefault(0, self.untrained)
            record = item.probe.record(evals)
            record = replace(record, static={**record.static, **self.signals})
            records.append(with_baseline(record, self.options.goal, baseline))
        return tuple(records)

    def baseline(self) -> float | None:
        """Trivial baseline of the goal's metric."""
        goal = self.options.goal
        # Without a look at the whole sample, the small one is the best guess.
        rough = self._rehearsed.metrics if self._rehearsed is not None else {}
        untrained = self.untrained or rough
        return known_baseline(goal, self.facts, untrained.get(goal.metric))

    def _weigh(self) -> Evidence:
        records = self.records()
        return self._on_main(
            lambda: weigh(
                records,
                self.options.goal,
                self.facts,
                history=self.options.history,
                baseline=self.baseline(),
                money=self._money(),
            )
        )

    def _money(self) -> dict[str, float]:
        """The price of probing in money, where the user gave one."""
        prices, value = self.options.prices, self.options.run_value
        seconds = self.account.step_seconds
        if value is None or prices.per_hour is None or seconds is None:
            return {}
        return {
            "price_per_hour": prices.per_hour,
            "seconds_per_step": seconds,
            "value": value,
        }

    def _next(self, depth: int, seeds: int) -> int | None:
        """The next depth, None when deeper does not pay or cannot be paid."""
        assert self.plan is not None
        alive = [item for item in self.probed[:seeds] if not item.probe.diverged]
        best = self.evidence.optimal_depth
        if not alive or (best is not None and depth >= best):
            return None
        # The looks of all probes that go on, and as many steps as are left for each.
        extra = int(self.account.left / len(alive) - self._look_cost())
        planned = _after(depth, self.plan.depths)
        if self.options.depths is not None:
            return planned if planned is not None and planned - depth <= extra else None
        limit = min(depth + extra, self.facts.max_steps)
        if limit < max(depth + 1, _LEAST_DEEPENING * depth):
            return None
        return min(planned or 2 * depth, limit)


def _after(depth: int, depths: Sequence[int]) -> int | None:
    """The first of increasing `depths` that lies beyond `depth`."""
    return next((other for other in depths if other > depth), None)
