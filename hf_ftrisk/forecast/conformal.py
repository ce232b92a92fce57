"""Conformal calibration of forecasts, by depth, with the finite-sample correction.

The score of a forecast is how far the outcome lies from its median, as a share of the distance
from the median to the end of the central interval on that side. The interval is inflated by the
conformal quantile of the scores of completed runs at the same depth (Mondrian conformal
prediction, Vovk et al. 2005), each of several levels by its own, since forecasts that are too sure
of their tails need not be of their middle. Runs cluster by task: with groups the new run comes
from a new group and the known groups weigh alike (hierarchical conformal prediction, Dunn,
Wasserman and Ramdas 2023).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_ftrisk.record.columns import median

LEVEL = 0.9
# Levels of the central intervals that are calibrated; between them factors are interpolated.
LEVELS = (0.5, 0.8, 0.9)
# Depths of the calibration, as shares of the run; between them factors are interpolated.
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
    if groups is None:
        place = max(math.ceil((level - _ROUNDING) * (values.size + 1)), 1)
        enough = place <= values.size
        return float(np.partition(values, place - 1)[place - 1]) if enough else math.inf
    names = list(groups)
    if len(names) != values.size:
        raise ValueError(f"{values.size} scores need as many groups, got {len(names)}")
    sizes = Counter(names)
    order = np.argsort(values, kind="stable")
    share = 1.0 / ((len(sizes) + 1) * np.array([sizes[name] for name in names])[order])
    covering = np.flatnonzero(np.cumsum(share) >= level - _ROUNDING)
    return float(values[order[covering[0]]]) if covering.size else math.inf


def inflate(samples: np.ndarray, factors: Sequence[float] | np.ndarray) -> np.ndarray:
    """Draws moved away from (factor > 1) or towards their median, sorted.

    Args:
        samples: (n,) draws.
        factors: (n_levels,) factor for the ends of each central interval of `LEVELS`; a draw in
            between has one in between. Draws never change their order.
    """
    ordered = np.sort(samples)
    n = ordered.size
    level = np.abs(2.0 * (np.arange(n) + 0.5) / n - 1.0)
    middle = median(ordered)
    moved = (ordered - middle) * np.interp(level, LEVELS, factors)
    half = n // 2
    moved[half:] = np.maximum.accumulate(moved[half:])
    moved[:half] = np.minimum.accumulate(moved[:half][::-1])[::-1]
    return np.asarray(middle + moved)


@dataclass(frozen=True)
class DepthCalibration:
    """Factors by which forecasts of each depth are inflated.

    Args:
        factors: (n_depths, n_levels) for `DEPTHS` and `LEVELS`.
        groups: number of groups of runs behind them.
    """

    factors: tuple[tuple[float, ...], ...] = ((1.0,) * len(LEVELS),) * len(DEPTHS)
    groups: int = 0

    def __post_init__(self) -> None:
        if np.shape(self.factors) != (len(DEPTHS), len(LEVELS)):
            raise ValueError(
                f"{len(DEPTHS)} depths and {len(LEVELS)} levels need as many factors, "
                f"got {self.factors!r}"
            )

    def at(self, progress: float) -> np.ndarray:
        """Factors (n_levels,) at a share `progress` of the run."""
        table = np.array(self.factors)
        return np.array([np.interp(progress, DEPTHS, column) for column in table.T])
