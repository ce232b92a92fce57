"""Unbounded coordinates for metrics that live in a range.

Curves are modelled where additive noise makes sense: rates and percentages by their logit, losses
by their logarithm, correlations by Fisher's z, other scores on a scale taken from the run itself.
Going back keeps every forecast inside the metric's range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import MetricKind

# Evaluation sets are finite: a rate of 0 or 1 stands for "at most half an item in 100 away". All
# rates are drawn in by that much, so that 0 and 1 have coordinates of their own.
_RATE_EDGE = 0.005
_CORRELATION_EDGE = 0.999
_LOSS_FLOOR = 1e-8
_HUNDRED = 100.0


@dataclass(frozen=True)
class MetricSpace:
    """Map between a metric's own units and an unbounded coordinate z.

    Args:
        kind: range of the metric.
        center: value at z = 0, for ``"real"`` metrics.
        scale: units of the metric per unit of z, for ``"real"`` metrics; > 0.
    """

    kind: MetricKind
    center: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, goal: Goal, values: np.ndarray | None = None) -> MetricSpace:
        """Space of a goal's metric; `values` (n,) set the scale of a metric of unknown range."""
        if goal.kind is None:
            raise ValueError(f"{goal.metric} has no kind")
        if goal.kind != "real":
            return cls(goal.kind)
        seen = np.asarray([] if values is None else values, dtype=np.float64)
        seen = seen[np.isfinite(seen)]
        anchor = [goal.target] if goal.target is not None else []
        known = np.concatenate([seen, np.asarray(anchor, dtype=np.float64)])
        if known.size == 0:
            return cls("real")
        # The run's own spread, but never less than a tenth of its size: a flat start says little
        # about the scale of what is to come.
        spread = float(np.ptp(known))
        size = float(np.max(np.abs(known)))
        scale = max(spread, 0.1 * size, 10.0 * (goal.tolerance or 0.0)) or 1.0
        return cls("real", center=float(np.median(known)), scale=scale)

    def forward(self, value: np.ndarray | float) -> np.ndarray:
        """Coordinates z of metric values, of the same shape."""
        x = np.asarray(value, dtype=np.float64)
        if self.kind in ("rate", "percent"):
            x = x / _HUNDRED if self.kind == "percent" else x
            p = _RATE_EDGE + (1.0 - 2.0 * _RATE_EDGE) * np.clip(x, 0.0, 1.0)
            return np.log(p) - np.log1p(-p)
        if self.kind == "correlation":
            return np.arctanh(np.clip(x, -_CORRELATION_EDGE, _CORRELATION_EDGE))
        if self.kind == "loss":
            return np.log(np.maximum(x, _LOSS_FLOOR))
        return (x - self.center) / self.scale

    def inverse(self, z: np.ndarray | float) -> np.ndarray:
        """Metric values of coordinates z, of the same shape, inside the metric's range."""
        x = np.asarray(z, dtype=np.float64)
        if self.kind in ("rate", "percent"):
            p = 1.0 / (1.0 + np.exp(-np.clip(x, -40.0, 40.0)))
            rate = np.clip((p - _RATE_EDGE) / (1.0 - 2.0 * _RATE_EDGE), 0.0, 1.0)
            return _HUNDRED * rate if self.kind == "percent" else rate
        if self.kind == "correlation":
            return np.tanh(x)
        if self.kind == "loss":
            return np.exp(np.clip(x, math.log(_LOSS_FLOOR), 80.0))
        return self.center + self.scale * x
