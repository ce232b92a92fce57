"""Evaluations of the probes: on how many rows, at what cost, whether there is room. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hf_ftrisk.errors import PreflightArgumentError
from hf_ftrisk.probing.budget import FORWARD_SHARE, GENERATING_SHARE, EvalSize
from hf_ftrisk.probing.cost import Ledger
from hf_ftrisk.probing.workload import Evaluation, Probe, Workload
from hf_ftrisk.record.trainer_log import no_number

# Planned evaluations are taken to cost this much more than measured: clocks are noisy.
_NOISE = 1.15


@dataclass(frozen=True)
class Probed:
    """A probe and what its evaluations said, step -> metrics."""

    probe: Probe
    evals: dict[int, Mapping[str, float]]


class Evaluations:
    """Evaluates probes within the budget, always on the same rows.

    Args:
        workload: what is evaluated; all its ranks take rank 0's times.
        ledger: the budget.
        size: the evaluation set.
        rows_per_step: training rows of one optimizer step, None if unknown.
        metric: what every evaluation has to give.
        max_rows: rows wanted at most, None: the whole set.
        note: takes sentences for the report.
    """

    def __init__(
        self,
        workload: Workload,
        ledger: Ledger,
        *,
        size: EvalSize,
        rows_per_step: float | None,
        metric: str,
        max_rows: int | None,
        note: Callable[[str], None],
    ) -> None:
        self._workload = workload
        self._ledger = ledger
        self._size = size
        self._rows_per_step = rows_per_step
        self._metric = metric
        self._max_rows_wanted = max_rows
        self._note = note
        self.rows: int | None = None
        # Metrics of the untrained model on the whole sample.
        self.untrained: Mapping[str, float] = {}
        # The evaluation that was done to see whether evaluating works.
        self.dry_run_result: Evaluation | None = None
        self._planned = 0.0
        self._looked = False

    # --- what they cost -------------------------------------------------------------------------

    @property
    def guessed_cost(self) -> float:
        """Cost of the smallest evaluation before anything was timed, steps."""
        rows = self._size.min_rows
        share = GENERATING_SHARE if self._size.generates else FORWARD_SHARE
        return rows / (self._rows_per_step or rows) * share

    @property
    def guessed_step_seconds(self) -> float | None:
        """Time of a step, judged by that of the first evaluation."""
        if self.dry_run_result is None:
            return None
        return self.dry_run_result.seconds / self.guessed_cost

    @property
    def _measured(self) -> float | None:
        """Measured cost of the smallest evaluation, steps; None before it was measured."""
        step = self._ledger.step_seconds
        if self.dry_run_result is None or step is None:
            return None
        return self.dry_run_result.seconds / step * _NOISE

    @property
    def min_cost(self) -> float:
        """What the smallest evaluation is taken to cost, steps."""
        return self._measured or self.guessed_cost

    @property
    def max_cost(self) -> float:
        """What an evaluation of all rows that may be seen is taken to cost, steps."""
        rows = self._max_rows()
        return float("inf") if rows is None else self.min_cost * rows / self._size.min_rows

    @property
    def next_cost(self) -> float:
        """What the next evaluation is expected to cost, steps."""
        last = self._ledger.last_eval_cost
        return last * _NOISE if self._looked and last is not None else self._planned

    @property
    def barely_fits(self) -> bool:
        """Whether what is left does for the smallest evaluation, without reserve for the clock."""
        return self._ledger.left >= self.min_cost / _NOISE

    def _max_rows(self) -> int | None:
        """Rows of the evaluation sample at most; None: a set of unknown length, all of it."""
        total, limit = self._size.rows, self._max_rows_wanted
        return limit if total is None else total if limit is None else min(total, limit)

    # --- evaluating -----------------------------------------------------------------------------

    def dry_run(self, probe: Probe) -> None:
        """One small evaluation before any step: a goal without its metric is found here.

        Left out where the budget reaches one evaluation only: that one comes after a step.
        """
        if self._ledger.allowed < 1 + 2 * self.guessed_cost:
            return
        self._set_rows(self._size.min_rows)
        # Of a set without a length one batch is taken.
        limit = 0.0 if self._size.rows is None else None
        evaluation = self._workload.evaluate_untrained(probe, limit)
        self.dry_run_result = self._post(evaluation)
        self._check(evaluation)

    def plan(self, cost: float) -> None:
        """From now on an evaluation may cost `cost` steps, and sees as many rows as that buys."""
        self._planned = cost
        self._set_rows(self._max_rows())

    def measure(self, item: Probed) -> None:
        """Evaluate a probe where it stands, within what is left."""
        remaining = self._ledger.left
        # Before the first look only the smallest one's cost is known, and it fixes the rows.
        min_cost = (self.next_cost if self._looked else self._measured or 0.0) / _NOISE
        if remaining < min_cost:
            self._note(
                f"Probe {item.probe.seed} was not evaluated at step {item.probe.step}: an "
                f"evaluation costs as much as {min_cost:.1f} steps, and {max(0.0, remaining):.1f} "
                "steps of the budget were left."
            )
            return
        limit = (
            min(remaining, 2 * min_cost)
            if self._looked
            else min(remaining, max(min_cost, self.next_cost))
        )
        if not self._looked:
            self._fit_rows(limit / min_cost if min_cost else float("inf"))
        seconds = limit * (self._ledger.step_seconds or 0.0)
        evaluation = self._post(item.probe.evaluate(seconds))
        self._check(evaluation)
        item.evals[item.probe.step] = evaluation.metrics
        if evaluation.rows is not None and evaluation.rows != self.rows:
            if self._looked:
                self._note(
                    f"From step {item.probe.step} on evaluated on {evaluation.rows} rows instead "
                    f"of {self.rows}: evaluation has become slower."
                )
            self._set_rows(evaluation.rows)
        self._looked = True

    def measure_untrained(self, item: Probed, reserve: float) -> None:
        """Evaluate the model as it is, if that leaves `reserve` looks' and steps' worth.

        Args:
            item: the first probe, whose look at step 0 this is.
            reserve: what must be left afterwards, steps.
        """
        if not self._looked or self.untrained:
            return
        if self.dry_run_result is not None and self.dry_run_result.rows == self.rows:
            self.untrained = item.evals[0] = self.dry_run_result.metrics
            return
        cost = self.next_cost
        if cost + reserve > self._ledger.left:
            self._note(
                "The untrained model was not evaluated on the whole sample: the budget went into "
                "steps."
            )
            return
        limit = 2 * cost * (self._ledger.step_seconds or 0.0)
        evaluation = self._post(self._workload.evaluate_untrained(item.probe, limit))
        self.untrained = item.evals[0] = evaluation.metrics

    def untrained_value(self) -> float | None:
        """The goal's metric of the untrained model; without a look at the whole sample, roughly."""
        rough = self.dry_run_result.metrics if self.dry_run_result is not None else {}
        return (self.untrained or rough).get(self._metric)

    def _fit_rows(self, ratio: float) -> None:
        """Fewer rows than a batch, if the time is too short for a batch.

        Args:
            ratio: time there is over that of the smallest evaluation.
        """
        size = self._size
        if ratio * size.min_rows < size.batch:
            self._set_rows(max(size.min_rows, int(ratio * size.min_rows)))

    def _set_rows(self, rows: int | None) -> None:
        self.rows = rows
        self._workload.set_eval_rows(rows)

    def _post(self, evaluation: Evaluation) -> Evaluation:
        """Enter an evaluation as rank 0 timed it."""
        seconds, rows, batches = self._workload.ranks.from_main(
            (evaluation.seconds, evaluation.rows, evaluation.batches)
        )
        self._ledger.post_evaluation(seconds, rows, batches)
        return replace(evaluation, seconds=seconds, rows=rows, batches=batches)

    def _check(self, evaluation: Evaluation) -> None:
        metrics, unread = evaluation.metrics, evaluation.unread
        if self._metric not in metrics:
            timed = ("_runtime", "_per_second", "_preparation_time")
            have = sorted(m for m in metrics if m.startswith("eval_") and not m.endswith(timed))
            if self._metric in unread:
                what = f"the evaluation reports {self._metric} as {no_number(unread[self._metric])}"
            else:
                what = (
                    f"the evaluation reports no {self._metric!r}; it reports "
                    f"{', '.join(have) or 'nothing'}. "
                    "Check compute_metrics, or choose a goal among these."
                )
            wrong = PreflightArgumentError(what)
            wrong.reported = tuple(have)
            raise wrong
