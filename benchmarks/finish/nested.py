"""The finishing rule on runs of sources held out: thresholds from the other sources' runs alone.

For a fold of sources the classifier is fitted to the other folds; the threshold comes from the runs
of those, each by a classifier that knew neither its own fold nor the one held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.finish.cases import Case
from benchmarks.finish.folds import FOLDS
from benchmarks.finish.growing import grow, weights
from benchmarks.finish.looks import Looks
from benchmarks.finish.rules import MORE, Ended, ended_below
from hf_ftrisk.forecast.gain.model import averaged
from hf_ftrisk.policy.finish import EASING, MAX_CHANCE, threshold_of

# Sources whose runs calibrate: real runs, not the short reference runs.
CALIBRATES = ("plm", "public", "bert_seeds")
Held = tuple[int, ...]


def chances_without(
    cases: Sequence[Case], looks: Looks, fold: np.ndarray, cache: Path | None = None
) -> dict[Held, np.ndarray]:
    """Folds left out (one, or two) -> chances (n_rows,) of their looks, NaN elsewhere.

    Args:
        cases: the cases.
        looks: their rows.
        fold: (n_cases,) fold of each.
        cache: folder that keeps what was fitted; None: nothing is kept.
    """
    weight, of_row = weights(cases, looks), fold[looks.case]
    found: dict[Held, np.ndarray] = {}
    for held in [(k,) for k in range(FOLDS)] + list(combinations(range(FOLDS), 2)):
        file = None if cache is None else cache / f"chances-{'-'.join(map(str, held))}.npy"
        if file is not None and file.exists():
            found[held] = np.load(file)
            continue
        out = np.isin(of_row, held)
        trees = grow(looks, weight, ~out)
        chances = np.full(of_row.size, np.nan)
        chances[out & looks.plain] = trees.chance(looks.features[out & looks.plain])
        found[held] = chances
        if file is not None:
            np.save(file, chances)
    return found


@dataclass(frozen=True, eq=False)
class Trial:
    """All that the rule needs of one case: its looks, and what was still to come after each.

    Args:
        at: (n,) shares of the run.
        gains: (n,) in tolerances.
        chances: folds left out -> (n,) averaged chances.
    """

    at: np.ndarray
    gains: np.ndarray
    chances: Mapping[Held, np.ndarray]

    def score(self, held: Held) -> float:
        """`policy.finish.harmful_score` by the classifier that knew none of these folds."""
        harmful = self.gains > MORE
        if not harmful.any():
            return float("inf")
        return float((self.chances[held][harmful] / self.at[harmful] ** EASING).min())

    def ended(self, held: Held, threshold: float | None, most: float = MAX_CHANCE) -> Ended:
        thresholds = np.minimum((threshold or 0.0) * self.at**EASING, most)
        return ended_below(self.chances[held], self.at, self.gains, thresholds)


def trials(looks: Looks, n_cases: int, chances: Mapping[Held, np.ndarray]) -> list[Trial]:
    """One of each case."""
    found = []
    for number in range(n_cases):
        rows = np.flatnonzero(looks.plain & (looks.case == number))
        at = looks.at[rows]
        own = {
            held: averaged(values[rows], at)
            for held, values in chances.items()
            if rows.size and np.isfinite(values[rows[0]])
        }
        found.append(Trial(at, looks.gain[rows], own))
    return found


def held_out(
    cases: Sequence[Case],
    fold: np.ndarray,
    tried: Sequence[Trial],
    rate: float,
    most: float = MAX_CHANCE,
) -> list[Ended]:
    """What the rule at an allowed rate comes to on every case, its fold held out.

    Args:
        cases: the cases.
        fold: (n_cases,) fold of each.
        tried: one of each case.
        rate: allowed share of runs that lose more than the tolerance.
        most: no threshold is higher.
    """
    found = [Ended()] * len(cases)
    for k in range(FOLDS):
        for family in ("score", "loss", "train_loss"):
            threshold = _threshold(cases, fold, tried, k, family, rate)
            for i, case in enumerate(cases):
                if fold[i] == k and case.family == family and tried[i].at.size:
                    found[i] = tried[i].ended((k,), threshold, most)
    return found


def _threshold(
    cases: Sequence[Case],
    fold: np.ndarray,
    tried: Sequence[Trial],
    k: int,
    family: str,
    rate: float,
) -> float | None:
    scores, groups = [], []
    for i, case in enumerate(cases):
        if fold[i] == k or case.family != family or case.table not in CALIBRATES:
            continue
        held = (min(k, int(fold[i])), max(k, int(fold[i])))
        scores.append(tried[i].score(held) if tried[i].at.size else float("inf"))
        groups.append(case.source)
    return threshold_of(scores, groups, rate)
