"""The lower bound: does any predictor know more than the fitted envelope says can be known?

The envelope is fitted to one half of the seeds, to the predictor that does best there; all
predictors are held against it on the other half. A risk below it counts when an F test calls it so
at 5 %. Errors have heavy tails, so how often the envelope's own predictor falls below it says what
chance does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import fdtr

from benchmarks.paper.risks import Replay, fit_of
from hf_ftrisk.risk.estimators import effective_count

SPLITS = 20
OWN = "the one that the envelope was fitted to"
LEVEL = 0.05


@dataclass(frozen=True)
class Bound:
    """One predictor against the envelope.

    Args:
        below: share of (split, depth) at which its risk lies below the envelope.
        excess: how much more often than the envelope's own predictor in the same splits.
        steeper: share of splits in which its risk falls by a larger factor, from the first depth
            to the last, than the envelope does, and is below it at the last.
        falls: median factor by which its risk falls.
        envelope: median factor by which the envelope does.
    """

    below: float
    excess: float
    steeper: float
    falls: float
    envelope: float


def against_envelope(replay: Replay, rng: np.random.Generator) -> dict[str, Bound]:
    """Predictor -> how it stands to the envelope of the other half of the seeds.

    The predictor that a split's envelope was fitted to counts as `OWN` there.
    """
    n = len(replay.task.runs)
    names = [OWN, *replay.errors]
    rows_of: dict[str, list[tuple[float, float, bool, float, float]]] = {name: [] for name in names}
    for _ in range(SPLITS):
        order = rng.permutation(n)
        half, other = order[: n // 2], order[n // 2 :]
        squares = {name: errors**2 for name, errors in replay.errors.items()}
        best = min(squares, key=lambda k: float(np.log(squares[k][half].mean(axis=0)).mean()))
        fit = fit_of(replay.task, replay.depths, squares[best][half])
        line = np.asarray(fit.total(replay.depths))
        dof = float(np.mean([effective_count(c) - 1.0 for c in squares[best][half].T]))
        own = _below(squares[best][other], dof, line)
        for name, square in squares.items():
            new = square[other]
            risk = np.maximum(new.mean(axis=0), 1e-14)
            below = _below(new, dof, line)
            excess = float(below.mean() - own.mean())
            fall, allowed = risk[0] / risk[-1], line[0] / line[-1]
            steeper = bool(fall > allowed and below[-1])
            row = (float(below.mean()), excess, steeper, float(fall), float(allowed))
            rows_of[OWN if name == best else name].append(row)
    return {name: _summary(rows) for name, rows in rows_of.items() if rows}


def _below(squares: np.ndarray, envelope_dof: float, line: np.ndarray) -> np.ndarray:
    """(n_depths,) whether an F test calls a risk lower than the envelope."""
    risk = np.maximum(squares.mean(axis=0), 1e-14)
    dof = np.array([effective_count(column) - 1.0 for column in squares.T])
    return np.asarray(fdtr(dof, envelope_dof, risk / line) < LEVEL)


def _summary(rows: list[tuple[float, float, bool, float, float]]) -> Bound:
    table = np.array(rows, float)
    below, excess, steeper = table[:, :3].mean(axis=0).tolist()
    falls, envelope = np.median(table[:, 3:], axis=0).tolist()
    return Bound(below, excess, steeper, falls, envelope)
