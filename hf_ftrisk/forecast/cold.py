"""The forecast that knows no run of the same task: curve, losses, calibration, failure."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from hf_ftrisk.forecast.conformal import stretch
from hf_ftrisk.forecast.curves.change import loss_terms, score_change
from hf_ftrisk.forecast.curves.extrapolation import sample_paths
from hf_ftrisk.forecast.curves.view import CurveView
from hf_ftrisk.forecast.failure import failure_features, kept_above, reweighted
from hf_ftrisk.forecast.prior import FamilyPrior, family
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

_FAR = 8.0


def cold_values(
    view: CurveView, record: RunRecord, goal: Goal, prior: FamilyPrior, n: int
) -> np.ndarray:
    """Draws (n,) of the outcome in the metric's units.

    Args:
        view: the record's evaluations, at least one.
        record: the run so far.
        goal: what is forecast.
        prior: what runs of other tasks say.
        n: number of draws.
    """
    best = record.load_best
    paths = sample_paths(view, prior.curve, best=best, max_steps=record.max_steps, n=n)
    ends = paths[:, -1]
    moved = shift(view, record, ends, prior.change)
    z = (paths.max(axis=1) if best else ends) + moved
    progress = float(view.steps[-1]) / record.max_steps
    expected = float(view.metric(z).mean())
    score = family(goal.kind) == "score"
    z = stretch(z, prior.calibration.at(progress))
    if score:
        z = z + recentring(view, expected, lambda by: z + by)
    baseline = record.baseline(goal)
    if baseline is None or not math.isfinite(baseline):
        return np.asarray(np.clip(view.metric(z), *goal.bounds))
    trivial = view.coordinate(baseline)
    if best and view.z.max() > trivial:
        return np.asarray(np.clip(view.metric(z), *goal.bounds))
    curve = float(np.mean(ends <= trivial))
    features = failure_features(view, record, goal, baseline, curve)
    z = reweighted(z, trivial, float(view.z[-1]), prior.failure.chance(features, progress))
    if score:
        expected = 0.5 * (expected + float(view.metric(z).mean()))
        z = kept_above(
            z, trivial, recentring(view, expected, lambda by: kept_above(z, trivial, by))
        )
    values = np.asarray(np.clip(view.metric(z), *goal.bounds))
    # To the last digit: who fails does not beat the trivial predictor.
    worst = np.minimum if goal.greater_is_better else np.maximum
    return np.asarray(np.where(z <= trivial, worst(values, baseline), values))


def recentring(view: CurveView, expected: float, moved: Callable[[float], np.ndarray]) -> float:
    """How far to move draws so that the metric's mean is the expected one; 0 if none does.

    A wider distribution of z has a mean nearer to the middle of the metric's range; calibration
    is to change how sure a forecast is, not what it expects. And of the curve's expectation and
    the one that the chance of failure implies the mean errs less than either (docs/forecasting.md).

    Args:
        view: space of the metric.
        expected: mean asked for, in the metric's units.
        moved: shift in units of z -> draws (n,).
    """

    def excess(by: float) -> float:
        return view.sign * (float(view.metric(moved(by)).mean()) - expected)

    if not excess(-_FAR) < 0 < excess(_FAR):
        return 0.0
    return float(brentq(excess, -_FAR, _FAR, xtol=1e-3))


def shift(
    view: CurveView, record: RunRecord, ends: np.ndarray, weights: tuple[float, ...]
) -> float:
    """How far the curve model's draws (n,) of the end have to move, in units of z.

    Args:
        view: the evaluations so far.
        record: the run so far.
        ends: the draws.
        weights: (n_terms,) of `change.TERMS`; empty for scores.
    """
    gain = float(np.median(ends) - view.z[-1])
    if weights:
        return float(np.dot(weights, loss_terms(view, record, gain))) - gain
    return score_change(view, record.max_steps, gain) - gain
