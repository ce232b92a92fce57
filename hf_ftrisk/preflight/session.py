"""One pre-flight from the first fact to the report: what to probe next, and when to stop. No torch.

Decisions are taken on rank 0, from its own clock and from records that are equal on all ranks, and
sent to the others; so every rank trains the same steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from hf_ftrisk.policy.verdict import Diagnosis
from hf_ftrisk.preflight.cost import Ledger
from hf_ftrisk.preflight.evidence import Evidence, known_baseline, weigh, with_baseline
from hf_ftrisk.preflight.options import Options
from hf_ftrisk.preflight.plan import Plan, allowed_steps, make_plan
from hf_ftrisk.preflight.workload import EvaluationTooSlowError, Facts, Meter, Probe, Workload
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import RiskReport

T = TypeVar("T")

# A deeper look has to be at least this much deeper than the last one to be worth its evaluation.
_LEAST_DEEPENING = 4 / 3


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
        self.allowed = allowed_steps(options.budget, self.facts.max_steps)
        self.plan: Plan | None = None
        self.probed: list[Probed] = []
        self.untrained: Mapping[str, float] = {}
        self.signals: dict[str, float] = {}
        self.faults: tuple[Diagnosis, ...] = ()
        self.evidence = Evidence()
        self.notes: list[str] = list(self.facts.notes)
        self._evaluates = self.facts.eval is not None
        self.eval_rows: int | None = None

    @property
    def snapshot_bytes(self) -> int | None:
        """Memory that the snapshot of the user's weights took."""
        return self._workload.snapshot_bytes

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.perf_counter() - self._start

    def ledger(self) -> Ledger:
        """The account so far, as rank 0 measured it."""
        meters = [item.probe.meter for item in self.probed]
        first = tuple(m.step_seconds[0] for m in meters if m.step_seconds)
        account = Ledger(self.allowed, sum(meters, Meter()), first)
        return self._on_main(lambda: account)

    def _on_main(self, compute: Callable[[], T]) -> T:
        """What rank 0 computes, on every rank."""
        value: Any = compute() if self._ranks.is_main else None
        shared: T = self._ranks.from_main(value)
        return shared

    # --- stages ---------------------------------------------------------------------------------

    def run(self) -> RiskReport:
        """All stages, to the report."""
        from hf_ftrisk.preflight.conclude import conclude

        self.faults, self.signals = self._workload.static(self.options.signal_seconds)
        if not any(fault.severity == "fatal" for fault in self.faults):
            self._plan()
            self._probe()
        ledger = self.ledger()
        return self._on_main(lambda: conclude(self, ledger))

    def _plan(self) -> None:
        facts, options = self.facts, self.options
        self.plan = plan = make_plan(
            self.allowed,
            max_steps=facts.max_steps,
            seeds=options.seeds,
            rows_per_step=facts.rows_per_step,
            eval_size=facts.eval,
            most_rows=options.eval_samples,
            depths=options.depths,
        )
        self.notes += plan.notes
        if not self._evaluates:
            self.notes.append("No evaluation set: no forecast, only cost and certain failures.")
        self._set_rows(plan.eval_rows)

    def _set_rows(self, rows: int | None) -> None:
        self.eval_rows = rows
        self._workload.set_eval_rows(rows)

    def _probe(self) -> None:
        assert self.plan is not None
        if not self.plan.depths:
            self.notes.append("The budget does not reach one probe with one evaluation.")
            return
        target: int | None = self.plan.depths[0]
        seeds = self.plan.seeds
        while target is not None:
            seeds = self._level(target, seeds)
            self.evidence = self._weigh()
            target = self._next(target, seeds)

    def _level(self, target: int, seeds: int) -> int:
        """Take every probe to depth `target`; the number of probes that the budget carries on."""
        for index in range(seeds):
            if index == len(self.probed):
                if index == 1:
                    self._look_untrained(seeds, target)
                    seeds = self._affordable_seeds(seeds, target)
                    if index >= seeds:
                        break
                self.probed.append(Probed(self._workload.open(index), {}))
            item = self.probed[index]
            if item.probe.diverged:
                continue
            self._workload.activate(item.probe)
            item.probe.advance(target)
            self._progress(self.ledger().spent)
            if not item.probe.diverged:
                self._look(item)
            self._progress(self.ledger().spent)
        if seeds == 1 and not self.untrained and len(self.probed) == 1:
            self._look_untrained(1, 0)
        return seeds

    def _affordable_seeds(self, seeds: int, target: int) -> int:
        ledger = self.ledger()
        each = target + (ledger.eval_steps or 0.0 if self._evaluates else 0.0)
        kept = max(1, min(seeds, 1 + int(ledger.left // each)))
        if kept < seeds:
            self.notes.append(
                f"{kept} of {seeds} seeds probed: one probe to step {target} costs {each:.1f} "
                f"steps with its evaluation, {ledger.left:.1f} were left."
            )
        return kept

    def _look(self, item: Probed) -> None:
        """Evaluate a probe where it stands, if the budget allows."""
        if not self._evaluates:
            return
        metrics = self._evaluate(item.probe)
        if metrics is None:
            return
        self._check_metric(metrics)
        item.evals[item.probe.step] = metrics

    def _evaluate(self, probe: Probe) -> Mapping[str, float] | None:
        ledger = self.ledger()
        seconds = ledger.step_seconds or 0.0
        known = ledger.eval_steps
        if known is not None and known > ledger.left:
            self.notes.append(
                f"Probe {probe.seed} not evaluated at step {probe.step}: an evaluation costs "
                f"{known:.1f} steps, {ledger.left:.1f} were left."
            )
            return None
        share = ledger.left if known is not None else self._first_share(ledger)
        try:
            return probe.evaluate(limit=share * seconds)
        except EvaluationTooSlowError as slow:
            return self._evaluate_fewer(probe, slow.per_batch, share * seconds)

    def _first_share(self, ledger: Ledger) -> float:
        """Steps' worth that the first evaluation, of unknown cost, may take."""
        assert self.plan is not None
        looks = len(self.plan.depths) + 1
        return max(0.0, ledger.left) / (looks * self.plan.seeds)

    def _evaluate_fewer(
        self, probe: Probe, per_batch: float, seconds: float
    ) -> Mapping[str, float] | None:
        """Evaluate on as many batches as `seconds` hold; on none, and never again, if on none."""
        assert self.facts.eval is not None
        batch = self.facts.eval.batch
        rows = int(seconds / per_batch) * batch
        ledger = self.ledger()
        left = ledger.left * (ledger.step_seconds or 0.0)
        if rows == 0 and per_batch > left:
            self._evaluates = False
            self.notes.append(
                f"No evaluation: one batch takes {per_batch:.3g} s, as much as the rest of the "
                "budget. Give a larger budget or a smaller evaluation batch."
            )
            return None
        rows = max(batch, rows)
        self.notes.append(
            f"Evaluated on {rows} rows, not {self.eval_rows or 'all'}: one batch of {batch} "
            f"takes {per_batch:.3g} s."
        )
        self._set_rows(rows)
        return probe.evaluate()

    def _look_untrained(self, seeds: int, target: int) -> None:
        """Evaluate the model as it is, if that leaves the budget for the other probes."""
        ledger = self.ledger()
        cost = ledger.eval_steps
        if not self._evaluates or cost is None:
            return
        if cost > ledger.left - (seeds - 1) * (target + cost):
            self.notes.append(
                "The untrained model was not evaluated: the budget is spent on steps."
            )
            return
        item = self.probed[0]
        self.untrained = self._workload.evaluate_untrained(item.probe)
        item.evals[0] = self.untrained

    def _check_metric(self, metrics: Mapping[str, float]) -> None:
        metric = self.options.goal.metric
        if metric not in metrics:
            have = sorted(name for name in metrics if name.startswith("eval_"))
            raise ValueError(
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
        return known_baseline(goal, self.facts, self.untrained.get(goal.metric))

    def _weigh(self) -> Evidence:
        records = self.records()
        ledger = self.ledger()
        return self._on_main(
            lambda: weigh(
                records,
                self.options.goal,
                self.facts,
                history=self.options.history,
                baseline=self.baseline(),
                money=self._money(ledger),
            )
        )

    def _money(self, ledger: Ledger) -> dict[str, float]:
        """The price of probing in money, where the user gave one."""
        prices, value = self.options.prices, self.options.run_value
        if value is None or prices.per_hour is None or ledger.step_seconds is None:
            return {}
        return {
            "price_per_hour": prices.per_hour,
            "seconds_per_step": ledger.step_seconds,
            "value": value,
        }

    def _next(self, depth: int, seeds: int) -> int | None:
        """The next depth, None when deeper does not pay or cannot be paid."""
        assert self.plan is not None
        alive = [item for item in self.probed[:seeds] if not item.probe.diverged]
        best = self.evidence.optimal_depth
        if not alive or (best is not None and depth >= best):
            return None
        ledger = self.ledger()
        look = (ledger.eval_steps or 0.0) if self._evaluates else 0.0
        extra = int(ledger.left / len(alive) - look)
        if self.options.depths is not None:
            wanted = _after(depth, self.plan.depths)
            return wanted if wanted is not None and wanted - depth <= extra else None
        limit = min(depth + extra, self.facts.max_steps)
        if limit < max(depth + 1, _LEAST_DEEPENING * depth):
            return None
        return min(2 * depth, limit)


def _after(depth: int, depths: Sequence[int]) -> int | None:
    """The first of increasing `depths` that lies beyond `depth`."""
    return next((other for other in depths if other > depth), None)
