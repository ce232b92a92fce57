"""Risk curves with a known truth."""

from __future__ import annotations

import numpy as np

HORIZON = 1000
DEPTHS = np.geomspace(20, 900, 8)


def linear_schedule(steps: int = HORIZON, peak: float = 1.0) -> np.ndarray:
    """Learning rates (T,) that fall linearly to zero, as the Trainer's default."""
    return peak * (1.0 - np.arange(steps) / steps)


def measured(risk: np.ndarray, runs: int, seed: int) -> np.ndarray:
    """Sample variances of `runs` normally distributed runs at each depth."""
    random = np.random.default_rng(seed)
    return risk * random.chisquare(runs - 1, risk.shape) / (runs - 1)
