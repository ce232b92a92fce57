"""The stopping rule: end a run early, and bound the chance that it was a good one.

For each good calibration run let s be the smallest P(good) over all its looks. A new run is
stopped when its P(good) falls strictly below the k-th smallest s, k = floor(delta (n + 1)). A good
new run is exchangeable with the n good calibration runs, so its own smallest P(good) lies below
that value with probability at most k / (n + 1) <= delta: over all looks, however many there are.
This is split conformal prediction (Vovk et al. 2005) with the running minimum as the score; it asks
nothing of the forecaster except that calibration runs were forecast without having been fitted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.failures import certain_failure
from hf_ftrisk.policy.looks import look_steps
from hf_ftrisk.policy.verdict import Ruling, Verdict
from hf_ftrisk.record import RunRecord

# P(good) from which a run is said to go well. It only names the state: nothing is stopped by it.
GO_PROBABILITY = 0.8


class Predictor(Protocol):
    """What the rule asks of a forecaster."""

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        """Predictive distribution of the run's final metric, from what is known so far."""
        ...


Fit = Callable[[Sequence[RunRecord]], Predictor]


@dataclass(frozen=True)
class StoppingRule:
    """Stops runs that are predicted to be poor; at most `false_stop_rate` of the good ones.

    Args:
        goal: what a run is judged by.
        forecaster: predicts the end of a new run.
        false_stop_rate: allowed chance delta that a good run is stopped, in (0, 1).
        scores: (n_good,) smallest P(good) over the looks of each good calibration run, ascending.
        source: what the calibration rests on, in words for the report.
    """

    goal: Goal
    forecaster: Predictor
    false_stop_rate: float
    scores: tuple[float, ...]
    source: str = ""

    def __post_init__(self) -> None:
        if not 0.0 < self.false_stop_rate < 1.0:
            raise ValueError(
                "false_stop_rate must lie in (0, 1): the share of good runs that may be stopped, "
                f"got {self.false_stop_rate!r}"
            )
        object.__setattr__(self, "scores", tuple(sorted(float(s) for s in self.scores)))

    @classmethod
    def from_runs(
        cls,
        records: Iterable[RunRecord],
        goal: Goal,
        forecaster: Predictor,
        false_stop_rate: float = 0.05,
        *,
        fit: Fit | None = None,
        folds: int = 10,
        source: str = "",
    ) -> StoppingRule:
        """Calibrate the rule on completed runs of the same task.

        Args:
            records: completed runs; those without an outcome for this goal are left out.
            goal: what a run is judged by.
            forecaster: predicts the end of new runs. Without `fit` it also forecasts the
                calibration runs, so it must not have been fitted on them.
            false_stop_rate: allowed chance that a good run is stopped.
            fit: builds a forecaster from runs. When given, the calibration runs are forecast by
                cross-fitting: those of one fold by a forecaster fitted to the others.
            folds: number of folds of the cross-fitting; runs are dealt out in turn.
            source: what the calibration rests on, for the report.

        Raises:
            ValueError: a false_stop_rate outside (0, 1), or fewer than 2 folds.
        """
        usable = [run for run in records if is_good(run, goal) is not None]
        scores = cross_fitted_scores(usable, goal, forecaster, fit, folds)
        kept = [s for run, s in zip(usable, scores, strict=True) if is_good(run, goal)]
        return cls(
            goal=goal,
            forecaster=forecaster,
            false_stop_rate=false_stop_rate,
            scores=tuple(kept),
            source=source or f"{len(kept)} good of {len(usable)} completed runs of this task",
        )

    @property
    def n_good(self) -> int:
        """Good calibration runs behind the rule."""
        return len(self.scores)

    @property
    def rank(self) -> int:
        """k = floor(delta (n + 1)): which of the sorted scores is the floor; 0: none."""
        return math.floor(self.false_stop_rate * (self.n_good + 1) + 1e-9)

    @property
    def can_stop(self) -> bool:
        """Whether there are enough good calibration runs for the rule to stop anything."""
        return self.rank >= 1

    @property
    def missing_runs(self) -> int:
        """Good completed runs that are still missing before the rule can stop; 0 if it can."""
        needed = math.ceil(1.0 / self.false_stop_rate - 1e-9) - 1
        return max(0, needed - self.n_good)

    @property
    def floor(self) -> float | None:
        """P(good) strictly below which a run is stopped, None while the rule cannot stop."""
        return self.scores[self.rank - 1] if self.can_stop else None

    def judge(self, record: RunRecord, forecast: Forecast | None = None) -> Ruling:
        """Ruling on a run at this look.

        Args:
            record: the run so far; look at the steps of `look_steps`.
            forecast: its forecast, when the caller has it already.
        """
        failure = certain_failure(record)
        if failure is not None:
            return Ruling(Verdict.NO_GO, failure.message, floor=self.floor, certain=True)
        threshold = self.goal.threshold(record.baseline(self.goal))
        if threshold is None:
            return Ruling(
                Verdict.UNDECIDED,
                f"{self.goal.metric} has neither a target nor a known trivial baseline: no run "
                "can be called poor. Give the goal a target.",
                floor=self.floor,
            )
        forecast = forecast or self.forecaster.predict(record, self.goal)
        prob = forecast.prob_meets(self.goal, record.baseline(self.goal))
        return self.rule_on(prob, threshold, forecast)

    def rule_on(self, prob_good: float, threshold: float, forecast: Forecast) -> Ruling:
        """Ruling from a forecast probability of a good end."""
        low, high = forecast.interval(0.9)
        sign = ">=" if self.goal.greater_is_better else "<="
        said = (
            f"P({self.goal.metric} {sign} {threshold:.4g}) = {prob_good:.3f} at step "
            f"{forecast.step}, forecast {forecast.mean:.4g} (90 %: {low:.4g} to {high:.4g})"
        )
        if self.floor is None:
            held = (
                f"the rule cannot stop yet: {self.n_good} good completed runs, "
                f"{self.missing_runs} more are needed at false_stop_rate {self.false_stop_rate:g}"
            )
            verdict = Verdict.GO if prob_good >= GO_PROBABILITY else Verdict.UNDECIDED
        elif prob_good < self.floor:
            verdict = Verdict.NO_GO
            held = (
                f"below the floor of {self.floor:.3f}, which at most {self.false_stop_rate:.0%} "
                f"of good runs ever fall below ({self.source})"
            )
        else:
            verdict = Verdict.GO if prob_good >= GO_PROBABILITY else Verdict.UNDECIDED
            held = f"not below the floor of {self.floor:.3f} ({self.source})"
        return Ruling(verdict, f"{said}; {held}.", prob_good=prob_good, floor=self.floor)

    def decide(self, record: RunRecord) -> Verdict:
        """Verdict on a run at this look: `judge` without its reasons."""
        return self.judge(record).verdict


