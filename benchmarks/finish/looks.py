"""Rows of all looks of all cases: what a run had shown, and whether the rest still gained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.finish.cases import Case, thinned
from hf_ftrisk.forecast.gain import evaluations
from hf_ftrisk.forecast.gain.model import columns, look_indices, look_rows

# Shared features that tell tasks apart more than they tell what is to come: levels and sizes.
DROPPED = frozenset(
    {
        "steps",
        "peak_rate",
        "train_level",
        "loss_level",
        "gradient_level",
        "gradient_rise",
        "epochs",
        "epochs_done",
        "score_level",
        "logged",
        "above_trivial",
        "level",
    }
)
COLUMNS = columns(DROPPED)
# Tolerances, in units of the usual one, at which every run is shown to the classifier.
SCALES = (1.0, 0.4, 0.2)


@dataclass(frozen=True, eq=False)
class Looks:
    """Rows; every array is (n,) but `features`.

    Args:
        features: (n, n_columns) of `COLUMNS`.
        gain: of the rest of the run, in the row's tolerance.
        case: number of the case.
        at: share of the run at the look.
        scale: of the tolerance.
        plain: whether the row is a look of the run as it was: usual tolerance, all evaluations.
    """

    features: np.ndarray
    gain: np.ndarray
    case: np.ndarray
    at: np.ndarray
    scale: np.ndarray
    plain: np.ndarray

    @classmethod
    def of(cls, cases: Sequence[Case]) -> Looks:
        """Rows of the cases, and of those with many evaluations once more with few."""
        rows: list[tuple] = []
        for number, case in enumerate(cases):
            rows += _rows(case, number, SCALES, plain=True)
            few = thinned(case)
            if few is not None:
                rows += _rows(few, number, (1.0,), plain=False)
        columns = [np.array([row[i] for row in rows]) for i in range(6)]
        return cls(columns[0].astype(np.float32), *columns[1:])


def _rows(case: Case, number: int, scales: Sequence[float], *, plain: bool) -> list[tuple]:
    steps, _ = evaluations(case.record, case.goal)
    gains = case.gained()
    rows = []
    for i in look_indices(steps, case.record.max_steps):
        if i == steps.size - 1:
            continue
        look = look_rows(case.record.prefix(float(steps[i])), case.goal)
        at = float(steps[i]) / case.record.max_steps
        for scale in scales:
            row = look.row(COLUMNS, scale)
            rows.append((row, gains[i] / scale, number, at, scale, plain and scale == 1.0))
    return rows
