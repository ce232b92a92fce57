"""Rules that end a run early: when each ends a case, what that saves and what it gives up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.finish.cases import Case
from hf_ftrisk.text import percent

# Number of the evaluation (of n) at which a run ends, None for one that goes on to its plan's end.
# Tolerances above which a gain counts as more than the tolerance: rounded logs gain just one point.
MORE = 1.0 + 1e-6
Stop = Callable[[np.ndarray, np.ndarray], int | None]


@dataclass(frozen=True)
class Ended:
    """What ending one run early came to.

    Args:
        saved: share of its steps.
        lost: gain given up, in tolerances.
    """

    saved: float = 0.0
    lost: float = 0.0


def patience(after: int, threshold: float = 0.0) -> Stop:
    """Trainer's EarlyStoppingCallback: `after` evaluations in a row that do not beat the best.

    Args:
        after: early_stopping_patience.
        threshold: early_stopping_threshold, in tolerances.
    """

    def stop(better: np.ndarray, units: np.ndarray) -> int | None:
        waited, best = 0, better[0]
        for i in range(1, better.size):
            waited = 0 if better[i] - best > threshold * units[i] else waited + 1
            best = max(best, better[i])
            if waited >= after:
                return i
        return None

    return stop


def patient_pruner(after: int) -> Stop:
    """Optuna's PatientPruner around no pruner, min_delta 0."""

    def stop(better: np.ndarray, units: np.ndarray) -> int | None:
        for i in range(after + 1, better.size):
            if better[: i - after].max() > better[i - after : i + 1].max():
                return i
        return None

    return stop


def ended_by(case: Case, stop: Stop) -> Ended:
    """What a rule on the evaluations alone comes to."""
    at, better = case.curve
    i = stop(better, case.units)
    if i is None or i == better.size - 1:
        return Ended()
    gain = max(float(better[i + 1 :].max() - better[: i + 1].max()), 0.0)
    return Ended(1.0 - float(at[i]), gain / float(case.units[i]))


def ended_below(
    chances: np.ndarray, at: np.ndarray, gains: np.ndarray, thresholds: np.ndarray
) -> Ended:
    """What ending at the first look whose chance (n,) is below the threshold (n,) there comes to.

    Args:
        chances: (n,) of the looks.
        at: (n,) shares of the run.
        gains: (n,) of the rest, in tolerances.
        thresholds: (n,).
    """
    below = np.flatnonzero(chances < thresholds)
    if not below.size:
        return Ended()
    return Ended(1.0 - float(at[below[0]]), float(gains[below[0]]))


@dataclass(frozen=True)
class Row:
    """A rule on a group of runs.

    Args:
        runs: their number.
        lost: share that lost more than the tolerance.
        saved: mean share of the steps saved.
        given_up: mean gain given up, in tolerances.
    """

    runs: int
    lost: float
    saved: float
    given_up: float

    @classmethod
    def of(cls, ended: Sequence[Ended]) -> Row:
        lost = np.array([one.lost for one in ended])
        saved = np.array([one.saved for one in ended])
        return cls(len(ended), float((lost > MORE).mean()), float(saved.mean()), float(lost.mean()))

    def cells(self) -> str:
        return f"{percent(self.lost, '.1f')} | {percent(self.saved, '.1f')} | {self.given_up:.2f}"
