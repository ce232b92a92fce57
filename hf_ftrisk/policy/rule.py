"""The stopping rule: end a run early, and bound the chance that it was a good one.

For each good calibration run let s be the smallest score over all its looks, where the score of a
look is P(good), eased early in a run (`calibration.easing`). A new run is stopped when its score
falls strictly below the k-th smallest s, k = floor(delta (n + 1)). A good new run is exchangeable
with the n good calibration runs, so its own smallest score lies below that value with probability
at most k / (n + 1) <= delta: over all looks, however many there are.
This is split conformal prediction (Vovk et al. 2005) with the running minimum as the score; it asks
nothing of the forecaster except that calibration runs were forecast without having been fitted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hf_ftrisk.diagnoses.certain import certain_failure
from hf_ftrisk.forecast.distribution import Forecast, Predictor
from hf_ftrisk.forecast.features import began_far_below
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_scale import unsure_scale
from hf_ftrisk.policy import bad_start
from hf_ftrisk.policy.calibration import (
    MIN_PROB,
    Fit,
    conformal_threshold,
    cross_fitted_scores,
    drawn,
    easing,
)
from hf_ftrisk.policy.grid import FIRST_SHARE, first_evaluation
from hf_ftrisk.policy.parts import watching
from hf_ftrisk.policy.parts.rule import PartsRule
from hf_ftrisk.policy.protocol import check_false_stop_rate
from hf_ftrisk.policy.ruling import Ruling
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent, sentence
from hf_ftrisk.verdict import Verdict

# P(good) from which a run is said to go well. It only names the state: nothing is stopped by it.
GO_PROBABILITY = 0.8
# P(good) below which a run is predicted to be poor: no other is stopped.
POOR_PROBABILITY = 0.5
# A loss that ends this close to the trivial one, as a share of it, and has not fallen by `_MOVED`
# since it was first evaluated, stands where the untrained model stood: that one's loss may have
# been measured on a part of the rows.
_CLOSE, _MOVED = 5e-3, 1e-3


@dataclass(frozen=True)
class StoppingRule:
    """Stops runs that are predicted to be poor; at most `false_stop_rate` of the good ones.

    Args:
        goal: what a run is judged by.
        forecaster: predicts the outcome of a new run.
        false_stop_rate: allowed chance delta that a good run is stopped, in (0, 1).
        scores: (n_good,) scores of the good calibration runs, see `hf_ftrisk.policy.calibration`.
        groups: (n_good,) the task of each, when they are of different tasks; empty: runs of one
            task, each a group of its own.
        borrowed: whether the calibration runs are of other tasks, so that no theorem says that the
            new run is like them.
        caution: the threshold is set for false_stop_rate / caution, where they are; at least 1.
        source: what the calibration rests on, in words for the report.
        judged_by: predicts the P(good) that is held against the threshold, where the calibration
            runs were forecast in another way than the run is; None: `forecaster` does. A run is
            stopped only where `forecaster` predicts it to be poor, too.
        parts: judges the first fifth of a run whose untrained model's signals are known
            (`hf_ftrisk.policy.parts.watching`); None: forecasts judge all of it.

    Raises:
        ValueError: a false_stop_rate outside (0, 1), a caution below 1, or groups of another length
            than scores.
    """

    goal: Goal
    forecaster: Predictor
    false_stop_rate: float
    scores: tuple[float, ...]
    groups: tuple[str, ...] = ()
    borrowed: bool = False
    caution: float = 1.0
    source: str = ""
    judged_by: Predictor | None = None
    parts: PartsRule | None = None

    def __post_init__(self) -> None:
        check_false_stop_rate(self.false_stop_rate)
        if not self.caution >= 1.0:
            raise ValueError(f"caution must be 1 or more, got {self.caution!r}")
        if self.groups and len(self.groups) != len(self.scores):
            raise ValueError(f"{len(self.scores)} scores need as many groups: {len(self.groups)}")
        if not self.groups:
            object.__setattr__(self, "groups", tuple(map(str, range(len(self.scores)))))

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

        Of more than 100 usable runs, or runs of very many looks, some are drawn
        (`calibration.drawn`).

        Args:
            records: completed runs; those without an outcome for this goal are left out.
            goal: what a run is judged by.
            forecaster: predicts the outcome of new runs. Without `fit` it also forecasts the
                calibration runs, so it must not have been fitted on them.
            false_stop_rate: allowed chance that a good run is stopped.
            fit: builds a forecaster from runs. When given, the calibration runs are forecast by
                cross-fitting: those of one fold by a forecaster fitted to the others.
            folds: number of folds of the cross-fitting; runs are dealt out in turn.
            source: what the calibration rests on, for the report.

        Raises:
            ValueError: a false_stop_rate outside (0, 1), or fewer than 2 folds.
        """
        completed = [run for run in records if run.met(goal) is not None]
        usable = drawn(completed, goal, false_stop_rate) if 0.0 < false_stop_rate < 1.0 else []
        scores = cross_fitted_scores(usable, goal, forecaster, fit, folds)
        finite_scores = scores[~np.isnan(scores)]
        return cls(
            goal=goal,
            forecaster=forecaster,
            false_stop_rate=false_stop_rate,
            scores=tuple(finite_scores.tolist()),
            source=source
            or f"{finite_scores.size} good of {len(usable)} completed runs of this task",
        )

    @cached_property
    def threshold_score(self) -> float | None:
        """Score strictly below which a run is stopped, None when there are too few runs."""
        return conformal_threshold(self.scores, self.groups, self.false_stop_rate / self.caution)

    @property
    def can_stop(self) -> bool:
        """Whether there are enough good calibration runs for the rule to stop anything."""
        return self.threshold_score is not None

    @property
    def n_groups(self) -> int:
        """Good calibration runs of one task, or tasks with good runs, behind the rule."""
        return len(set(self.groups))

    @property
    def missing_runs(self) -> int:
        """Good completed runs that are still missing before the rule can stop; 0 if it can."""
        needed = math.ceil(self.caution / self.false_stop_rate - 1e-9) - 1
        return max(0, needed - self.n_groups)

    def threshold(self, record: RunRecord) -> float | None:
        """P(good) strictly below which this run is stopped, None while the rule cannot stop it.

        Never above `POOR_PROBABILITY`: where every good run was forecast surely good, calibration
        alone would end a run for a trace of doubt.

        Args:
            record: the run, or any prefix or probe of it.
        """
        if self.threshold_score is None or self._unlike_packaged(record) is not None:
            return None
        return min(self.threshold_score * float(easing(record.progress)), POOR_PROBABILITY)

    def judge(self, record: RunRecord) -> Ruling:
        """Ruling on a run at this look.

        Args:
            record: the run so far; look at the steps of `look_steps`, as calibration did.
        """
        goal, _ = record.goal_scale(self.goal)
        if goal is not self.goal:
            return replace(self, goal=goal).judge(record)
        failure = certain_failure(record, goal)
        if failure is not None:
            return Ruling(Verdict.NO_GO, failure.message, certain=True)
        if self.goal.threshold(record.baseline(self.goal)) is None:
            return Ruling(Verdict.UNDECIDED, why_not_judged(self.goal))
        return self._rule(record)

    def judged_forecast(self, record: RunRecord) -> Forecast:
        """The forecast whose P(good) is held against the threshold."""
        return (self.judged_by or self.forecaster).predict(record, self.goal)

    def decide(self, record: RunRecord) -> Verdict:
        """Verdict on a run at this look: `judge` without its reasons."""
        return self.judge(record).verdict

    def _rule(self, record: RunRecord) -> Ruling:
        judged, baseline = self.judged_forecast(record), record.baseline(self.goal)
        by_parts = self._rule_by_parts(record, judged)
        if by_parts is not None:
            return by_parts
        forecast = judged if self.judged_by is None else None
        prob, threshold = judged.prob_meets(self.goal, baseline), self.threshold(record)
        low, high = judged.interval(0.9)
        words = (
            f"{chance(self.goal, baseline)} = {prob:.3f} at step {judged.step}, forecast "
            f"{judged.point:.4g} (90 %: {low:.4g} to {high:.4g})"
        )
        if self.judged_by is not None:
            words += ", the history left out"
        evaluated = first_evaluation(record, self.goal.metric) is not None
        below = threshold is not None and max(prob, MIN_PROB) < threshold
        poor = below and evaluated
        if poor and forecast is None:  # `forecaster`, where it is not the judge, has to agree
            forecast = self.forecaster.predict(record, self.goal)
            poor = forecast.prob_meets(self.goal, baseline) < POOR_PROBABILITY
        far_below = None
        if threshold is None and prob < POOR_PROBABILITY:
            far_below = self._stays_far_below(record)
        likely = prob >= GO_PROBABILITY
        if poor:
            rate = f"at most {percent(self.false_stop_rate)} of good runs"
            bound = f"set for {rate}" if self.borrowed else f"{rate} ever fall below it"
            verdict = Verdict.NO_GO
            reason = f"{words}; below the threshold of {threshold:.2g}: {bound} ({self.source})."
        elif far_below is not None:
            verdict, reason = Verdict.NO_GO, f"{far_below}. {words}."
        elif likely and not evaluated:
            verdict = Verdict.UNDECIDED
            reason = f"{words}; but {self.goal.metric} of this run has not been evaluated yet."
        else:
            verdict = Verdict.GO if likely else Verdict.UNDECIDED
            why = self._why_no_stop(record, threshold, below=below, evaluated=evaluated)
            reason = f"{words}; {why}."
        return Ruling(verdict, reason, prob_good=prob, threshold=threshold, forecast=forecast)

    def _why_no_stop(
        self, record: RunRecord, threshold: float | None, *, below: bool, evaluated: bool
    ) -> str:
        """Why a look does not end the run."""
        if threshold is None:
            return self.cannot_stop(record)
        if not below:
            return f"not below the threshold of {threshold:.2g} ({self.source})"
        if evaluated:
            return (
                f"below the threshold of {threshold:.2g}, but with completed runs of this task "
                f"P(good) is at least {POOR_PROBABILITY:g}"
            )
        return (
            f"below the threshold of {threshold:.2g}, but {self.goal.metric} of this run has "
            "not been evaluated yet: no run is stopped before its first evaluation"
        )

    def _rule_by_parts(self, record: RunRecord, judged: Forecast) -> Ruling | None:
        """Ruling by what is known of the untrained model and by the training so far."""
        if self.parts is None:
            return None
        event = chance(self.goal, record.baseline(self.goal))
        ruling = watching.rule_by_parts(
            record, self.goal, judged, self.parts, self.false_stop_rate, chance=event
        )
        if ruling is None or ruling.prob_good is None:
            return None
        if ruling.verdict is not Verdict.NO_GO:
            likely = ruling.prob_good >= GO_PROBABILITY
            return replace(ruling, verdict=Verdict.GO if likely else Verdict.UNDECIDED)
        if self.judged_by is None:
            return ruling
        with_history = self.forecaster.predict(record, self.goal)
        if with_history.prob_meets(self.goal, record.baseline(self.goal)) < POOR_PROBABILITY:
            return ruling
        promise = f"{ruling.reason} But completed runs of this task promise more."
        return replace(ruling, verdict=Verdict.UNDECIDED, reason=promise)

    def why_silent(self, record: RunRecord) -> str | None:
        """Why the rule could stop this run at no look, None when it could have."""
        if self.goal.threshold(record.baseline(self.goal)) is None:
            return why_not_judged(self.goal)
        if self.parts is not None and watching.judges(record, self.goal):
            return None
        return None if self.can_stop else sentence(self.cannot_stop(record))

    def _unlike_packaged(self, record: RunRecord) -> str | None:
        """Why runs of other tasks say nothing about this look; None where they do, or are not used.

        They were looked at later, and those that set the threshold began near their trivial
        predictor: runs with many classes may begin far below.
        """
        if not self.borrowed:
            return None
        if record.progress < FIRST_SHARE:
            return (
                "its threshold comes from runs of other tasks, which were not judged before "
                f"{percent(FIRST_SHARE)} of a run"
            )
        if began_far_below(record, self.goal):
            return (
                "its threshold comes from runs of other tasks, which began near their trivial "
                "baseline; this one began far below its trivial baseline of "
                f"{record.baseline(self.goal):.4g}"
            )
        return None

    def _stays_far_below(self, record: RunRecord) -> str | None:
        """Why a run that packaged runs say nothing about is poor by its own evidence."""
        calibrated = self.can_stop and not self.borrowed
        if calibrated or self.false_stop_rate < bad_start.FALSE_STOPS:
            return None
        return bad_start.stays_far_below(record, self.goal)

    def cannot_stop(self, record: RunRecord) -> str:
        """Why the rule cannot stop this run, or not yet, and what is missing."""
        if self.can_stop:
            early = record.progress < FIRST_SHARE
            cannot = "cannot stop yet" if early else "does not judge this run"
            return f"the rule {cannot}: {self._unlike_packaged(record)}"
        return (
            f"the rule cannot stop yet: it has {self.n_groups} good completed runs and needs "
            f"{self.missing_runs} more for false_stop_rate {self.false_stop_rate:g}"
        )


