"""From what is known of a run to the predictive distribution of its final metric."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hf_ftrisk.forecast.curve import CurveModel
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.schedule import clocks
from hf_ftrisk.forecast.space import MetricSpace
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

_SAMPLES = 400
_MAX_POINTS = 24
_MAX_FUTURE = 8


@dataclass(frozen=True, eq=False)
class Forecaster:
    """Forecasts a run's final goal metric from its record so far.

    Args:
        history: completed runs that may be used, as a tuple.
    """

    history: tuple[RunRecord, ...] = ()

    @classmethod
    def default(cls, history: Iterable[RunRecord] | None = None) -> Forecaster:
        """Forecaster on the packaged priors and, when given, on completed runs.

        Args:
            history: a RunHistory or any iterable of completed records; None: packaged runs alone.
        """
        return cls(history=() if history is None else tuple(history))

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        """Predictive distribution of the final value of the goal's metric.

        Works from the planned run alone (no evaluation yet) to the finished trajectory.
        """
        steps, values = _finite_curve(record, goal.metric)
        space = MetricSpace.of(goal, values)
        rng = np.random.default_rng(0)
        if values.size == 0:
            z = _static_samples(record, goal, space, rng)
            source = "no evaluation yet: wide prior of the metric's range"
        else:
            z = _curve_samples(record, goal, space, steps, values, rng)
            source = "curve model on packaged priors"
        low, high = goal.bounds
        samples = np.clip(space.inverse(z), low, high)
        return Forecast(samples, step=record.last_step, source=source)


def _finite_curve(record: RunRecord, metric: str) -> tuple[np.ndarray, np.ndarray]:
    steps, values = record.curve(metric)
    kept = np.isfinite(values)
    return steps[kept], values[kept]


def _thin(n: int) -> np.ndarray:
    """Indices of at most _MAX_POINTS evaluations: all recent ones, older ones more sparsely."""
    if n <= _MAX_POINTS:
        return np.arange(n)
    recent = np.arange(n - _MAX_POINTS // 2, n)
    older = np.linspace(0, n - _MAX_POINTS // 2 - 1, _MAX_POINTS // 2).round().astype(int)
    return np.unique(np.concatenate([older, recent]))


def _curve_samples(
    record: RunRecord,
    goal: Goal,
    space: MetricSpace,
    steps: np.ndarray,
    values: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    ticking = clocks(record)
    kept = _thin(steps.size)
    z = space.forward(values)
    drift, noise = ticking.at(np.minimum(steps[kept], record.max_steps))
    ahead = _future_steps(steps, record.max_steps, every=record.load_best)
    posterior = CurveModel().posterior(
        z[kept], drift, noise, ticking.at(ahead), better=1.0 if goal.greater_is_better else -1.0
    )
    paths = posterior.sample(_SAMPLES, rng)
    if not record.load_best:
        return np.asarray(paths[:, -1])
    # The best checkpoint is kept: what was reached cannot be lost again.
    if goal.greater_is_better:
        return np.asarray(np.maximum(paths.max(axis=1), z.max()))
    return np.asarray(np.minimum(paths.min(axis=1), z.min()))


def _future_steps(steps: np.ndarray, max_steps: int, *, every: bool) -> np.ndarray:
    """Steps (m,) of the evaluations still to come, the last one at the end of the run."""
    if not every or steps[-1] >= max_steps:
        return np.array([float(max_steps)])
    spacing = float(np.median(np.diff(np.concatenate([[0.0], steps])))) or float(max_steps)
    count = math.ceil((max_steps - steps[-1]) / spacing)
    points = int(np.clip(count, 1, _MAX_FUTURE))
    return np.linspace(steps[-1], max_steps, points + 1)[1:]


def _static_samples(
    record: RunRecord, goal: Goal, space: MetricSpace, rng: np.random.Generator
) -> np.ndarray:
    """Coordinates (n,) spread over all the metric could plausibly become."""
    share = (rng.permutation(_SAMPLES) + 0.5) / _SAMPLES
    baseline = record.baseline(goal)
    if goal.kind in ("rate", "correlation"):
        low, high = goal.bounds
        edge = baseline if baseline is not None else max(low, 0.0) if high == 1.0 else low
        best = high if goal.greater_is_better else low
        return space.forward(edge + (best - edge) * share)
    if goal.kind == "loss":
        _, losses = record.train_curve()
        known = losses[np.isfinite(losses) & (losses > 0)]
        scale = baseline or (float(known[-1]) if known.size else goal.target) or 1.0
        return space.forward(scale) + 0.8 * rng.standard_normal(_SAMPLES)
    middle = space.forward(baseline if baseline is not None else space.center)
    return np.asarray(middle + 3.0 * rng.standard_normal(_SAMPLES))
