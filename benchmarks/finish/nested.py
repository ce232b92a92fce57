"""The finishing rule on runs of sources held out: thresholds from the other sources' runs alone.

For a fold of sources the classifier is fitted to the other folds; the threshold comes from the runs
of those, each by a classifier that knew neither its own fold nor the one held out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.finish.cases import REAL, Case
from benchmarks.finish.folds import FOLDS
from benchmarks.finish.growing import grow, weights
from benchmarks.finish.looks import Looks
from benchmarks.finish.rules import MORE, Ended, Row, ended_below
from hf_ftrisk.forecast.gain.model import averaged
from hf_ftrisk.policy.finish import EASING, MAX_CHANCE, Easing, threshold_of

# Sources whose runs calibrate.
CALIBRATES = REAL
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
    chances_of: dict[Held, np.ndarray] = {}
    for folds_out in [(k,) for k in range(FOLDS)] + list(combinations(range(FOLDS), 2)):
        file = None if cache is None else cache / f"chances-{'-'.join(map(str, folds_out))}.npy"
        if file is not None and file.exists():
            chances_of[folds_out] = np.load(file)
            continue
        out = np.isin(of_row, folds_out)
        trees = grow(looks, weight, ~out)
        chances = np.full(of_row.size, np.nan)
        chances[out & looks.plain] = trees.chance(looks.features[out & looks.plain])
        chances_of[folds_out] = chances
        if file is not None:
            np.save(file, chances)
    return chances_of


@dataclass(frozen=True, eq=False)
class Trial:
    """All that the rule needs of one case: its looks, and what was still to come after each.

    Args:
        at: (n,) shares of the run.
        evaluations: (n,) number of evaluations so far.
        gains: (n,) in tolerances.
        chances: folds left out -> (n,) averaged chances.
    """

    at: np.ndarray
    evaluations: np.ndarray
    gains: np.ndarray
    chances: Mapping[Held, np.ndarray]

    def score(self, held: Held, easing: Easing = EASING) -> float:
        """`policy.finish.harmful_score` by the classifier that knew none of these folds."""
        harmful = self.gains > MORE
        if not harmful.any():
            return float("inf")
        eased = self.chances[held] / easing.factor(self.at, self.evaluations)
        return float(eased[harmful].min())

    def ended(
        self,
        held: Held,
        threshold: float | None,
        most: float = MAX_CHANCE,
        easing: Easing = EASING,
    ) -> Ended:
        """What the rule comes to with a threshold of the eased chance."""
        if not self.at.size:
            return Ended()
        thresholds = (threshold or 0.0) * easing.factor(self.at, self.evaluations)
        return ended_below(self.chances[held], self.at, self.gains, np.minimum(thresholds, most))


def trials(cases: Sequence[Case], looks: Looks, chances: Mapping[Held, np.ndarray]) -> list[Trial]:
    """One of each case."""
    all_trials = []
    for number, case in enumerate(cases):
        rows = np.flatnonzero(looks.plain & (looks.case == number))
        at = looks.at[rows]
        own = {
            folds_out: averaged(values[rows], at)
            for folds_out, values in chances.items()
            if rows.size and np.isfinite(values[rows[0]])
        }
        so_far = np.searchsorted(case.curve[0], at + 1e-9)
        all_trials.append(Trial(at, so_far, looks.gain[rows], own))
    return all_trials


@dataclass(frozen=True)
class Setting:
    """What is chosen of the rule, on other folds than those it is measured on.

    Args:
        easing: of its thresholds.
        margin: share of the allowed rate at which runs of other sources calibrate.
        together: whether scores and losses are calibrated together, by one threshold.
    """

    easing: Easing
    margin: float
    together: bool

    def calibrating(self, family: str) -> tuple[str, ...]:
        """Families of the cases that calibrate one family."""
        both = ("score", "loss")
        return both if self.together and family in both else (family,)


SETTINGS = tuple(
    Setting(Easing(progress, looks), margin, together)
    for progress in (0.25, 0.5)
    for looks in (0.0, 0.25, 0.5)
    for margin in (1.0, 0.8)
    for together in (False, True)
)
PACKAGED = Setting(EASING, margin=1.0, together=True)
# Groups of runs by which settings are chosen -> share of the steps that is to be saved.
AIMS = {"plm score": 0.35, "public": 0.2}


@dataclass(frozen=True, eq=False)
class Bench:
    """Cases, folds and trials.

    Args:
        cases: (n,) the cases; those that are `extra` are left out of everything here.
        fold: (n,) fold of each.
        tried: (n,) trial of each.
    """

    cases: Sequence[Case]
    fold: np.ndarray
    tried: Sequence[Trial]

    def held_out(
        self, rate: float, settings: Sequence[Setting], most: float = MAX_CHANCE
    ) -> list[Ended]:
        """What the rule at an allowed rate comes to on every case, its fold held out.

        Args:
            rate: allowed share of runs that lose more than the tolerance.
            settings: (n_folds,) setting for the cases of each fold.
            most: no threshold is higher.
        """
        outcomes = [Ended()] * len(self.cases)
        for k, setting in enumerate(settings):
            others = [j for j in range(FOLDS) if j != k]
            for i, ended in self._ended(k, (), others, rate, setting, most).items():
                outcomes[i] = ended
        return outcomes

    def chosen(self, k: int | None, rate: float) -> Setting:
        """The setting that does best on the folds but `k`, each with thresholds from the others."""
        return max(SETTINGS, key=lambda setting: self._worth(k, rate, setting))

    def _worth(self, k: int | None, rate: float, setting: Setting) -> tuple[float, float]:
        """By how much too many runs are lost (as a loss), then the smallest share of an aim."""
        ended: dict[int, Ended] = {}
        without = () if k is None else (k,)
        for j in range(FOLDS):
            if j != k:
                others = [f for f in range(FOLDS) if f not in (j, k)]
                ended |= self._ended(j, without, others, rate, setting, MAX_CHANCE)
        rows = {
            group: Row.of([one for i, one in ended.items() if self.cases[i].is_of(group)])
            for group in AIMS
        }
        over = max(max(row.lost for row in rows.values()) - rate, 0.0)
        return -round(over, 3), min(rows[group].saved / aim for group, aim in AIMS.items())

    def _ended(
        self,
        j: int,
        without: Held,
        others: Sequence[int],
        rate: float,
        setting: Setting,
        most: float,
    ) -> dict[int, Ended]:
        """The cases of fold `j`, by models without it and `without`, calibrated on `others`."""
        folds_out = tuple(sorted((j, *without)))
        outcomes = {}
        for family in ("score", "loss", "train_loss"):
            threshold = self._threshold(j, without, others, family, rate, setting)
            for i in self._numbers(family, [j]):
                outcomes[i] = self.tried[i].ended(folds_out, threshold, most, setting.easing)
        return outcomes

    def _threshold(
        self,
        j: int,
        without: Held,
        others: Sequence[int],
        family: str,
        rate: float,
        setting: Setting,
    ) -> float | None:
        """From the cases of other folds, by models that did not know them.

        Where fold `k` is held out besides, they knew fold `j`: what is chosen by them is applied to
        fold `k` alone.
        """
        families = setting.calibrating(family)
        every = [i for one in families for i in self._numbers(one, others)]
        numbers = [i for i in every if self.cases[i].table in CALIBRATES]
        besides = without or (j,)
        scores = [
            self._score(i, tuple(sorted((*besides, int(self.fold[i])))), setting.easing)
            for i in numbers
        ]
        groups = [self.cases[i].source for i in numbers]
        return threshold_of(scores, groups, setting.margin * rate)

    def _score(self, i: int, held: Held, easing: Easing) -> float:
        key = (i, held, easing)
        if key not in self._scores:
            tried = self.tried[i]
            self._scores[key] = tried.score(held, easing) if tried.at.size else float("inf")
        return self._scores[key]

    def _numbers(self, family: str, folds: Sequence[int]) -> list[int]:
        return [i for fold in folds for i in self._by_fold[family, fold]]

    @cached_property
    def _scores(self) -> dict[tuple[int, Held, Easing], float]:
        return {}

    @cached_property
    def _by_fold(self) -> dict[tuple[str, int], list[int]]:
        numbers: dict[tuple[str, int], list[int]] = defaultdict(list)
        for i, (case, fold) in enumerate(zip(self.cases, self.fold.tolist(), strict=True)):
            if not case.extra:
                numbers[case.family, fold].append(i)
        return numbers
