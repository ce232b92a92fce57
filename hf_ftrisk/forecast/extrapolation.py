"""A record's evaluations as the curve model sees them, and the forecast it makes of their end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hf_ftrisk.forecast.curve import Start, condition
from hf_ftrisk.forecast.prior import CurvePrior
from hf_ftrisk.forecast.schedule import Clocks, clocks
from hf_ftrisk.forecast.space import MetricSpace
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

_MAX_POINTS = 14
_MAX_FUTURE = 6
# An untrained head scores near the trivial baseline, the first training loss near the start of the
# evaluation loss; without either the first evaluation itself is all that is known of the start.
_START_SD_BASELINE = 0.5
_START_SD_UNKNOWN = 0.7
# On tables that the prior was not fitted to, the model's gain is half right: the forecast moves
# this share of the way to what was reached (the middle of last and best), in full from this share
# of the run on. Chosen on the benchmark (docs/forecasting.md).
_PULL = 0.5
_PULL_FROM = 0.2


@dataclass(frozen=True, eq=False)
class CurveView:
    """The goal metric of one record in the curve model's coordinates.

    Args:
        space: map between metric and coordinate.
        sign: 1 when greater is better, else -1; z is multiplied by it.
        steps: (n,) steps of the evaluations.
        z: (n,) evaluations, greater is better.
        clocks: clocks of the planned schedule.
        start: belief about the level at step 0.
    """

    space: MetricSpace
    sign: float
    steps: np.ndarray
    z: np.ndarray
    clocks: Clocks
    start: Start

    @classmethod
    def of(cls, record: RunRecord, goal: Goal) -> CurveView | None:
        """View of a record's goal metric; None while it has no finite evaluation."""
        steps, values = record.curve(goal.metric)
        kept = np.isfinite(values)
        steps, values = steps[kept], values[kept]
        if values.size == 0:
            return None
        space = MetricSpace.of(goal, values)
        sign = 1.0 if goal.greater_is_better else -1.0
        z = sign * space.forward(values)
        start = _start(record, goal, space, sign, float(z[0]))
        return cls(space, sign, np.minimum(steps, record.max_steps), z, clocks(record), start)

    def metric(self, z: np.ndarray) -> np.ndarray:
        """Metric values of oriented coordinates."""
        return self.space.inverse(self.sign * z)

    def coordinate(self, value: float) -> float:
        """Oriented coordinate of a metric value."""
        return float(self.sign * self.space.forward(value))


def _start(record: RunRecord, goal: Goal, space: MetricSpace, sign: float, first: float) -> Start:
    baseline = record.baseline(goal)
    if baseline is not None and math.isfinite(baseline):
        return Start(float(sign * space.forward(baseline)), _START_SD_BASELINE)
    if goal.metric == "eval_loss":
        _, losses = record.train_curve()
        usable = losses[np.isfinite(losses) & (losses > 0)]
        if usable.size:
            return Start(float(sign * space.forward(usable[0])), _START_SD_BASELINE)
    return Start(first, _START_SD_UNKNOWN)


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


def sample_outcome(
    view: CurveView, prior: CurvePrior, *, best: bool, max_steps: int, n: int
) -> np.ndarray:
    """Oriented coordinates (n,) of the run's outcome under the curve model, sorted.

    Args:
        view: the evaluations so far.
        prior: grid and weights.
        best: whether the best evaluation, not the last, is the outcome.
        max_steps: step at which the run ends.
        n: number of samples.
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
    paths = mixture.sample(prior.log_prior, n, np.random.default_rng(0), prior.outcome_sd)
    ends = paths.max(axis=1) if best else paths[:, -1]
    reached = view.z.max() if best else 0.5 * (view.z[-1] + view.z.max())
    pull = _PULL * min(view.steps[-1] / max_steps / _PULL_FROM, 1.0)
    ends = ends + pull * (reached - np.median(ends))
    # The best checkpoint is kept: what was reached cannot be lost again.
    return np.sort(np.maximum(ends, view.z.max()) if best else ends)
