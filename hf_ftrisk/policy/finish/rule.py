"""The finishing rule: end a run that has nothing more to gain, and bound what that gives up.

At every look the gain still to come is predicted (`forecast.gain`): how likely the best of the rest
exceeds the best so far by more than the tolerance. A run is finished when that chance falls below a
threshold. For a completed run let s be the lowest chance, eased (`Easing`), over those of its
looks after which more than the tolerance was in fact still gained: the run loses more than the
tolerance if, and only if, the threshold lies above s, since what is still to come never grows. So
the threshold is a quantile of s over completed runs, as in `policy.rule`: over all looks of a new,
exchangeable run at most `lost_rate` lose more than the tolerance.

With enough completed runs of the task they calibrate the rule. Otherwise runs of other tasks do,
task by task (hierarchical conformal prediction: tasks are exchangeable, and weigh alike). How often
the threshold that other tasks give was wrong on tasks left out is measured in
docs/evidence/finishing.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from hf_ftrisk.forecast.gain import (
    Gain,
    GainModel,
    checked_tolerance,
    evaluations,
    load_gain_model,
    tolerance_of,
)
from hf_ftrisk.forecast.gain.model import LOOKS_PER_RUN, MODEL_FILE, look_indices
from hf_ftrisk.forecast.gain.training_loss import TRAIN_LOSS
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.calibration import conformal_threshold
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent


@dataclass(frozen=True)
class Easing:
    """How thresholds differ within a run and between runs.

    Args:
        progress: power of the share of the run that is done by which they rise.
        looks: power of the number of its looks by which they fall: the lowest of many chances is
            lower than the lowest of few.
    """

    progress: float
    looks: float

    def factor(self, done: np.ndarray, evaluations: np.ndarray) -> np.ndarray:
        """Factor (n,) of the threshold at looks of one run.

        Args:
            done: (n,) share of the run that is done, in (0, 1].
            evaluations: (n,) number of evaluations so far.
        """
        looks = np.minimum(evaluations / done, LOOKS_PER_RUN)
        return np.asarray(done**self.progress * (_USUAL_LOOKS / looks) ** self.looks)


# Looks of a run whose threshold is neither raised nor lowered for their number.
_USUAL_LOOKS = 10.0
# Chosen in docs/evidence/finishing.md.
EASING = Easing(progress=0.5, looks=0.5)
# No run is finished that gains more than the tolerance with a greater chance than this.
MAX_CHANCE = 0.3
# A gain of exactly the tolerance, but for the rounding of its numbers, is none above it.
_ROUNDING = 1.0 + 1e-6
# Above every eased chance: the score of a run that loses nothing, as a number.
_NEVER = 10.0
# Share of runs that may lose more than the tolerance.
LOST_RATE = 0.05


@dataclass(frozen=True)
class FinishRuling:
    """Whether a run has something to gain at one look.

    Args:
        finish: the run may end here.
        reason: one sentence with the numbers.
        chance: of a gain above the tolerance, None while that cannot be said.
        threshold: chance below which the run is finished, None where there is no threshold.
        gain: what is expected of the rest; for a run that may end.
    """

    finish: bool
    reason: str
    chance: float | None = None
    threshold: float | None = None
    gain: Gain | None = None


@dataclass(frozen=True)
class FinishRule:
    """Finishes runs that have nothing more to gain.

    Args:
        goal: metric and direction.
        tolerance: gain that matters, in the metric's units; None: `tolerance_of`.
        lost_rate: allowed share of runs that lose more than the tolerance, in (0, 1).
        scores: (n,) of completed runs, see `harmful_score`.
        groups: (n,) the task of each; empty: all of the new run's task.
        source: what the calibration rests on, in words.
        model: predicts the gain.
    """

    goal: Goal
    tolerance: float | None = None
    lost_rate: float = LOST_RATE
    scores: tuple[float, ...] = ()
    groups: tuple[str, ...] = ()
    source: str = ""
    model: GainModel | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.lost_rate < 1.0:
            raise ValueError(
                "lost_rate must lie in (0, 1): the share of runs that may lose more than the "
                f"tolerance, got {self.lost_rate!r}"
            )
        if self.tolerance is not None:
            checked_tolerance(self.tolerance, self.goal)

    @cached_property
    def threshold_score(self) -> float | None:
        """Eased chance below which a run is finished, None where there are too few known runs."""
        return threshold_of(self.scores, self.groups or None, self.lost_rate)

    def threshold(self, record: RunRecord) -> float | None:
        """Chance of a gain strictly below which this run is finished here."""
        if self.threshold_score is None:
            return None
        return min(self.threshold_score * _easing(record, self.goal), MAX_CHANCE)

    def judge(self, record: RunRecord) -> FinishRuling:
        """Ruling on a run at this look.

        Args:
            record: the run so far; `is_look` says at which evaluations to ask, as in calibration.
        """
        model = self.model or load_gain_model()
        chance, threshold = model.chance(record, self.goal, self.tolerance), self.threshold(record)
        if chance is None:
            return FinishRuling(False, f"{self.goal.metric} has been evaluated less than twice.")
        if threshold is None:
            return FinishRuling(False, self.why_silent() or "", chance)
        if chance >= threshold:
            reason = (
                f"The rest of the run gains more than the tolerance with a probability of "
                f"{percent(chance, '.1f')}, not below the threshold of {percent(threshold, '.1f')}."
            )
            return FinishRuling(False, reason, chance, threshold)
        gain = model.gain(record, self.goal, self.tolerance)
        assert gain is not None
        reason = (
            f"The rest of the run gains more than {gain.tolerance:.3g} with a probability of "
            f"{percent(chance, '.1f')}, below the threshold of {percent(threshold, '.1f')}, set "
            f"so that at most {percent(self.lost_rate)} of runs lose more than that "
            f"({self.source})."
        )
        return FinishRuling(True, reason, chance, threshold, gain)

    def first_finish(self, record: RunRecord) -> tuple[int, FinishRuling] | None:
        """Step and ruling of the first look at which the run may end; None: at none.

        Args:
            record: a run, completed or so far.
        """
        return next(self.finishes(record), None)

    def finishes(self, record: RunRecord) -> Iterator[tuple[int, FinishRuling]]:
        """Step and ruling of each look at which the run may end, in order.

        Args:
            record: a run, completed or so far.
        """
        model = self.model or load_gain_model()
        steps, _ = evaluations(record, self.goal)
        indices, chances = model.look_chances(record, self.goal, self.tolerance)
        for index, chance in zip(indices, chances.tolist(), strict=True):
            part = record.prefix(float(steps[index]))
            threshold = self.threshold(part)
            if threshold is not None and chance < threshold:
                yield int(steps[index]), self.judge(part)

    def why_silent(self) -> str | None:
        """Why the rule finishes no run, None when it can."""
        if self.threshold_score is not None:
            return None
        needed = math.ceil(1.0 / self.lost_rate - 1e-9) - 1
        return (
            f"The finishing rule has {len(self.scores)} completed runs and needs {needed} for "
            f"lost_rate {self.lost_rate:g}."
        )


def threshold_of(
    scores: Sequence[float], groups: Sequence[str] | None, lost_rate: float
) -> float | None:
    """Eased chance that a share `lost_rate` of runs with these scores (n,) lies below.

    As `conformal_threshold`, which says what `groups` (n,) do.
    """
    return conformal_threshold([min(score, _NEVER) for score in scores], groups, lost_rate)


def _easing(record: RunRecord, goal: Goal) -> float:
    done, count = np.array([record.progress]), np.array([evaluations(record, goal)[0].size])
    return float(EASING.factor(done, count)[0])


def is_look(record: RunRecord, goal: Goal) -> bool:
    """Whether the last evaluation of the run so far is a look, as `look_indices` has them."""
    steps, _ = evaluations(record, goal)
    return bool(steps.size) and steps.size - 1 in look_indices(steps, record.max_steps)


def harmful_score(
    record: RunRecord, goal: Goal, tolerance: float | None = None, model: GainModel | None = None
) -> float:
    """Lowest eased chance over the looks of a completed run after which it still gained.

    Infinity for a run that gained no more than the tolerance after any look.

    Args:
        record: a run that reached its planned end.
        goal: metric and direction.
        tolerance: gain that matters, in the metric's units; None: `tolerance_of`.
        model: predicts the gain; None: the packaged one.
    """
    steps, values = evaluations(record, goal)
    better = values if goal.greater_is_better else -values
    indices, chances = (model or load_gain_model()).look_chances(record, goal, tolerance)
    lowest = math.inf
    for i, chance in zip(indices, chances.tolist(), strict=True):
        prefix = record.prefix(float(steps[i]))
        gained = float(better[i + 1 :].max(initial=-math.inf) - better[: i + 1].max())
        if gained > tolerance_of(goal, prefix, tolerance) * _ROUNDING:
            lowest = min(lowest, chance / _easing(prefix, goal))
    return lowest


@dataclass(frozen=True)
class PackagedScores:
    """Scores of completed runs of other tasks, each forecast by a model that did not know its task.

    Args:
        scores: (n,) `harmful_score` of each.
        groups: (n,) its task.
    """

    scores: tuple[float, ...]
    groups: tuple[str, ...]


@cache
def packaged_scores(kind: str) -> PackagedScores:
    """Packaged scores of a kind of runs: ``"evaluation"`` or, without any, ``"train_loss"``."""
    stored = json.loads(MODEL_FILE.read_text(encoding="utf-8"))["scores"][kind]
    scores = (math.inf if score is None else float(score) for score in stored["scores"])
    return PackagedScores(tuple(scores), tuple(stored["groups"]))


def finish_rule(
    goal: Goal,
    history: Iterable[RunRecord] = (),
    *,
    tolerance: float | None = None,
    lost_rate: float = LOST_RATE,
) -> FinishRule:
    """The rule calibrated on completed runs of the task, else on packaged runs of other tasks.

    Args:
        goal: metric and direction.
        history: runs of the same task; those that did not reach their planned end are left out.
        tolerance: gain that matters, in the metric's units; None: `tolerance_of`.
        lost_rate: allowed share of runs that lose more than the tolerance.
    """
    ended = [run for run in history if run.status == "finished"]
    runs = [run for run in ended if evaluations(run, goal)[0].size > 2]
    if len(runs) + 1 >= 1.0 / lost_rate:
        scores = tuple(harmful_score(run, goal, tolerance) for run in runs)
        source = f"{len(runs)} completed runs of this task"
        return FinishRule(goal, tolerance, lost_rate, scores, (), source)
    packaged = packaged_scores("train_loss" if goal.metric == TRAIN_LOSS.metric else "evaluation")
    source = (
        f"{len(packaged.scores)} curves of completed runs of {len(set(packaged.groups))} other "
        "tasks, not of this one"
    )
    return FinishRule(goal, tolerance, lost_rate, packaged.scores, packaged.groups, source)
