"""The score that the conformal widths of `hf_ftrisk.forecast.conformal` are quantiles of."""

from __future__ import annotations

import numpy as np


def nonconformity(samples: np.ndarray, outcome: np.ndarray | float, level: float) -> np.ndarray:
    """Distance (...) of the outcome from the median, in units of the interval's reach on that side.

    Args:
        samples: (..., n) draws of each forecast.
        outcome: (...) the outcomes, on the same scale.
        level: level of the central interval.
    """
    levels = [(1 - level) / 2, 0.5, (1 + level) / 2]
    low, middle, high = np.quantile(samples, levels, axis=-1)
    reach = np.where(outcome >= middle, high - middle, middle - low)
    return np.asarray(np.abs(outcome - middle) / np.maximum(reach, 1e-12))
