"""Completed runs of the same task: what they say about a new run at the same depth.

Three point forecasts of the new run's outcome are averaged, weighted by their errors on held-out
known runs: the cold one, corrected by its mean error on the known runs; a ridge regression on
what the known runs had shown at this depth; their plain mean. The distribution around the average
is that of its held-out errors, those of similar runs counting more, so that a task whose runs
either work or collapse gets both. Errors of few runs are inflated, and one share in n + 1 is left
to the cold forecast's own spread: a new run may lie beyond all that n runs have shown, and with few
known runs the forecast is nearly its own. And the outcome that hardly any of them had keeps a
chance (`missing_outcome`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hf_ftrisk.forecast.conformal import DEPTHS
from hf_ftrisk.forecast.forms import Form
from hf_ftrisk.forecast.related.missing_outcome import missing_outcome
from hf_ftrisk.forecast.related.regression import (
    Estimate,
    averaged,
    kernel_weights,
    mean_of_known,
    ridge_estimate,
    shifted,
    standardized,
)
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.tasks import of_task

MAX_RELATED = 150
# Known runs needed before anything is regressed on them.
_MIN_REGRESSED = 4
# Chosen on the benchmark (docs/evidence/forecasting.md).
_SHIFT_RUNS = 4.0
# The weights between estimators are themselves estimated: the fewer the runs, the more they favor
# the plain mean.
_MEAN_RUNS = 10.0
# Errors of n runs are inflated by one plus this over n. For normal errors the 90 % range of a new
# one is 1.25 times that of 10 known ones (Student's t).
_INFLATION_RUNS = 2.0
# Narrower ranges of the known runs than this, in units of the metric, count as this wide.
_MIN_RANGE = 0.03
_LENGTH_RATIO = 2.0
# A single evaluation far below the one before: by the run's end at least half of the fall was made
# up for in this share of 225 cases, their 27 sources alike.
DIP_RECOVERS = 0.65
# Share out of support from which a value lies outside what known runs had shown, and up to which
# inside.
_FALLEN, _USUAL = 0.5, 0.1
# Runs whose peak learning rates differ by more than 1 % have different settings.
_SAME_RATE = 0.01

# Values kept of completed runs; more are computed again.
_MAX_KEPT = 50_000

ColdMedian = Callable[[RunRecord], float]


def in_units(values: np.ndarray | float, goal: Goal) -> np.ndarray:
    """Metric values on the scale on which errors are averaged: logs for losses."""
    x = np.asarray(values, dtype=np.float64)
    return np.asarray(np.log(np.maximum(x, 1e-8)) if goal.kind == "loss" else x)


def from_units(values: np.ndarray, goal: Goal) -> np.ndarray:
    """Inverse of `in_units`, inside the metric's range."""
    x = np.exp(np.clip(values, -20.0, 80.0)) if goal.kind == "loss" else values
    return np.asarray(np.clip(x, *goal.bounds))


def comparable(record: RunRecord, other: RunRecord, goal: Goal) -> bool:
    """Whether a completed run of the task informs this one: metric and length agree."""
    ratio = other.max_steps / record.max_steps
    return (
        1 / _LENGTH_RATIO <= ratio <= _LENGTH_RATIO
        and other.has_outcome(goal)
        and bool(np.isfinite(other.outcome(goal)))
    )


