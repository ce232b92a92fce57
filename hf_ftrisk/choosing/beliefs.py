"""What is believed of candidates' ends together: draws, chances of being best, expected regret.

Pure numpy. Values are *oriented*: greater is better, losses as logs, so that a difference of two
is a regret (a share of a loss, units of a score).

A candidate's belief is its forecast. Forecasts of one pool err independently but for what they
share: candidates seen deeper tell by how much forecasts at the shallower depth were off in common,
and those still there are moved by that much (`common_shift`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import norm

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal

_TAIL = float(norm.ppf(0.95))
_MIN_SPREAD = 1e-6
# Runs' worth of "forecasts of this pool are not off in common", against the candidates that show
# by how much they are.
_SHIFT_RUNS = 4.0
_DRAWS = 2000


@dataclass(frozen=True, eq=False)
class Belief:
    """What one forecast says of a candidate's end.

    Args:
        share: share of the run that had been seen.
        samples: (n_samples,) oriented draws of the end, sorted.
    """

    share: float
    samples: np.ndarray

    @classmethod
    def of(cls, forecast: Forecast, goal: Goal, share: float) -> Belief:
        """The belief that a forecast at a share of the run gives."""
        return cls(share, np.sort(oriented(forecast.samples, goal)))

    @cached_property
    def center(self) -> float:
        """Median."""
        return float(np.median(self.samples))

    @cached_property
    def spread(self) -> float:
        """Standard deviation of the normal distribution with the same central 90 % interval."""
        low, high = np.quantile(self.samples, [0.05, 0.95])
        return max(float(high - low) / (2.0 * _TAIL), _MIN_SPREAD)

    def moved(self, by: float) -> Belief:
        """The same belief, shifted."""
        return Belief(self.share, self.samples + by)


def oriented(values: np.ndarray | float, goal: Goal) -> np.ndarray:
    """Metric values (any shape) so that greater is better; losses as logs."""
    x = np.asarray(values, dtype=np.float64)
    if goal.kind == "loss":
        x = np.log(np.maximum(x, 1e-8))
    return x if goal.greater_is_better else -x


def common_shift(share: float, trails: Sequence[Sequence[Belief]]) -> float:
    """By how much forecasts at a share of the run were off in common, as deeper ones tell.

    The mean change of the median between the look nearest to `share` and the latest one, over the
    candidates that were seen deeper, shrunk to 0 as if `_SHIFT_RUNS` others had shown none.

    Args:
        share: depth of the forecast that is to be moved.
        trails: for each other candidate its beliefs, look by look.
    """
    changes = []
    for trail in trails:
        deeper = [b for b in trail if b.share > share + 1e-9]
        before = [b for b in trail if b.share <= share + 1e-9]
        if deeper and before:
            changes.append(trail[-1].center - before[-1].center)
    return float(np.sum(changes)) / (len(changes) + _SHIFT_RUNS)


@dataclass(frozen=True, eq=False)
class Pool:
    """The candidates' ends, drawn together.

    Args:
        draws: (n_draws, n_candidates) oriented ends.
    """

    draws: np.ndarray

    @classmethod
    def of(cls, beliefs: Sequence[Belief]) -> Pool:
        """Independent draws from the beliefs; the same for the same beliefs.

        Raises:
            ValueError: no belief.
        """
        if not beliefs:
            raise ValueError("a pool needs at least one candidate, got none")
        rng = np.random.default_rng(0)
        levels = (np.arange(_DRAWS) + 0.5) / _DRAWS
        columns = []
        for belief in beliefs:
            n = belief.samples.size
            column = np.interp(levels, (np.arange(n) + 0.5) / n, belief.samples)
            columns.append(rng.permutation(column))
        return cls(np.stack(columns, axis=1))

    @property
    def prob_best(self) -> np.ndarray:
        """(n_candidates,) chance that each ends best; ties are shared."""
        best = self.draws == self.draws.max(axis=1, keepdims=True)
        return np.asarray((best / best.sum(axis=1, keepdims=True)).mean(axis=0))

    @property
    def expected_regret(self) -> np.ndarray:
        """(n_candidates,) expected distance from the best, if each is chosen now."""
        return np.asarray((self.draws.max(axis=1, keepdims=True) - self.draws).mean(axis=0))


def value_of_looking(
    centers: np.ndarray, spreads: np.ndarray, candidate: int, resolved: float
) -> float:
    """Expected rise of what is chosen when a share of one candidate's variance is resolved.

    The expected improvement of the choice, E[max_j m_j'] - max_j m_j, where m' of the candidate
    is normal around its median (knowledge gradient; Frazier, Powell and Dayanik 2008).

    Args:
        centers: (n_candidates,) medians.
        spreads: (n_candidates,) standard deviations.
        candidate: its index.
        resolved: share of its variance that the look is expected to resolve, in [0, 1].
    """
    others = np.delete(centers, candidate)
    if not others.size:
        return 0.0
    step = float(spreads[candidate]) * math.sqrt(min(max(resolved, 0.0), 1.0))
    if step <= 0:
        return 0.0
    gap = abs(float(centers[candidate]) - float(others.max())) / step
    density = math.exp(-0.5 * gap * gap) / math.sqrt(2.0 * math.pi)
    return step * (density - gap * 0.5 * math.erfc(gap / math.sqrt(2.0)))
