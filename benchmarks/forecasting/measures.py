"""How wrong forecasts are: one row a method and depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BOOTSTRAP = 1000
ENOUGH_GROUPS = 8
CAP = 1.0


@dataclass(frozen=True, eq=False)
class Scored:
    """Forecasts of one method at one depth of one table.

    Args:
        groups: (n,) cell, repository or data set.
        outcomes: (n,) the outcome.
        points: (n,) point forecasts.
        low: (n,) lower end of the 90 % interval; NaN for a method without one.
        high: (n,) upper end.
        losses: whether the metric is a loss: the error is then mean |log error|, capped at 1;
            else the root mean squared error in points of 0.01.
        by_cell: whether the error is averaged over the groups rather than over the runs.
    """

    groups: np.ndarray
    outcomes: np.ndarray
    points: np.ndarray
    low: np.ndarray
    high: np.ndarray
    losses: bool
    by_cell: bool

    def each(self) -> np.ndarray:
        """What is averaged, (n,): squared errors, or capped absolute log errors."""
        if self.losses:
            floor = 1e-8
            ratio = np.maximum(self.points, floor) / np.maximum(self.outcomes, floor)
            return np.minimum(np.abs(np.log(ratio)), CAP)
        return np.asarray((100 * (self.points - self.outcomes)) ** 2)

    def error(self, counts: np.ndarray | None = None) -> float:
        """Error over the runs, each counted `counts` (n,) times."""
        each = self.each()
        times = np.ones(each.size) if counts is None else counts
        if not self.by_cell:
            return self._mean(each, times)
        cells = [self.groups == group for group in np.unique(self.groups)]
        return float(np.mean([self._mean(each[cell], times[cell]) for cell in cells]))

    def _mean(self, each: np.ndarray, times: np.ndarray) -> float:
        mean = float(each @ times / times.sum())
        return mean if self.losses else float(np.sqrt(mean))

    def cells(self) -> dict[str, float]:
        """Group -> error."""
        return {
            str(group): self._mean(self.each()[k], np.ones(int(k.sum())))
            for group in np.unique(self.groups)
            if (k := self.groups == group).any()
        }

    def near(self) -> float:
        """Share of forecasts within 3 points, or 3 % of a loss."""
        if self.losses:
            return float(np.mean(np.abs(self.points / self.outcomes - 1.0) <= 0.03))
        return float(np.mean(np.abs(self.points - self.outcomes) <= 0.03))

    def inside(self) -> np.ndarray:
        """Whether each outcome lies in the 90 % interval, (n,)."""
        slack = 1e-9
        return np.asarray(
            (self.outcomes >= self.low - slack) & (self.outcomes <= self.high + slack)
        )

    def coverage(self) -> float:
        """Share of outcomes in the 90 % interval."""
        return float(np.mean(self.inside())) if np.isfinite(self.low).all() else float("nan")

    def width(self) -> float:
        """Median width of the 90 % interval: in points, or as log ratio of its ends."""
        if self.losses:
            return float(np.median(np.log(self.high / np.maximum(self.low, 1e-8))))
        return float(100 * np.median(self.high - self.low))


def difference(ours: Scored, other: Scored) -> tuple[float, float]:
    """95 % interval of our error less the other's, from paired resamples.

    Groups are resampled when there are enough of them, else runs within each group.
    """
    rng = np.random.default_rng(0)
    names, member = np.unique(ours.groups, return_inverse=True)
    differences = []
    for _ in range(BOOTSTRAP):
        if names.size >= ENOUGH_GROUPS:
            drawn = np.bincount(rng.integers(0, names.size, names.size), minlength=names.size)
            counts = drawn[member].astype(float)
        else:
            counts = np.zeros(member.size)
            for group in range(names.size):
                at = np.flatnonzero(member == group)
                np.add.at(counts, rng.choice(at, at.size), 1.0)
        differences.append(ours.error(counts) - other.error(counts))
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)
