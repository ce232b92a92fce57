"""Law of total variance, and the noise floor of an evaluation."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hf_ftrisk.risk.decay import Floats


@dataclass(frozen=True)
class VarianceParts:
    """Sample variance of R split by what is known: Var R = E[Var(R | I)] + Var(E[R | I]).

    Args:
        within: what knowing the group leaves open, squared units of R: L(c) when the groups are
            what is known at depth c.
        between: what knowing the group decides.
        n: number of values.
        n_groups: number of groups.
    """

    within: float
    between: float
    n: int
    n_groups: int

    @property
    def total(self) -> float:
        """Sample variance, divided by n - 1: within + between."""
        return self.within + self.between

    @property
    def explained(self) -> float:
        """Share of the variance the groups decide, in [0, 1]; 0 when nothing varies."""
        return self.between / self.total if self.total > 0 else 0.0

    @property
    def unbiased_within(self) -> float:
        """Within-group variance divided by n - n_groups, an unbiased estimate of E[Var(R | I)].

        `within` itself is too small by the means it had to estimate, and zero when every run is a
        group of its own.

        Raises:
            ValueError: every group has a single run.
        """
        if self.n_groups >= self.n:
            raise ValueError(f"{self.n} values in {self.n_groups} groups: no group has two runs")
        return self.within * (self.n - 1) / (self.n - self.n_groups)


def variance_parts(values: ArrayLike, groups: Sequence[Hashable]) -> VarianceParts:
    """Split the sample variance of final values by what was known of each run.

    The two parts add up to the sample variance (divisor n - 1) but for rounding.

    Args:
        values: (n,) final values of R, n >= 2.
        groups: (n,) what is known of each run at some depth: equal entries, equal knowledge.

    Raises:
        ValueError: lengths that differ, fewer than two values, or a value that is not finite.
    """
    r = np.asarray(values, dtype=np.float64)
    if r.ndim != 1 or r.size != len(groups) or r.size < 2:
        raise ValueError(
            f"expected at least 2 values with a group each, got values {r.shape} and "
            f"{len(groups)} groups"
        )
    bad = np.flatnonzero(~np.isfinite(r))
    if bad.size:
        raise ValueError(f"values must be finite, got {r[bad[:5]].tolist()} at {bad[:5].tolist()}")
    number: dict[Hashable, int] = {}
    index = np.array([number.setdefault(group, len(number)) for group in groups])
    # Centered on the grand mean first: large common offsets would cost digits.
    deviation = r - r.mean()
    sizes = np.bincount(index)
    means = np.bincount(index, weights=deviation) / sizes
    return VarianceParts(
        within=float(np.sum((deviation - means[index]) ** 2) / (r.size - 1)),
        between=float(np.sum(sizes * means**2) / (r.size - 1)),
        n=int(r.size),
        n_groups=len(number),
    )


def rate_floor(rate: float, n_examples: int) -> float:
    """Noise of a rate measured on n examples: p (1 - p) / n, a lower bound of L_int.

    Args:
        rate: the final rate p, in [0, 1].
        n_examples: number of evaluated examples.

    Raises:
        ValueError: a rate outside [0, 1] or no example.
    """
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"a rate lies in [0, 1], got {rate!r}")
    if n_examples < 1:
        raise ValueError(f"n_examples must be at least 1, got {n_examples!r}")
    return rate * (1.0 - rate) / n_examples


def mean_floor(per_example: ArrayLike) -> float:
    """Noise of a mean over examples, such as a loss: their sample variance over their number.

    Args:
        per_example: (n,) losses of the evaluated examples, n >= 2.

    Raises:
        ValueError: fewer than two, or one that is not finite.
    """
    losses: Floats = np.asarray(per_example, dtype=np.float64)
    if losses.ndim != 1 or losses.size < 2 or not np.all(np.isfinite(losses)):
        raise ValueError(
            f"expected at least 2 finite losses, got shape {losses.shape} with "
            f"{int(np.sum(~np.isfinite(losses)))} not finite"
        )
    return float(losses.var(ddof=1)) / losses.size
