"""A forecast: the full predictive distribution of a run's final goal metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.goal import known_threshold
from hf_ftrisk.record import RunRecord


@dataclass(frozen=True, eq=False)
class Forecast:
    """Predictive distribution p(R | what is known) of a run's final metric.

    Args:
        samples: (n_samples,) equally likely values of the final metric, in its own units; they
            are sorted on construction.
        step: optimizer steps the forecast has seen (its depth c); 0 for static signals alone.
        source: what the forecast and its calibration rest on, in words for the report.

    Raises:
        ValueError: no sample, or one that is not finite.
    """

    samples: np.ndarray
    step: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        samples = np.sort(np.asarray(self.samples, dtype=np.float64).reshape(-1))
        if samples.size == 0 or not np.all(np.isfinite(samples)):
            bad = samples[~np.isfinite(samples)][:5]
            raise ValueError(
                f"a forecast needs finite samples, got {samples.size} of them, not finite: {bad}"
            )
        object.__setattr__(self, "samples", samples)

    @classmethod
    def from_quantiles(
        cls, levels: Sequence[float], values: Sequence[float], *, step: int = 0, source: str = ""
    ) -> Forecast:
        """Forecast whose quantile function interpolates `values` (n,) at `levels` (n,) in [0, 1].

        Raises:
            ValueError: levels that do not increase, or values that decrease.
        """
        level = np.asarray(levels, dtype=np.float64)
        value = np.asarray(values, dtype=np.float64)
        if level.ndim != 1 or level.shape != value.shape or level.size == 0:
            raise ValueError(f"levels {level.shape} and values {value.shape} must be equal (n,)")
        if np.any(np.diff(level) <= 0) or np.any(np.diff(value) < 0):
            raise ValueError("levels must increase and values must not decrease")
        grid = (np.arange(400) + 0.5) / 400
        return cls(np.interp(grid, level, value), step=step, source=source)

    @property
    def mean(self) -> float:
        """Expected final value."""
        return float(self.samples.mean())

    @cached_property
    def std(self) -> float:
        """Standard deviation of the final value: the root of L(c) for this one run."""
        return float(self.samples.std())

    @property
    def point(self) -> float:
        """The one number to show: the median, which a long tail does not carry off."""
        return self.median

    @property
    def median(self) -> float:
        """Median of the final value."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> float:
        """Value below which the final metric falls with probability `q` in [0, 1]."""
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"a quantile level lies in [0, 1], got {q!r}")
        n = self.samples.size
        return float(np.interp(q, (np.arange(n) + 0.5) / n, self.samples))

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """Central interval (low, high) that holds the final value with probability `level`."""
        if not 0.0 < level < 1.0:
            raise ValueError(f"the level of an interval lies in (0, 1), got {level!r}")
        tail = (1.0 - level) / 2.0
        return self.quantile(tail), self.quantile(1.0 - tail)

    def prob_at_least(self, value: float) -> float:
        """Probability that the final metric is `value` or more, in [0, 1]."""
        below = int(np.searchsorted(self.samples, value, side="left"))
        return float((self.samples.size - below) / self.samples.size)

    def prob_meets(self, goal: Goal, baseline: float | None = None) -> float:
        """Probability that the final value meets the goal, in [0, 1].

        Args:
            goal: target and direction.
            baseline: trivial baseline, needed when the goal has no target of its own.

        Raises:
            ValueError: neither a target nor a baseline.
        """
        threshold = known_threshold(goal, baseline)
        # A target is met by equality; a baseline has to be beaten.
        reached = goal.target is not None
        side: Literal["left", "right"] = "left" if goal.greater_is_better == reached else "right"
        share_below = int(np.searchsorted(self.samples, threshold, side)) / self.samples.size
        return float(1.0 - share_below if goal.greater_is_better else share_below)

    def with_chance(self, goal: Goal, baseline: float | None, chance: float) -> Forecast:
        """The same forecast with another probability of a good outcome, known from elsewhere.

        Draws on either side of the goal's threshold keep their own distribution. A side without
        any draw is put at the threshold, the least that the chance says of it.

        Args:
            goal: target and direction.
            baseline: trivial baseline, needed when the goal has no target of its own.
            chance: probability that the goal is met, in [0, 1].

        Raises:
            ValueError: neither a target nor a baseline, or a chance outside of [0, 1].
        """
        if not 0.0 <= chance <= 1.0:
            raise ValueError(f"a chance lies in [0, 1], got {chance!r}")
        count, n_good = self.samples.size, round(self.samples.size * chance)
        n_now = round(count * self.prob_meets(goal, baseline))
        if goal.greater_is_better:
            poor, good = np.split(self.samples, [count - n_now])
        else:
            good, poor = np.split(self.samples, [n_now])
        threshold = known_threshold(goal, baseline)
        worse = -math.inf if goal.greater_is_better else math.inf
        just_worse = float(np.nextafter(threshold, worse if goal.target is not None else -worse))
        edges = (threshold, just_worse) if goal.target is not None else (just_worse, threshold)
        parts = [
            _drawn(side if side.size else np.full(1, edge), n)
            for side, edge, n in ((good, edges[0], n_good), (poor, edges[1], count - n_good))
        ]
        # Nothing is better than the best value, whatever the chance says of it.
        return replace(self, samples=np.clip(np.concatenate(parts), *goal.bounds))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict; `from_dict` restores the very samples, and so every probability."""
        return {
            "step": int(self.step),
            "source": self.source,
            "mean": self.mean,
            "std": self.std,
            "samples": self.samples.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Forecast:
        """Forecast from `to_dict`'s form."""
        return cls(
            np.array(data["samples"], dtype=np.float64),
            step=int(data.get("step", 0)),
            source=str(data.get("source", "")),
        )

    def __repr__(self) -> str:
        low, high = self.interval(0.9)
        return f"Forecast({self.point:.4g}, 90 %: [{low:.4g}, {high:.4g}], step={self.step})"


def _drawn(samples: np.ndarray, n: int) -> np.ndarray:
    """Quantiles (n,) of sorted samples at even levels."""
    return np.asarray(np.quantile(samples, (np.arange(n) + 0.5) / n)) if n else samples[:0]


class Predictor(Protocol):
    """Whatever forecasts the end of a run."""

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        """Predictive distribution of the run's final metric, from what is known so far."""
        ...