def is_good(record: RunRecord, goal: Goal) -> bool | None:
    """Whether a completed run met the goal; None where that cannot be said."""
    if not record.has_outcome(goal):
        return None
    baseline = record.baseline(goal)
    if goal.threshold(baseline) is None:
        return None
    return goal.meets(record.outcome(goal), baseline)


def lowest_prob_good(record: RunRecord, goal: Goal, forecaster: Predictor) -> float:
    """Smallest P(good) over all looks of a completed run, in [0, 1]; 1 without any look."""
    baseline = record.baseline(goal)
    lowest = 1.0
    for step in look_steps(record.max_steps, record.eval_step):
        forecast = forecaster.predict(record.prefix(step), goal)
        lowest = min(lowest, forecast.prob_meets(goal, baseline))
    return lowest


def cross_fitted_scores(
    records: Sequence[RunRecord], goal: Goal, forecaster: Predictor, fit: Fit | None, folds: int
) -> np.ndarray:
    """Smallest P(good) (n_runs,) of completed runs, each from a forecaster that never saw it.

    Only good runs are forecast; the others are NaN.
    """
    if folds < 2:
        raise ValueError(f"cross-fitting needs at least 2 folds, got {folds!r}")
    scores = np.full(len(records), np.nan)
    good = np.array([bool(is_good(run, goal)) for run in records], dtype=bool)
    fold_of = np.arange(len(records)) % min(folds, max(len(records), 1))
    for fold in np.unique(fold_of[good]):
        used = forecaster
        if fit is not None:
            used = fit([run for run, k in zip(records, fold_of, strict=True) if k != fold])
        for index in np.flatnonzero(good & (fold_of == fold)).tolist():
            scores[index] = lowest_prob_good(records[index], goal, used)
    return scores


def default_rule(
    goal: Goal,
    forecaster: Predictor,
    history: Iterable[RunRecord] | None = None,
    false_stop_rate: float = 0.05,
    *,
    fit: Fit | None = None,
) -> StoppingRule:
    """The rule calibrated on the history; without enough of it the rule cannot stop yet.

    Args:
        goal: what a run is judged by.
        forecaster: predicts the end of new runs.
        history: completed runs of the same task.
        false_stop_rate: allowed chance that a good run is stopped.
        fit: builds a forecaster from runs, for the cross-fitting of `StoppingRule.from_runs`.
    """
    return StoppingRule.from_runs(history or (), goal, forecaster, false_stop_rate, fit=fit)