def features(record: RunRecord, goal: Goal, share: float) -> np.ndarray:
    """What a run had shown after a share of its steps, (5,); NaN where it had not.

    Last and best value of the metric, last eval loss, recent train loss, peak learning rate: the
    planned one, else the highest so far.
    """
    step = share * record.max_steps + 1e-6
    metric = _seen(*record.curve(goal.metric), step)
    loss = _seen(*record.curve("eval_loss"), step)
    train = _seen(*record.train_curve(), step)
    recent = train[-max(1, train.size // 5) :]
    best = metric.max if goal.greater_is_better else metric.min
    rates = _seen(record.train_step, record.learning_rate, step)
    rates = rates[rates > 0]
    if record.schedule is not None and record.schedule.max() > 0:
        rates = record.schedule
    return np.array(
        [
            float(in_units(metric[-1], goal)) if metric.size else np.nan,
            float(in_units(best(), goal)) if metric.size else np.nan,
            _log(loss[-1]) if loss.size else np.nan,
            _log(float(recent.mean())) if train.size else np.nan,
            _log(float(rates.max())) if rates.size else np.nan,
        ]
    )


def out_of_support(known: np.ndarray, new: float) -> float:
    """How little the known runs (n,) say about a new one, in [0, 1), from its value of one feature.

    0 inside their range, which is at least `_MIN_RANGE` wide; one half where the new run lies
    beyond it by twice its width, and steep there. A run that collapses where no known run did is
    not like them.
    """
    if known.size < 2 or not (np.isfinite(new) and np.isfinite(known).all()):
        return 0.0
    low, high = float(known.min()), float(known.max())
    beyond = max(low - new, new - high, 0.0) / max(high - low, _MIN_RANGE)
    return float(beyond**4 / (16.0 + beyond**4))


def _log(value: float) -> float:
    return float(np.log(max(value, 1e-8))) if np.isfinite(value) else np.nan


def _seen(steps: np.ndarray, values: np.ndarray, step: float) -> np.ndarray:
    values_until: np.ndarray = values[: np.searchsorted(steps, step, side="right")]
    return np.asarray(values_until[np.isfinite(values_until)])


class RunCache:
    """What has been computed of completed runs: it depends on no other run, so that forecasters
    that know different ones (a fold's, a held-out run's) share it.
    """

    def __init__(self) -> None:
        self._cold: dict[tuple[RunRecord, Goal], np.ndarray] = {}
        self._features: dict[tuple[RunRecord, Goal, float], np.ndarray] = {}
        self._plain: dict[tuple[RunRecord, str, Form], RunRecord] = {}

    def cold(self, record: RunRecord, goal: Goal, cold_median: ColdMedian) -> np.ndarray:
        """The cold forecast's median (n_depths,) at each depth of `conformal.DEPTHS`."""
        key = (record, goal)
        if key not in self._cold:
            self._cold[key] = np.array([cold_median(_prefix(record, d)) for d in DEPTHS])
        return self._cold[key]

    def plain(self, record: RunRecord, goal: Goal, form: Form) -> RunRecord:
        """The run with the plain metric in place of the goal's."""
        key = (record, goal.metric, form)
        if key not in self._plain:
            self._plain[key] = form.plain_run(record, goal)
        return self._plain[key]

    def features(self, record: RunRecord, goal: Goal, share: float) -> np.ndarray:
        """`features` of a completed run."""
        key = (record, goal, share)
        if key not in self._features:
            if len(self._features) >= _MAX_KEPT:
                self._features.clear()
            self._features[key] = features(record, goal, share)
        return self._features[key]


@dataclass(frozen=True, eq=False)
class RelatedRuns:
    """Completed runs of one task.

    Args:
        records: the runs.
        goal: what is forecast.
        outcomes: (n,) outcomes, in the units of `in_units`.
        cold: (n, n_depths) the cold forecast's median at each depth of `conformal.DEPTHS`; NaN
            before the first evaluation.
        cache: what has been computed of them.
    """

    records: tuple[RunRecord, ...]
    goal: Goal
    outcomes: np.ndarray
    cold: np.ndarray
    cache: RunCache = field(default_factory=RunCache)

    @classmethod
    def of(
        cls,
        record: RunRecord,
        history: Sequence[RunRecord],
        goal: Goal,
        cold_median: ColdMedian,
        cache: RunCache,
    ) -> RelatedRuns:
        """The runs of a history that are comparable to a record, the latest `MAX_RELATED`.

        Args:
            record: the new run.
            history: completed runs of any task.
            goal: what is forecast.
            cold_median: the cold forecast's median for a prefix, in the units of `in_units`.
            cache: what has been computed of completed runs already.
        """
        task = of_task(history, record.task)
        related = tuple(r for r in task if comparable(record, r, goal))
        related = related[-MAX_RELATED:]
        return cls(
            related,
            goal,
            in_units(np.array([r.outcome(goal) for r in related]), goal),
            np.array([cache.cold(r, goal, cold_median) for r in related]),
            cache,
        )

    def samples(self, record: RunRecord, cold: np.ndarray, n: int) -> np.ndarray:
        """Draws (n,) of the outcome, in the units of `in_units`.

        Args:
            record: the new run so far.
            cold: (m,) draws of the forecast that knows none of these runs.
            n: number of draws.
        """
        k = self.outcomes.size
        share = record.progress
        raw = np.array([self.cache.features(r, self.goal, share) for r in self.records])
        new_raw = features(record, self.goal, share)
        standard, new = standardized(raw, new_raw)
        estimate = self._estimate(standard, new, float(np.median(cold)), share)
        errors = (self.outcomes - estimate.held_out) * (1.0 + _INFLATION_RUNS / k if k > 1 else 1.0)
        like = 1.0 - out_of_support(raw[:, 0], float(new_raw[0]))
        even = np.full(cold.size, 1.0 / cold.size)
        values = np.concatenate(
            [estimate.value + errors, cold - np.median(cold) + estimate.value, cold]
        )
        weights = np.concatenate(
            [
                kernel_weights(standard, new) * like * k / (k + 1),
                even * like / (k + 1),
                even * (1.0 - like),
            ]
        )
        share, unlike = self._missing_outcome(record, cold, raw[:, -1], float(new_raw[-1]))
        return _weighted_quantiles(
            np.concatenate([values, unlike]),
            np.concatenate(
                [(1.0 - share) * weights, np.full(unlike.size, share / max(unlike.size, 1))]
            ),
            n,
        )

    def before_dip(self, record: RunRecord) -> RunRecord | None:
        """The run up to its last evaluation, where that one alone fell out of all that is known.

        None where it did not: the evaluation before lies outside as well, or the known runs had
        such values, or it is better than the one before.
        """
        steps, values = record.finite(self.goal.metric)
        if values.size < 2 or not self.goal.is_better(values[-2], values[-1]):
            return None
        before = record.prefix(steps[-1] - 0.5)
        fallen, usual = self._out_of_support(record), self._out_of_support(before)
        return before if fallen > _FALLEN and usual < _USUAL else None

    def _out_of_support(self, record: RunRecord) -> float:
        rows = [self.cache.features(r, self.goal, record.progress)[0] for r in self.records]
        return out_of_support(
            np.array(rows), float(features(record, self.goal, record.progress)[0])
        )

    def _missing_outcome(
        self, record: RunRecord, cold: np.ndarray, rates: np.ndarray, rate: float
    ) -> tuple[float, np.ndarray]:
        """`missing_outcome`, from log learning rates (n,); nothing without a baseline."""
        baseline = record.baseline(self.goal)
        if baseline is None or not np.isfinite(baseline):
            return 0.0, cold[:0]
        trivial = float(in_units(baseline, self.goal))
        beats = np.greater if self.goal.greater_is_better else np.less
        other = bool((np.abs(rates - rate) > _SAME_RATE).any())  # where both are known
        return missing_outcome(
            beats(self.outcomes, trivial), cold, beats(cold, trivial), same_setting=not other
        )

    def _estimate(self, known: np.ndarray, new: np.ndarray, cold: float, share: float) -> Estimate:
        k = self.outcomes.size
        if k == 1:
            return self._from_one(cold, share)
        estimates = [mean_of_known(self.outcomes)]
        if k >= _MIN_REGRESSED:
            estimates.append(ridge_estimate(known, new, self.outcomes))
        before = self._cold_at(share)
        if np.all(np.isfinite(before)):
            estimates.append(shifted(before, cold, self.outcomes, _SHIFT_RUNS))
        odds = np.ones(len(estimates))
        odds[0] += _MEAN_RUNS / k
        return averaged(estimates, self.outcomes, odds)

    def _from_one(self, cold: float, share: float) -> Estimate:
        """From one known run: what the cold forecast missed of it at this depth is half expected.

        Its outcome itself says nothing of a run that has gone elsewhere since. Before any depth is
        known of it, its outcome counts as one run against those that "no shift" counts for.
        """
        before = self._cold_at(share)
        estimate = before if np.all(np.isfinite(before)) else np.full(1, cold)
        moved = (self.outcomes - estimate) / (1.0 + _SHIFT_RUNS)
        return Estimate(cold + float(moved[0]), estimate + moved)

    def _cold_at(self, share: float) -> np.ndarray:
        """The cold forecast's medians (n,) at a share of the run, between the depths'."""
        return np.array([np.interp(share, DEPTHS, row) for row in self.cold])


def _prefix(record: RunRecord, depth: float) -> RunRecord:
    return record.prefix(depth * record.max_steps + 1e-6)


def _weighted_quantiles(values: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    """Quantiles (n,) at even levels of weighted values."""
    order = np.argsort(values)
    passed = np.cumsum(weights[order])
    levels = (np.arange(n) + 0.5) / n * passed[-1]
    at = np.minimum(np.searchsorted(passed, levels), order.size - 1)
    return np.asarray(values[order][at])