def judge_outcome(record: RunRecord, goal: Goal) -> Ruling | None:
    """Verdict on a run whose outcome is known; None where it is not, or none can be called poor.

    No outcome is called poor by a target that may be on another scale (`unsure_scale`).

    Args:
        record: the run, ended.
        goal: what it is judged by, on the scale on which the run reports its metric.
    """
    baseline = record.baseline(goal)
    threshold = goal.threshold(baseline)
    if not record.has_outcome(goal):
        return None
    outcome = record.outcome(goal)
    if not math.isfinite(outcome):
        reason = f"{goal.metric} is NaN or infinite at the end of the run."
        return Ruling(Verdict.NO_GO, reason, prob_good=None if threshold is None else 0.0)
    if threshold is None:
        return None
    stands = _stands_where_it_began(record, goal, outcome)
    good = goal.meets(outcome, baseline) and not stands
    if not good and unsure_scale(goal, record.curve(goal.metric)[1]) is not None:
        return None
    against = f"the trivial {threshold:.4g}" if goal.target is None else f"the goal of {goal}"
    verb = ("meets" if good else "misses") if goal.target is not None else ""
    verb = verb or ("is better than" if good else "is no better than")
    return Ruling(
        Verdict.GO if good else Verdict.NO_GO,
        f"{goal.metric} ended at {outcome:.4g}, which {verb} {against}"
        + (": it stands where it began." if stands else "."),
        prob_good=float(good),
    )


def _stands_where_it_began(record: RunRecord, goal: Goal, outcome: float) -> bool:
    """Whether a loss judged by its trivial baseline never left it."""
    trivial, values = record.baseline(goal), record.finite(goal.metric)[1]
    if goal.target is not None or goal.kind != "loss" or trivial is None or values.size < 2:
        return False
    close = abs(outcome - trivial) <= _CLOSE * abs(trivial)
    return bool(close and values[0] - outcome <= _MOVED * abs(values[0]))


def chance(goal: Goal, baseline: float | None) -> str:
    """P(good) in words: ``P(eval_accuracy >= 0.85)``."""
    threshold = goal.threshold(baseline)
    sign = ">" if goal.greater_is_better else "<"
    equal = "" if goal.target is None else "="
    return f"P({goal.metric} {sign}{equal} {threshold:.4g})"


def why_not_judged(goal: Goal) -> str:
    """Why no run can be judged by this goal."""
    return (
        f"{goal.metric} has neither a target nor a known trivial baseline, so that no outcome "
        "can be called poor. Give the goal a target."
    )
