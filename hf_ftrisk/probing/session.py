"""One pre-flight from the first fact to the last probe: what to probe next, and when to stop.

Decisions are taken from times that rank 0 measured and shared, and from records that are equal on
all ranks; so every rank trains the same steps. No torch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from hf_ftrisk.diagnoses.certain import SCALER_SEARCH_STEPS
from hf_ftrisk.errors import PreflightArgumentError
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_scale import goal_for_values
from hf_ftrisk.history.given import KnownRuns, known_runs
from hf_ftrisk.probing.budget import (
    Plan,
    allowed_steps,
    check_depths,
    make_plan,
    many_probes,
)
from hf_ftrisk.probing.cost import Ledger
from hf_ftrisk.probing.evaluations import Evaluations, Probed
from hf_ftrisk.probing.evidence import ProbeEvidence, known_baseline, summarize
from hf_ftrisk.probing.options import SIGNAL_SECONDS, PreflightOptions
from hf_ftrisk.probing.workload import Facts, Usage, Workload
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.columns import schedule_steps
from hf_ftrisk.record.settings import declared
from hf_ftrisk.verdict import Diagnosis

T = TypeVar("T")

# A deeper look has to be at least this much deeper than the last one to be worth its evaluation.
_MIN_DEEPENING = 4 / 3
# Steps that tell what a step costs, before the rest is planned: the first is slow.
_TIMED_STEPS = 2
# Static signals may take this share of the time that the budget is worth, if that is more than the
# seconds they are given: on a slow machine they would see too few rows in those.
_SIGNAL_SHARE = 1.0
# A warm-up that would take more than this share of a probe's steps is jumped: at small rates a
# probe shows neither whether the run learns nor whether it holds.
_LONG_WARMUP = 0.25
# Without evaluations, steps that tell a loss scaler's search from weights that are lost.
_BLIND_STEPS = SCALER_SEARCH_STEPS + 1


class PreflightSession:
    """Runs the stages of one pre-flight.

    Args:
        workload: what is probed, and by which processes.
        options: what was asked for.
        progress: called with the number of steps' worth spent so far.

    Raises:
        ValueError: no evaluation set for a goal that needs one, a budget of less than a step, or
            depths that are no steps of this run.
    """

    def __init__(
        self,
        workload: Workload,
        options: PreflightOptions,
        progress: Callable[[float], None] = lambda spent: None,
    ) -> None:
        self._workload = workload
        self._ranks = workload.ranks
        self.options = options
        self._progress = progress
        self._start = time.perf_counter()
        self.facts: Facts = workload.facts()
        self.ledger = Ledger(allowed_steps(options.budget, self.facts.max_steps))
        if options.depths is not None:
            check_depths(options.depths, self.facts.max_steps)
        self.plan: Plan | None = None
        self.probed: list[Probed] = []
        self.signals: dict[str, float] = {}
        self.signal_seconds = 0.0
        self.faults: tuple[Diagnosis, ...] = ()
        self.evidence = ProbeEvidence()
        self.notes: list[str] = list(self.facts.notes)
        self.first = self._first_rate()
        self.evaluations = self._own_evaluations()

    def _first_rate(self) -> int:
        """Step of the schedule that the probes begin at: its peak, where the warm-up is long."""
        schedule, depths = self.facts.schedule, self.options.depths
        if schedule is None or not schedule.size or not self._workload.can_jump or depths:
            return 0
        peak = int(schedule_steps(self.facts.max_steps)[schedule.argmax()])
        probes = many_probes(self.options.seeds, self.options.budget)
        if peak <= _LONG_WARMUP * self.ledger.allowed / probes:
            return 0
        self.notes.append(
            f"The probes begin at step {peak}, where the learning rate peaks: the warm-up before "
            "it is longer than the probes."
            if peak >= self.ledger.allowed
            else f"The probes begin at step {peak}, where the learning rate peaks: the warm-up "
            "before it would take most of their steps."
        )
        return peak

    def _own_evaluations(self) -> Evaluations | None:
        """Evaluations of the probes; None where nothing can be evaluated."""
        goal, size = self.options.goal, self.facts.eval
        if size is not None:
            return Evaluations(
                self._workload,
                self.ledger,
                size=size,
                rows_per_step=self.facts.rows_per_step,
                metric=goal.metric,
                max_rows=self.options.eval_samples,
                note=self.notes.append,
            )
        if goal.metric != "eval_loss":
            raise PreflightArgumentError(
                f"the goal {goal} is measured on an evaluation set, and there is none: "
                "pass eval_dataset=... to the Trainer. With the goal 'eval_loss' the wiring, the "
                "static signals and the cost are checked without one"
            )
        return None

    @property
    def task(self) -> str | None:
        """Name under which completed runs are comparable."""
        return self.options.task or self.facts.task

    @cached_property
    def known(self) -> KnownRuns:
        """Completed runs of this task. Read on rank 0 alone: others may not have the file."""
        return known_runs(self.options.history, self.task, self.options.goal.metric)

    @property
    def known_runs(self) -> tuple[RunRecord, ...]:
        """The runs of `known`."""
        return self.known.runs

    @property
    def snapshot_bytes(self) -> int | None:
        """Memory that the snapshot of the user's weights took."""
        return self._workload.snapshot_bytes

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.perf_counter() - self._start

    @property
    def usage(self) -> Usage:
        """What was measured on all probes."""
        return sum((item.probe.log.usage for item in self.probed), Usage())

    @property
    def eval_rows(self) -> int | None:
        """Rows of the evaluation sample."""
        return None if self.evaluations is None else self.evaluations.rows

    def on_main(self, compute: Callable[[], T]) -> T:
        """What rank 0 computes, on every rank."""
        value: Any = compute() if self._ranks.is_main else None
        result: T = self._ranks.from_main(value)
        return result

    # --- stages ---------------------------------------------------------------------------------

    def run(self) -> None:
        """All stages: wiring, dry run, static signals, probes."""
        self.faults = self._workload.faults()
        if any(fault.severity == "fatal" for fault in self.faults):
            return
        self._open()
        if self.evaluations is None:
            self._signals(None)
            self._train_blindly()
            return
        self._dry_run(self.evaluations)
        self._signals(self.evaluations.guessed_step_seconds)
        self._probe(self.evaluations)

    def _open(self) -> Probed:
        item = Probed(self._workload.open(len(self.probed), self.first), {})
        self.probed.append(item)
        return item

    def _dry_run(self, evaluations: Evaluations) -> None:
        evaluations.dry_run(self.probed[0].probe)
        self._show()

    def _signals(self, step_seconds: float | None) -> None:
        """Static signals, in the time they are given."""
        seconds = self.options.signal_seconds
        if seconds is None:
            worth = 0.0 if step_seconds is None else self.ledger.allowed * step_seconds
            seconds = max(SIGNAL_SECONDS, _SIGNAL_SHARE * worth)
        if seconds == 0:
            return
        start = time.perf_counter()
        # Every rank has the same limit, for it comes from rank 0's clock; and rank 0's numbers,
        # for how many rows there was time for may differ.
        self.signals = self._ranks.from_main(self._workload.signals(seconds))
        self.signal_seconds = time.perf_counter() - start

    def _train_blindly(self) -> None:
        """One probe of a few steps: without evaluations more of them would tell nothing more."""
        deepest = max(self.options.depths or (_BLIND_STEPS,))
        self._advance(self.probed[0], min(deepest, math.floor(self.ledger.allowed)))

    def _probe(self, evaluations: Evaluations) -> None:
        if self.ledger.allowed < 1 + evaluations.guessed_cost:
            self._no_room(evaluations, evaluations.guessed_cost)
            return
        self._time_a_step(evaluations)
        self.plan = self._own_plan(evaluations)
        if not self.plan.depths:
            self._no_room(evaluations, evaluations.min_cost)
            return
        target: int | None = self.plan.depths[0]
        seeds = self.plan.seeds
        while target is not None:
            seeds = self._advance_all(evaluations, target, seeds)
            self.evidence = self._summarize()
            target = self._next(evaluations, self.plan, target, seeds)

    def _no_room(self, evaluations: Evaluations, look: float) -> None:
        """Say why there is no forecast, and which budget would do; an evaluation costs `look`."""
        spent, total = self.ledger.spent, self.facts.max_steps
        if spent:
            untrained = evaluations.dry_run_result is not None
            before = "an evaluation of the untrained model and " if untrained else ""
            why = (
                f"No forecast: {max(0.0, self.ledger.left):.1f} of the budget of "
                f"{self.ledger.allowed:.3g} steps are left after {before}the first step, and an "
                f"evaluation costs as much as {look:.1f}"
            )
        else:
            why = (
                f"No forecast: the budget of {self.ledger.allowed:.3g} steps is too small for one "
                f"step with one evaluation, which is taken to cost as much as {look:.2g}"
            )
        needed = (max(1.0, spent) + look) / total
        if needed > 1.0:
            self.notes.append(f"{why}: a run of {total} steps is too short to be probed.")
            return
        digits = 1 - math.floor(math.log10(needed))
        share = math.ceil(needed * 10**digits) / 10**digits
        self.notes.append(f"{why}: give budget={share:g} or more.")

    def _show(self) -> None:
        self._progress(self.ledger.spent)

    # --- probing --------------------------------------------------------------------------------

    def _time_a_step(self, evaluations: Evaluations) -> None:
        """The first steps of the first probe, as many as leave room for an evaluation."""
        n_steps = min(_TIMED_STEPS, self.facts.max_steps, *(self.options.depths or ()))
        for target in range(1, n_steps + 1):
            # Only the first step is taken on a guess: it prices what was evaluated before.
            if target > 1 and not self._affords(1 + evaluations.min_cost):
                return
            self._advance(self.probed[0], target)

    def _own_plan(self, evaluations: Evaluations) -> Plan:
        item, ledger = self.probed[0], self.ledger
        plan = make_plan(
            ledger.left + ledger.steps,
            max_steps=self.facts.max_steps,
            seeds=self.options.seeds,
            min_look_cost=evaluations.min_cost,
            max_look_cost=evaluations.max_cost,
            depths=self.options.depths,
        )
        depths = plan.depths
        if not depths and evaluations.barely_fits:
            depths = (item.probe.step,)
        depths = tuple(sorted({max(depth, item.probe.step) for depth in depths}))
        self.notes += plan.notes
        evaluations.plan(plan.look_cost)
        return replace(plan, depths=depths)

    def _advance(self, item: Probed, target: int) -> None:
        before = len(item.probe.log.usage.step_seconds)
        item.probe.advance(target)
        seconds = self._ranks.from_main(item.probe.log.usage.step_seconds[before:])
        self.ledger.post_steps(seconds, opening=before == 0)
        self._show()

    def _advance_all(self, evaluations: Evaluations, target: int, seeds: int) -> int:
        """Take every probe to depth `target`; the number of probes that the budget carries on."""
        for index in range(seeds):
            if index == len(self.probed):
                cost = target + evaluations.next_cost
                if not self._affords(cost):
                    self._note_fewer(index, seeds, target, cost)
                    return index
                self._open()
            item = self.probed[index]
            if item.probe.log.diverged:
                continue
            if not self._affords(target - item.probe.step + evaluations.next_cost) and index > 0:
                return index
            self._workload.activate(item.probe)
            self._advance(item, target)
            if not item.probe.log.diverged:
                evaluations.measure(item)
                self._show()
            if index == 0:
                evaluations.measure_untrained(item, (seeds - 1) * (target + evaluations.next_cost))
                self._show()
        return seeds

    def _affords(self, cost: float) -> bool:
        return cost <= self.ledger.left

    def _note_fewer(self, kept: int, seeds: int, target: int, cost: float) -> None:
        self.notes.append(
            f"{kept} of {seeds} seeds probed: a probe to step {target} with its evaluation costs "
            f"as much as {cost:.1f} steps, and {max(0.0, self.ledger.left):.1f} steps of the "
            "budget were left."
        )

    # --- what to do next ------------------------------------------------------------------------

    @property
    def goal(self) -> Goal:
        """What the run is judged by, on the scale on which the probes reported its metric."""
        return self._goal_and_scale()[0]

    @property
    def scale_note(self) -> str | None:
        """What the probes showed of the metric's scale, where it is another than was asked for."""
        return self._goal_and_scale()[1]

    def _goal_and_scale(self) -> tuple[Goal, str | None]:
        goal = self.options.goal
        evaluations = [metrics for item in self.probed for metrics in item.evals.values()]
        if self.evaluations is not None and self.evaluations.untrained:
            evaluations.append(self.evaluations.untrained)
        values = {
            name: [metrics[name] for metrics in evaluations if name in metrics]
            for name in {name for metrics in evaluations for name in metrics}
        }
        trivial = known_baseline(goal, self.facts, self.signals, None)
        return goal_for_values(goal, values.pop(goal.metric, []), others=values, trivial=trivial)

    def records(self) -> tuple[RunRecord, ...]:
        """Trajectories of the probes, with the trivial baseline in them."""
        baseline = self.baseline()
        untrained = self.evaluations.untrained if self.evaluations is not None else {}
        records = []
        for item in self.probed:
            evals = dict(item.evals)
            if self._workload.same_start and untrained:
                evals.setdefault(0, untrained)
            record = item.probe.record(evals)
            static = {**record.static, **self.signals}
            settings = dict(record.settings)
            if self.eval_rows is not None:
                settings |= declared(eval_rows=self.eval_rows)
            record = replace(record, task=self.task, static=static, settings=settings)
            records.append(record.with_baseline(self.goal, baseline))
        return tuple(records)

    def baseline(self) -> float | None:
        """Trivial baseline of the goal's metric."""
        untrained = self.evaluations.untrained_value() if self.evaluations is not None else None
        return known_baseline(self.goal, self.facts, self.signals, untrained)

    def _summarize(self) -> ProbeEvidence:
        records = self.records()
        return self.on_main(
            lambda: summarize(
                records,
                self.goal,
                self.facts,
                history=self.known_runs,
                baseline=self.baseline(),
                money=self.money(),
            )
        )

    def money(self) -> dict[str, Any]:
        """The price of probing in money, where the user gave one."""
        prices, value = self.options.prices, self.options.run_value
        seconds = self.ledger.step_seconds
        if value is None or prices.per_hour is None or seconds is None:
            return {}
        return {
            "price_per_hour": prices.per_hour,
            "seconds_per_step": seconds,
            "value": value,
        }

    def _next(self, evaluations: Evaluations, plan: Plan, depth: int, seeds: int) -> int | None:
        """The next depth, None when deeper does not pay or cannot be paid.

        It does not pay from c* on, the depth that minimizes the expected risk and its price over
        everything the curve may be given the looks so far; it is found anew after each of them.
        """
        alive = [item for item in self.probed[:seeds] if not item.probe.log.diverged]
        best = self.evidence.optimal_depth
        if not alive:
            return None
        if best is not None and depth >= best:
            self.notes.append(
                f"Probing ended at step {depth}: the optimal depth c* is {best:.3g}, and probing "
                "deeper would cost more than it is expected to reveal."
            )
            return None
        # The looks of all probes that go on, and as many steps as are left for each.
        extra = int(self.ledger.left / len(alive) - evaluations.next_cost)
        next_depth = _after(depth, plan.depths)
        if self.options.depths is not None:
            return next_depth if next_depth is not None and next_depth - depth <= extra else None
        limit = min(depth + extra, self.facts.max_steps)
        if best is not None:
            limit = min(limit, math.ceil(best))
        if limit < max(depth + 1, _MIN_DEEPENING * depth):
            return None
        return min(next_depth or 2 * depth, limit)


def _after(depth: int, depths: Sequence[int]) -> int | None:
    """The first of increasing `depths` that lies beyond `depth`."""
    return next((other for other in depths if other > depth), None)
