"""How a metric's values are read: from name and values to an unbounded coordinate z.

z is greater where the metric is better, whatever its scale: rates in [0, 1] and percentages
by their logit, error rates that may exceed 1 and losses by their logarithm, correlations by
Fisher's z, everything else relative to what the run itself has shown. A value of an evaluation on n
rows is uncertain by its sampling noise, and z is flat where differences are below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import MAX_ERRORS_PER_WORD, metric_facts

Shape = Literal["rate", "error", "loss", "correlation", "real"]

# A finite evaluation set: a rate of 0 or 1 is taken to be half an item in 100 away from it when
# the number of rows is not known.
RATE_EDGE = 0.005
_LOSS_FLOOR = 1e-6
# An error of quantities this small is one in their own unit; no cross-entropy begins here.
_SMALL_LOSS = 1e-4
_LOG_FLOOR = float(np.log(_LOSS_FLOOR))
_FAR = 690.0  # e to this is the end of the floating numbers, a hundredfold aside
_HUGE = 1e300
_MIN_EDGE, _MAX_EDGE = 1e-4, 0.1


@dataclass(frozen=True)
class Scale:
    """Map between a metric's own units and the coordinate z.

    Args:
        shape: family of the map.
        sign: 1 when a greater metric is better, else -1.
        unit: what values are divided by: 1, 100 for percentages, the run's own spread for "real",
            its greatest value for errors of tiny quantities.
        center: value at z = 0, for "real".
        edge: distance from a rate's ends below which values are not told apart.
    """

    shape: Shape
    sign: float
    unit: float = 1.0
    center: float = 0.0
    edge: float = RATE_EDGE

    @classmethod
    def of(cls, goal: Goal, values: np.ndarray, rows: float | None = None) -> Scale:
        """Scale of a goal's metric.

        Args:
            goal: metric, direction and kind, on the scale of its values (`RunRecord.goal_scale`).
            values: (n,) finite values seen so far.
            rows: rows of the evaluation set, None if unknown.
        """
        sign = 1.0 if goal.greater_is_better else -1.0
        edge = RATE_EDGE if rows is None else min(max(0.5 / rows, _MIN_EDGE), _MAX_EDGE)
        if goal.kind in ("rate", "percent"):
            return cls("rate", sign, goal.unit, edge=edge)
        if goal.kind == "correlation":
            return cls("correlation", sign, edge=edge)
        if goal.kind == "loss" and _per_word(goal.metric):
            percent = float(np.max(values, initial=goal.target or 0.0)) > MAX_ERRORS_PER_WORD
            return cls("error", sign, 100.0 if percent else 1.0, edge=edge)
        if goal.kind == "loss":
            return cls("loss", sign, _loss_unit(values))
        return cls.relative(goal, values)

    @classmethod
    def relative(cls, goal: Goal, values: np.ndarray) -> Scale:
        """Scale of a metric of unknown range: what the run itself has shown, values (n,)."""
        sign = 1.0 if goal.greater_is_better else -1.0
        values_known = values if goal.target is None else np.append(values, goal.target)
        values_known = np.clip(values_known, -_HUGE, _HUGE)
        if values_known.size == 0:
            return cls("real", sign)
        # The run's own spread, but never less than a tenth of its size: a flat start says little
        # about the scale of what is to come.
        spread, size = float(np.ptp(values_known)), float(np.max(np.abs(values_known)))
        # A metric that has only been 0 shows no scale, and no known run gives it one: the two that
        # began so (format rewards of one source) stayed there. It is read as of size 1, a reward's
        # usual one. The interval's ends alone depend on it: whether it beats a trivial 0 is a
        # matter of sign, a target is a scale, and without known runs no such run is stopped.
        unit = max(spread, 0.1 * size, 10.0 * (goal.tolerance or 0.0)) or 0.1
        return cls("real", sign, unit, center=float(np.median(values_known)))

    def forward(self, value: np.ndarray | float) -> np.ndarray:
        """Coordinates z of metric values, of the same shape."""
        x = np.clip(np.asarray(value, dtype=np.float64), -_HUGE, _HUGE)
        if self.shape == "real":
            return np.asarray(self.sign * (x / self.unit - self.center / self.unit))
        x = x / self.unit
        if self.shape == "loss":
            return self.sign * np.log(np.maximum(x, _LOSS_FLOOR))
        if self.shape == "error":
            return self.sign * np.log(np.maximum(x, 0.0) + self.edge)
        share = x if self.shape == "rate" else 0.5 * (1.0 + x)
        p = self.edge + (1.0 - 2.0 * self.edge) * np.clip(share, 0.0, 1.0)
        return self.sign * (np.log(p) - np.log1p(-p))

    def inverse(self, z: np.ndarray | float) -> np.ndarray:
        """Metric values of coordinates z, of the same shape, inside the metric's range."""
        x = np.clip(self.sign * np.asarray(z, dtype=np.float64), -_FAR, _FAR)
        if self.shape == "real":
            return np.asarray(self.center + self.unit * x)
        if self.shape == "loss":
            # At the floor and below, where forward puts it, a loss is not told from 0.
            return np.asarray(np.where(x <= _LOG_FLOOR, 0.0, self.unit * np.exp(x)))
        if self.shape == "error":
            return np.asarray(self.unit * np.maximum(np.exp(x) - self.edge, 0.0))
        p = 0.5 * (1.0 + np.tanh(0.5 * x))
        share = np.clip((p - self.edge) / (1.0 - 2.0 * self.edge), 0.0, 1.0)
        return np.asarray(self.unit * (share if self.shape == "rate" else 2.0 * share - 1.0))

    def slope(self, value: float) -> float:
        """Change of the metric, in fractions of its range or log units, per unit of z."""
        if self.shape in ("loss", "real"):
            return 1.0
        x = value / self.unit
        if self.shape == "error":
            return max(x, 0.0) + self.edge
        share = x if self.shape == "rate" else 0.5 * (1.0 + x)
        p = self.edge + (1.0 - 2.0 * self.edge) * min(max(share, 0.0), 1.0)
        return p * (1.0 - p) * (1.0 if self.shape == "rate" else 2.0)


def _loss_unit(values: np.ndarray) -> float:
    """Unit of a loss: 1, or its greatest value where all (n,) are so small that 0 is near them."""
    greatest = float(np.max(values, initial=0.0))
    return greatest if 0.0 < greatest < _SMALL_LOSS else 1.0


def _per_word(metric: str) -> bool:
    """Whether a metric counts errors per reference word, character or shot."""
    facts = metric_facts(metric)
    return facts is not None and facts.mostly_below is not None
