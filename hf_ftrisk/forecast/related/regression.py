"""Regression on few completed runs: every estimator with its leave-one-out predictions.

Leave-one-out predictions are exact and come from one fit (the hat matrix), so that weights between
estimators can be chosen on runs that each of them has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_PENALTIES = np.geomspace(0.3, 1000.0, 9)
_TIED = 1e-9
# With a quarter or four times as many draws forecasts err the same.
_RESAMPLES = 100
# Independent Gaussian errors would call for one power of the squared error every 2 runs. Held-out
# errors of few runs depend on one another: half as steep costs less where the mean is best.
_RUNS_A_POWER = 4.0
# With fewer runs the weights without one of them are too unlike those with it.
_MIN_OTHERS = 8


@dataclass(frozen=True, eq=False)
class Estimate:
    """One estimator's predictions.

    Args:
        value: prediction for the new run.
        held_out: (n_known,) prediction for each known run from the others.
    """

    value: float
    held_out: np.ndarray


def mean_of_known(outcomes: np.ndarray) -> Estimate:
    """Mean of n >= 2 known outcomes (n,)."""
    n = outcomes.size
    return Estimate(float(outcomes.mean()), (outcomes.sum() - outcomes) / (n - 1))


def shifted(values: np.ndarray, value: float, outcomes: np.ndarray, prior_runs: float) -> Estimate:
    """Another forecast plus its mean error on the known runs, shrunk towards no shift.

    Args:
        values: (n,) the other forecast for each known run.
        value: and for the new one.
        outcomes: (n,) the outcome.
        prior_runs: number of runs that "no error" counts for.
    """
    errors = outcomes - values
    n = errors.size
    return Estimate(
        value + float(errors.sum()) / (n + prior_runs),
        values + (errors.sum() - errors) / (n - 1 + prior_runs),
    )


def standardized(known: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, p) and (p,) on the known runs' scale, those that say nothing left out.

    A new run beyond the known runs counts as three standard deviations away at most.
    """
    used = np.isfinite(new) & np.isfinite(known).all(axis=0)
    known, new = known[:, used], new[used]
    scale = known.std(axis=0)
    varies = scale > 1e-9 * np.maximum(np.abs(known).max(axis=0, initial=0.0), 1e-9)
    known, new, scale = known[:, varies], new[varies], scale[varies]
    center = known.mean(axis=0)
    return (known - center) / scale, np.clip((new - center) / scale, -3.0, 3.0)


def ridge_estimate(known: np.ndarray, new: np.ndarray, outcomes: np.ndarray) -> Estimate:
    """Ridge regression on standardized features, its penalty chosen by leaving one out.

    Args:
        known: (n, p) features of the known runs, centered; n >= 2.
        new: (p,) features of the new run.
        outcomes: (n,) outcomes of the known runs.
    """
    n = outcomes.size
    center = float(outcomes.mean())
    left, size, right = np.linalg.svd(known, full_matrices=False)
    target = left.T @ (outcomes - center)
    best = mean_of_known(outcomes)
    best_error = float(np.mean((outcomes - best.held_out) ** 2))
    # From the strongest penalty on: a weaker one has to be better.
    for penalty in _PENALTIES[::-1]:
        shrinkage = size**2 / (size**2 + penalty)
        fitted = center + left @ (shrinkage * target)
        leverage = 1.0 / n + (left**2) @ shrinkage
        held_out = outcomes - (outcomes - fitted) / np.maximum(1.0 - leverage, 1e-3)
        error = float(np.mean((outcomes - held_out) ** 2))
        if error < best_error - _TIED:
            slope = right.T @ (size / (size**2 + penalty) * target)
            best, best_error = Estimate(center + float(new @ slope), held_out), error
    return best


def averaged(estimates: list[Estimate], outcomes: np.ndarray, odds: np.ndarray) -> Estimate:
    """Average of estimators, weighted by how often and how far each errs less on held-out runs.

    The known runs are drawn again and again; every draw weighs an estimator by its odds times a
    power of its mean squared error, and the weights are averaged over the draws. An estimator
    whose gain hangs on single runs gets little more than its odds.

    Args:
        estimates: the estimators.
        outcomes: (n,) outcomes of the known runs.
        odds: (n_estimators,) weights of equally good estimators, > 0.
    """
    held_out = np.stack([e.held_out for e in estimates], axis=1)
    values = np.array([e.value for e in estimates])
    squares = (outcomes[:, None] - held_out) ** 2
    counts = _resamples(outcomes.size)
    errors = counts @ squares
    weights = _weights(errors, odds, outcomes.size).mean(axis=0)
    value = float(values @ weights)
    if outcomes.size < _MIN_OTHERS:
        return Estimate(value, held_out @ weights)
    # A run's own error is no argument for the estimators that forecast it.
    without = errors[:, None, :] - counts[:, :, None] * squares
    others = _weights(without, odds, outcomes.size).mean(axis=0)
    return Estimate(value, np.sum(held_out * others, axis=1))


def _weights(errors: np.ndarray, odds: np.ndarray, n: int) -> np.ndarray:
    """Weights (..., n_estimators), summing to 1, from squared errors on n runs."""
    floor = 1e-3 * errors.max(axis=-1, keepdims=True) + 1e-12
    scores = np.log(odds) - max(1.0, n / _RUNS_A_POWER) * np.log(np.maximum(errors, 0.0) + floor)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


@lru_cache(maxsize=256)
def _resamples(n: int) -> np.ndarray:
    """Shares (_RESAMPLES, n) of n runs in draws from them, always the same: Bayesian bootstrap."""
    return np.random.default_rng(0).dirichlet(np.ones(n), size=_RESAMPLES)


def kernel_weights(known: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Weights (n,) of the known runs by how near their features (n, p) lie to the new run's (p,).

    Half of the weight is shared evenly: nearness never silences a run.
    """
    n = len(known)
    even = np.full(n, 1.0 / n)
    if known.shape[1] == 0:
        return even
    distance = np.sqrt(np.mean((known - new) ** 2, axis=1))
    width = max(float(np.median(distance)), 0.3)
    near = np.exp(-0.5 * (distance / width) ** 2)
    return np.asarray(0.5 * even + 0.5 * near / near.sum())
