"""Peak learning rates: a run's own, and those of the good runs of its task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

# Rates this close to the range of the good runs' count as inside: rounding, or a finer grid.
_NEAR = 1.25


def peak_rate(record: RunRecord) -> float | None:
    """Highest planned learning rate, else the highest logged one; None if neither is known."""
    planned = record.schedule if record.schedule is not None else record.learning_rate
    finite = planned[np.isfinite(planned)]
    return float(finite.max()) if finite.size else None


@dataclass(frozen=True)
class GoodRates:
    """Peak learning rates with which completed runs of a task ended well.

    Args:
        low: the lowest of them.
        high: the highest.
        runs: number of good runs with a known rate, at least 1.
    """

    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, runs: Sequence[RunRecord], goal: Goal) -> GoodRates | None:
        """Those of the good runs among `runs`; None if no rate of a good one is known."""
        rates = [rate for run in runs if run.met(goal) and (rate := peak_rate(run))]
        return cls(min(rates), max(rates), len(rates)) if rates else None

    def holds(self, rate: float) -> bool:
        """Whether a rate is one of theirs, or close to it."""
        return self.low / _NEAR <= rate <= self.high * _NEAR

    def __str__(self) -> str:
        runs = f"{self.runs} good run{'s' if self.runs > 1 else ''} of this task"
        if self.low == self.high:
            return f"{self.low:.2g} in the {runs}"
        return f"from {self.low:.2g} to {self.high:.2g} in the {runs}"
