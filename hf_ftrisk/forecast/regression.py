"""Regression on few completed runs: every estimator with its leave-one-out predictions.

Leave-one-out predictions are exact and come from one fit (the hat matrix), so that weights between
estimators can be chosen on runs that each of them has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

_PENALTIES = np.geomspace(0.3, 1000.0, 9)
_TIED = 1e-9


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
        outcomes: (n,) what came true.
        prior_runs: number of runs that "no error" counts for.
    """
    errors = outcomes - values
    n = errors.size
    return Estimate(
        value + float(errors.sum()) / (n + prior_runs),
        values + (errors.sum() - errors) / (n - 1 + prior_runs),
    )


def standardised(known: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def ridge(known: np.ndarray, new: np.ndarray, outcomes: np.ndarray) -> Estimate:
    """Ridge regression on standardised features, its penalty chosen by leaving one out.

    Args:
        known: (n, p) features of the known runs, centred; n >= 2.
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
        kept = size**2 / (size**2 + penalty)
        fitted = center + left @ (kept * target)
        leverage = 1.0 / n + (left**2) @ kept
        held_out = outcomes - (outcomes - fitted) / np.maximum(1.0 - leverage, 1e-3)
        error = float(np.mean((outcomes - held_out) ** 2))
        if error < best_error - _TIED:
            slope = right.T @ (size / (size**2 + penalty) * target)
            best, best_error = Estimate(center + float(new @ slope), held_out), error
    return best


def stack(
    estimates: list[Estimate],
    outcomes: np.ndarray,
    prior_weights: np.ndarray,
    prior_runs: float,
) -> Estimate:
    """Average of estimators whose weights, >= 0 and summing to 1, err least on held-out runs.

    Args:
        estimates: the estimators.
        outcomes: (n,) outcomes of the known runs.
        prior_weights: (n_estimators,) weights to shrink to.
        prior_runs: number of runs that the prior weights count for.
    """
    held_out = np.stack([e.held_out for e in estimates], axis=1)
    values = np.array([e.value for e in estimates])
    # Weights far from the prior's have to pay for themselves, on the scale of the disagreement.
    spread = float(np.mean(np.var(held_out, axis=1))) * len(estimates) + 1e-12
    pull = np.sqrt(prior_runs * spread)
    total = 1e3 * max(float(np.abs(held_out).max()), np.sqrt(spread))
    design = np.concatenate(
        [held_out, pull * np.eye(len(estimates)), np.full((1, len(estimates)), total)]
    )
    target = np.concatenate([outcomes, pull * prior_weights, [total]])
    weights, _ = nnls(design, target)
    weights /= weights.sum()
    return Estimate(float(values @ weights), held_out @ weights)


def closeness(known: np.ndarray, new: np.ndarray) -> np.ndarray:
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
