"""What is believed of candidates' ends together: draws, chances of being best, expected regret.

Pure numpy. Values are *oriented*: greater is better, losses as logs, so that a difference of two
is a regret (a share of a loss, units of a score).

A candidate's belief lies half way between its last value and the median of its forecast: on the
project's own recordings the choice lost less so than by either alone, and less than by the mean.
Beliefs of one pool err independently but for what they share: candidates seen deeper tell by how
much those at the shallower depth were off in common, and those still there are moved by that much
(`common_shift`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal

_TAIL = float(norm.ppf(0.95))
_MIN_SPREAD = 1e-6
# Weight of the forecast's median against the last value (chosen in docs/evidence/choosing.md).
FORECAST = 0.5
# Runs' worth of "forecasts of this pool are not off in common", against the candidates that show
# by how much they are.
SHIFT_RUNS = 4.0
_DRAWS = 2000


@dataclass(frozen=True)
class Belief:
    """What is believed of a candidate's end: a normal distribution.

    Args:
        share: share of the run that had been seen.
        center: its middle, oriented.
        spread: its standard deviation.
    """

    share: float
    center: float
    spread: float

    @classmethod
    def of(cls, forecast: Forecast, last: float, goal: Goal, share: float) -> Belief:
        """The belief that a forecast and the value it started from give.

        Args:
            forecast: of the outcome.
            last: metric at the look.
            goal: what is measured.
            share: share of the run that was seen.
        """
        low, middle, high = np.quantile(oriented(forecast.samples, goal), [0.05, 0.5, 0.95])
        center = FORECAST * middle + (1.0 - FORECAST) * float(oriented(last, goal))
        return cls(share, float(center), max(float(high - low) / (2.0 * _TAIL), _MIN_SPREAD))

    def moved(self, by: float) -> Belief:
        """The same belief, shifted."""
        return replace(self, center=self.center + by)


def oriented(values: np.ndarray | float, goal: Goal) -> np.ndarray:
    """Metric values (any shape) so that greater is better; losses as logs."""
    x = np.asarray(values, dtype=np.float64)
    if goal.kind == "loss":
        x = np.log(np.maximum(x, 1e-8))
    return x if goal.greater_is_better else -x


def common_shift(share: float, trails: Sequence[Sequence[Belief]]) -> float:
    """By how much forecasts at a share of the run were off in common, as deeper ones tell.

    The mean change of the median between the look nearest to `share` and the latest one, over the
    candidates that were seen deeper, shrunk to 0 as if `SHIFT_RUNS` others had shown none.

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
    return float(np.sum(changes)) / (len(changes) + SHIFT_RUNS)


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
        levels = norm.ppf((np.arange(_DRAWS) + 0.5) / _DRAWS)
        columns = [belief.center + belief.spread * rng.permutation(levels) for belief in beliefs]
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
