"""Conformal calibration of forecasts, by depth, with the finite-sample correction.

The score of a forecast is how far the outcome lies from its median, as a share of the distance
from the median to the end of the central interval on that side. The interval is stretched by the
conformal quantile of the scores of completed runs at the same depth (Mondrian conformal
prediction, Vovk et al. 2005). Runs cluster by task: with groups the new run comes from a new group
and the known groups weigh alike (hierarchical conformal prediction, Dunn, Wasserman and Ramdas
2023).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.9
# Depths of the calibration, as shares of the run; a forecast uses the nearest.
DEPTHS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_ROUNDING = 1e-9


def conformal_quantile(
    scores: Sequence[float] | np.ndarray,
    level: float = LEVEL,
    groups: Sequence[str] | None = None,
) -> float:
    """Smallest score that a new one exceeds with probability at most 1 - `level`.

    Without groups it is the ceil(level (n + 1))-th smallest of n scores. With groups each of the K
    groups weighs 1 / (K + 1), shared evenly by its scores, and so does the unknown group, whose
    score counts as infinite.

    Args:
        scores: (n,) scores of completed runs, greater is worse.
        level: probability to be covered, in (0, 1).
        groups: (n,) group of each; None: each score is a group of its own.

    Returns:
        The quantile; infinity when there are too few scores or groups for this level.

    Raises:
        ValueError: a level outside (0, 1), or groups of another length.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"the level of an interval lies in (0, 1), got {level!r}")
    values = np.asarray(scores, dtype=np.float64)
    names = [str(i) for i in range(values.size)] if groups is None else list(groups)
    if len(names) != values.size:
        raise ValueError(f"{values.size} scores need as many groups, got {len(names)}")
    sizes = Counter(names)
    order = np.argsort(values, kind="stable")
    share = np.array([1.0 / ((len(sizes) + 1) * sizes[names[i]]) for i in order.tolist()])
    enough = np.flatnonzero(np.cumsum(share) >= level - _ROUNDING)
    return float(values[order[enough[0]]]) if enough.size else float("inf")


def interval_score(samples: np.ndarray, outcome: float, level: float = LEVEL) -> float:
    """Distance of the outcome from the median in units of the interval's reach on that side.

    Args:
        samples: (n,) draws of the forecast.
        outcome: what came true, on the same scale.
        level: level of the central interval.
    """
    low, middle, high = np.quantile(samples, [(1 - level) / 2, 0.5, (1 + level) / 2])
    reach = high - middle if outcome >= middle else middle - low
    return float(abs(outcome - middle) / max(reach, 1e-12))


def stretch(samples: np.ndarray, factor: float) -> np.ndarray:
    """Draws moved away from (factor > 1) or towards their median."""
    middle = np.median(samples)
    return np.asarray(middle + factor * (samples - middle))


@dataclass(frozen=True)
class DepthCalibration:
    """Factor by which forecasts of each depth are stretched.

    Args:
        factors: one for each of `DEPTHS`.
        groups: number of groups of runs behind them.
    """

    factors: tuple[float, ...] = (1.0,) * len(DEPTHS)
    groups: int = 0

    def __post_init__(self) -> None:
        if len(self.factors) != len(DEPTHS):
            raise ValueError(f"{len(DEPTHS)} depths need as many factors, got {self.factors!r}")

    def factor(self, progress: float) -> float:
        """Factor at a share `progress` of the run."""
        return self.factors[nearest_depth(progress)]


def nearest_depth(progress: float) -> int:
    """Index into `DEPTHS` of the nearest one."""
    return int(np.argmin(np.abs(np.array(DEPTHS) - progress)))
