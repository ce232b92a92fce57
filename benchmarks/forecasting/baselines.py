"""What a forecast has to beat: point forecasts from a prefix, and from completed runs of its task.

Each returns the final value in the metric's own units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.forecasting.prefixes import Prefix
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

POWERS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
RIDGE_PENALTY = 1.0


def last_value(prefix: Prefix) -> float:
    return float(prefix.record.curve(prefix.goal.metric)[1][-1])


def best_so_far(prefix: Prefix) -> float:
    values = prefix.record.curve(prefix.goal.metric)[1]
    return float(values.max() if prefix.goal.greater_is_better else values.min())


def power_law(prefix: Prefix) -> float:
    """a + b s^-c by least squares at the last step; the last value with fewer than 4 points."""
    steps, values = prefix.record.curve(prefix.goal.metric)
    kept = steps > 0
    steps, values = steps[kept] / prefix.record.max_steps, values[kept]
    if values.size < 4 or not np.isfinite(values).all():
        return last_value(prefix)
    best, forecast = np.inf, last_value(prefix)
    for power in POWERS:
        design = np.stack([np.ones_like(steps), steps**-power], axis=1)
        solution, *_ = np.linalg.lstsq(design, values, rcond=None)
        error = float(np.sum((values - design @ solution) ** 2))
        if error < best * (1 - 1e-9):
            best, forecast = error, float(solution.sum())
    low, high = prefix.goal.bounds
    return float(np.clip(forecast, max(low, 1e-3 if prefix.goal.kind == "loss" else low), high))


def plain_features(record: RunRecord, goal: Goal) -> np.ndarray:
    """[last, best, eval loss, train loss] (4,); NaN where never logged."""
    values = record.curve(goal.metric)[1]
    losses = record.curve("eval_loss")[1]
    train = record.train_curve()[1]
    best = values.max() if goal.greater_is_better else values.min()
    end = [x[-1] if x.size else np.nan for x in (losses, train)]
    return np.array([values[-1], best, *end])


def ridge(known: Sequence[Prefix], new: Sequence[Prefix]) -> np.ndarray:
    """Ridge on standardized plain features of k known runs; (n_new,)."""
    X = np.array([plain_features(p.record, p.goal) for p in known])
    Z = np.array([plain_features(p.record, p.goal) for p in new])
    y = np.array([p.outcome for p in known])
    used = np.isfinite(X).all(axis=0)
    X, Z = X[:, used], Z[:, used]
    center, scale = X.mean(axis=0), X.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    A, B = (X - center) / scale, (Z - center) / scale
    slope = np.linalg.solve(A.T @ A + RIDGE_PENALTY * np.eye(A.shape[1]), A.T @ (y - y.mean()))
    return np.asarray(y.mean() + np.where(np.isfinite(B), B, 0.0) @ slope)


BASELINES = {"last value": last_value, "best so far": best_so_far, "power law": power_law}
