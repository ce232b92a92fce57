"""Forecast errors of every predictor at every depth of a task's runs, each run left out in turn.

The squares of one predictor's errors, averaged over the runs, are its replayed risk U(c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.forecasting.baselines import best_so_far, last_value, power_law
from benchmarks.forecasting.held_out import held_out_forecaster
from benchmarks.forecasting.prefixes import Prefix
from benchmarks.paper.tasks import MANY_SEEDS, Task
from hf_ftrisk.risk import RiskDecomposition, fit_risk_curve
from hf_ftrisk.risk.estimators import effective_count

OURS = ("the package, no known runs", "the package, given the others")
REGRESSION = "least squares on the others"
MEAN = "mean of the others"
FOLDS = 10
# Of standardized features; small enough to leave 50 runs their least squares.
_PENALTY = 0.3
_BASELINES = {
    "last value": last_value,
    "best so far": best_so_far,
    "power law through the run": power_law,
}


@dataclass(frozen=True, eq=False)
class Replay:
    """A task's forecasts at its depths.

    Args:
        task: the task.
        depths: (n_depths,) optimizer steps.
        errors: predictor -> (n_runs, n_depths) forecast less outcome.
        spread: (n_runs, n_depths) standard deviation of the package's forecasts without known
            runs: what a probe says of its own error.
        cold: (n_runs, n_depths + 1) these forecasts' means, before the first step first.
        features: (n_runs, n_depths, n_features) what the regression sees.
    """

    task: Task
    depths: np.ndarray
    errors: Mapping[str, np.ndarray]
    spread: np.ndarray
    cold: np.ndarray
    features: np.ndarray

    @property
    def best(self) -> str:
        """Predictor with the lowest risk, as the geometric mean over the depths."""
        return min(self.errors, key=lambda name: float(np.log(self.risk(name)).mean()))

    def risk(self, name: str) -> np.ndarray:
        """(n_depths,) mean squared error of a predictor; never exactly zero."""
        return np.asarray(np.maximum((self.errors[name] ** 2).mean(axis=0), 1e-12))


def replay(task: Task) -> Replay:
    """All predictors on one task."""
    depths = task.depths
    features = features_of(task, depths)
    means, spread = _cold(task, depths)
    ends = task.ends
    errors = {
        OURS[0]: means[:, 1:] - ends[:, None],
        OURS[1]: _warm(task, depths) - ends[:, None],
        REGRESSION: regression_errors(features, ends),
        MEAN: np.repeat(mean_errors(ends)[:, None], depths.size, axis=1),
    }
    for name, forecast in _BASELINES.items():
        errors[name] = np.array(
            [[forecast(_prefix(task, i, d)) for d in depths] for i in range(len(task.runs))]
        )
        errors[name] -= ends[:, None]
    return Replay(task, depths, errors, spread, means, features)


def _prefix(task: Task, number: int, depth: float) -> Prefix:
    run = task.runs[number]
    record = run.record.prefix(float(depth))
    return Prefix(task.table, run.group, number, depth, record, run.goal, run.outcome)


def features_of(task: Task, depths: np.ndarray) -> np.ndarray:
    """(n_runs, n_depths, 4) last and best value, evaluation and training loss at each depth."""
    sign = 1.0 if task.goal.greater_is_better else -1.0
    rows = []
    for run in task.runs:
        steps, values = run.record.finite(task.goal.metric)
        loss_steps, losses = run.record.finite("eval_loss")
        train_steps, train = run.record.train_curve()
        best = sign * np.maximum.accumulate(sign * values)
        columns = [
            _at(steps, values, depths),
            _at(steps, best, depths),
            _at(loss_steps, losses, depths),
            _at(train_steps, train, depths),
        ]
        rows.append(np.stack(columns, axis=1))
    features = np.array(rows)
    # What was never logged says nothing.
    return np.where(np.isfinite(features), features, 0.0)


def _at(steps: np.ndarray, values: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """The last value at or before each depth; NaN before the first."""
    if steps.size == 0:
        return np.full(depths.size, np.nan)
    place = np.searchsorted(steps, depths + 1e-9, side="right") - 1
    return np.where(place >= 0, values[np.maximum(place, 0)], np.nan)


def mean_errors(ends: np.ndarray) -> np.ndarray:
    """(n_runs,) errors of forecasting each end by the mean of the others."""
    n = ends.size
    return np.asarray((ends.mean() - ends) * n / (n - 1))


def regression_errors(features: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(n_runs, n_depths) errors of a slightly ridged least squares, each run left out.

    In closed form: the residual over one less the leverage.
    """
    n, n_depths, _ = features.shape
    errors = np.empty((n, n_depths))
    for j in range(n_depths):
        x = features[:, j]
        spread = x.std(axis=0)
        x = (x - x.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
        design = np.column_stack([np.ones(n), x])
        penalty = np.diag([1e-9, *[_PENALTY] * x.shape[1]])
        hat = design @ np.linalg.solve(design.T @ design + penalty, design.T)
        leverage = np.minimum(np.diag(hat), 1.0 - 1e-6)
        errors[:, j] = (hat @ ends - ends) / (1.0 - leverage)
    return errors


def _cold(task: Task, depths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means (n_runs, n_depths + 1) from step 0 on, and spreads (n_runs, n_depths)."""
    forecaster = held_out_forecaster(task.table, task.runs[0].group)
    means, spread = [], []
    for run in task.runs:
        at = [forecaster.predict(run.record.prefix(float(d)), run.goal) for d in [0.0, *depths]]
        means.append([forecast.mean for forecast in at])
        spread.append([forecast.std for forecast in at[1:]])
    return np.array(means), np.array(spread)


def _warm(task: Task, depths: np.ndarray) -> np.ndarray:
    """(n_runs, n_depths) means of the package's forecasts, given the runs of the other folds."""
    cold = held_out_forecaster(task.table, task.runs[0].group)
    n = len(task.runs)
    folds = np.arange(n) % min(n, FOLDS)
    means = np.empty((n, depths.size))
    for fold in np.unique(folds):
        history = [run.record for run, k in zip(task.runs, folds, strict=True) if k != fold]
        forecaster = cold.refit(history)
        for i in np.flatnonzero(folds == fold):
            record, goal = task.runs[i].record, task.goal
            means[i] = [forecaster.predict(record.prefix(float(d)), goal).mean for d in depths]
    return means


def fit_of(
    task: Task, depths: np.ndarray, squares: np.ndarray, counts: Sequence[float] | None = None
) -> RiskDecomposition:
    """The risk curve of squared errors (n_runs, n_depths) of one predictor."""
    n = [effective_count(column) for column in squares.T] if counts is None else counts
    return fit_risk_curve(
        depths,
        np.maximum(squares.mean(axis=0), 1e-14),
        counts=np.asarray(n),
        learning_rates=task.rates,
        tolerance=task.tolerance,
        same_runs=True,
    )


def has_many_seeds(task: Task) -> bool:
    return len(task.runs) >= MANY_SEEDS
