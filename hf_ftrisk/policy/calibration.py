"""Scores of completed runs, and the threshold they put under a new run's P(good).

The score of a good run is the smallest over all its looks of P(good) / `easing`: early in a run,
where forecasts err most, a low P(good) counts for a little less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from hf_ftrisk.forecast.conformal import conformal_quantile
from hf_ftrisk.forecast.distribution import Forecast, Predictor
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.grid import FIRST_SHARE, first_evaluation, look_steps
from hf_ftrisk.record import RunRecord

# More runs than this add nothing to the threshold but the time of forecasting them. Forecasts take
# a millisecond or two each: so many of them are worth a second or two before a training.
MAX_CALIBRATION_RUNS = 100
MAX_CALIBRATION_FORECASTS = 1000
# Times as many good runs as the rule needs at least are kept, however many looks they have.
_SPARE = 1.3
# What a forecast of 1,000 draws, none of them good, says P(good) is: half a draw.
MIN_PROB = 5e-4
# Power of the share of the run that is done by which thresholds rise; chosen on the packaged runs
# (docs/evidence/policy.md). It keeps one good run that looks lost at its start from letting every
# lost run go on to its end.
EASING = 0.25


Fit = Callable[[Sequence[RunRecord]], Predictor]


def look_forecasts(
    record: RunRecord, goal: Goal, forecaster: Predictor
) -> tuple[np.ndarray, list[Forecast]]:
    """Steps (n_looks,) and forecasts at every look of a completed run that may end a run."""
    steps = look_steps(record.max_steps, record.eval_step)
    first = first_evaluation(record, goal.metric)
    steps = steps[steps >= (np.inf if first is None else first)]
    return steps, [forecaster.predict(record.prefix(step), goal) for step in steps.tolist()]


def easing(progress: np.ndarray | float) -> np.ndarray:
    """Factor in (0, 1] of the threshold at a share `progress` of the run, of the same shape."""
    return np.asarray(np.clip(progress, FIRST_SHARE, 1.0) ** EASING)


def look_scores(prob_good: np.ndarray | float, progress: np.ndarray | float) -> np.ndarray:
    """Scores of looks at a share `progress` of the run, lower is worse, of the same shape."""
    return np.asarray(np.maximum(prob_good, MIN_PROB) / easing(progress))


def score_of(record: RunRecord, goal: Goal, forecaster: Predictor) -> float:
    """Score of a completed run: the lowest of its looks; 1 without any look."""
    goal, _ = record.goal_scale(goal)
    baseline = record.baseline(goal)
    steps, forecasts = look_forecasts(record, goal, forecaster)
    prob = np.array([forecast.prob_meets(goal, baseline) for forecast in forecasts])
    return float(look_scores(prob, steps / record.max_steps).min(initial=1.0))


def drawn(records: Sequence[RunRecord], goal: Goal, false_stop_rate: float) -> list[RunRecord]:
    """The runs of `records` to calibrate on: all, or as many as the limits allow.

    Which ones is drawn with a fixed seed, without regard to how they went.

    Args:
        records: completed runs of which `is_good` is known.
        goal: what a run is judged by.
        false_stop_rate: allowed chance that a good run is stopped.
    """
    good = [run for run in records if run.met(goal)]
    if not good:
        return list(records[-MAX_CALIBRATION_RUNS:])
    looks = float(np.mean([look_steps(run.max_steps, run.eval_step).size for run in good]))
    kept = max(MAX_CALIBRATION_FORECASTS / looks, _SPARE / false_stop_rate)
    max_runs = min(MAX_CALIBRATION_RUNS, round(kept * len(records) / len(good)))
    if len(records) <= max_runs:
        return list(records)
    chosen = np.random.default_rng(0).permutation(len(records))[:max_runs]
    return [records[i] for i in sorted(chosen.tolist())]


def cross_fitted_scores(
    records: Sequence[RunRecord], goal: Goal, forecaster: Predictor, fit: Fit | None, folds: int
) -> np.ndarray:
    """Scores (n_runs,) of completed runs, each from a forecaster that never saw it.

    Args:
        records: completed runs; only the good ones are forecast, the others' score is NaN.
        goal: what a run is judged by.
        forecaster: used for all runs when there is no `fit`.
        fit: builds a forecaster from runs: those of one fold are forecast by one fitted to the
            others.
        folds: number of folds, dealt out in turn.

    Raises:
        ValueError: fewer than 2 folds.
    """
    if folds < 2:
        raise ValueError(f"cross-fitting needs at least 2 folds, got {folds!r}")
    scores = np.full(len(records), np.nan)
    good = np.array([bool(run.met(goal)) for run in records], dtype=bool)
    fold_of = np.arange(len(records)) % min(folds, max(len(records), 1))
    for fold in np.unique(fold_of[good]):
        used = forecaster
        if fit is not None:
            used = fit([run for run, k in zip(records, fold_of, strict=True) if k != fold])
        for index in np.flatnonzero(good & (fold_of == fold)).tolist():
            scores[index] = score_of(records[index], goal, used)
    return scores


def conformal_threshold(
    scores: Sequence[float] | np.ndarray, groups: Sequence[str] | None, false_stop_rate: float
) -> float | None:
    """Largest score x such that a new good run scores below x with probability <= the rate.

    A conformal quantile of the scores with their sign turned (`conformal_quantile`, which says what
    groups do). Without groups x is the k-th smallest of n scores, k = floor(rate (n + 1)).

    Args:
        scores: (n_good,) scores of the good calibration runs.
        groups: (n_good,) the group (task) of each; None: each run counts on its own.
        false_stop_rate: allowed chance, in (0, 1).

    Returns:
        The threshold, None when there are too few groups for any: fewer than 1 / rate - 1.
    """
    turned = -np.asarray(scores, dtype=np.float64)
    quantile = conformal_quantile(turned, 1.0 - false_stop_rate, groups)
    return None if math.isinf(quantile) else -quantile
