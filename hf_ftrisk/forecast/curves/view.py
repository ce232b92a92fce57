"""A record's evaluations of the goal metric, in the curve model's coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hf_ftrisk.forecast.curves.curve import Start
from hf_ftrisk.forecast.curves.schedule import Clocks, clocks
from hf_ftrisk.forecast.curves.space import MetricSpace
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

# An untrained head scores near the trivial baseline, the first training loss near the start of the
# evaluation loss; without either the first evaluation itself is all that is known of the start.
_START_SD_BASELINE = 0.5
_START_SD_UNKNOWN = 0.7
# The coordinate of a rate of 0 is a matter of convention.
_START_SD_EDGE = 2.0
# A first evaluation so far below the trivial predictor, in units of z, started there: with many
# classes an untrained head does far worse than the most frequent class.
_FAR_BELOW = 1.0


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
        steps, values = record.finite(goal.metric)
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


def began_far_below(record: RunRecord, goal: Goal) -> bool:
    """Whether a run's first evaluation lies far below the trivial predictor, if that is known."""
    view, baseline = CurveView.of(record, goal), record.baseline(goal)
    if view is None or baseline is None or not math.isfinite(baseline):
        return False
    return _far_below(float(view.z[0]), view.coordinate(baseline))


def _far_below(first: float, trivial: float) -> bool:
    return first <= trivial - _FAR_BELOW


def _start(record: RunRecord, goal: Goal, space: MetricSpace, sign: float, first: float) -> Start:
    baseline = record.baseline(goal)
    if baseline is not None and math.isfinite(baseline):
        trivial = float(sign * space.forward(baseline))
        edge = goal.kind == "rate" and not 0.0 < baseline < 1.0
        level = first if _far_below(first, trivial) else trivial
        return Start(level, _START_SD_EDGE if edge else _START_SD_BASELINE)
    if goal.metric == "eval_loss":
        _, losses = record.train_curve()
        usable = losses[np.isfinite(losses) & ((losses > 0) | (goal.kind == "real"))]
        if usable.size:
            return Start(float(sign * space.forward(usable[0])), _START_SD_BASELINE)
    return Start(first, _START_SD_UNKNOWN)
