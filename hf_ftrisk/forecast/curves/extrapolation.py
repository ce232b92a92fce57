"""The curve model's forecast of the end of one record's evaluations."""

from __future__ import annotations

import math

import numpy as np

from hf_ftrisk.forecast.curves.curve import condition
from hf_ftrisk.forecast.curves.view import CurveView
from hf_ftrisk.forecast.prior import CurvePrior

_MAX_POINTS = 14
_MAX_FUTURE = 6


def thin(n: int) -> np.ndarray:
    """Indices of at most _MAX_POINTS evaluations: the recent ones, older ones more sparsely."""
    if n <= _MAX_POINTS:
        return np.arange(n)
    half = _MAX_POINTS // 2
    older = np.linspace(0, n - half - 1, half).round().astype(int)
    return np.unique(np.concatenate([older, np.arange(n - half, n)]))


def _future_steps(steps: np.ndarray, max_steps: int, *, every: bool) -> np.ndarray:
    """Steps (m,) of the evaluations still to come, the last one at the end of the run."""
    if not every or steps[-1] >= max_steps:
        return np.array([float(max_steps)])
    spacing = float(np.median(np.diff(np.concatenate([[0.0], steps])))) or float(max_steps)
    count = math.ceil((max_steps - steps[-1]) / spacing)
    points = int(np.clip(count, 1, _MAX_FUTURE))
    return np.linspace(steps[-1], max_steps, points + 1)[1:]


def sample_paths(
    view: CurveView, prior: CurvePrior, *, best: bool, max_steps: int, n: int
) -> np.ndarray:
    """Oriented coordinates (n, n_points) of the evaluations still to come, the last at the end.

    Args:
        view: the evaluations so far.
        prior: grid and weights.
        best: whether the path to the end is asked for, not the end alone.
        max_steps: step at which the run ends.
        n: number of paths.
    """
    kept = thin(view.z.size)
    mixture = condition(
        prior.grid,
        prior.components,
        view.z[kept],
        view.clocks.at(view.steps[kept]),
        view.clocks.at(_future_steps(view.steps, max_steps, every=best)),
        view.start,
    )
    return mixture.sample(prior.log_prior, n, np.random.default_rng(0), prior.outcome_sd)
