"""The finishing rule: what its threshold guarantees, and when it says a run may end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.forecast.gain import Gain, evaluations, tolerance_of
from hf_ftrisk.forecast.gain.model import LADDER, look_indices
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.finish import (
    EASING,
    MAX_CHANCE,
    FinishRule,
    finish_rule,
    harmful_score,
    is_look,
    packaged_scores,
)
from hf_ftrisk.record import RunRecord

ACCURACY = Goal("accuracy")


@dataclass(frozen=True)
class Told:
    """A model whose chances are given, one for each evaluation."""

    chances: tuple[float, ...]

    def chance(self, record: RunRecord, goal: Goal, asked: float | None = None) -> float | None:
        steps, _ = evaluations(record, goal)
        return None if steps.size < 2 else self.chances[steps.size - 1]

    def gain(self, record: RunRecord, goal: Goal, asked: float | None = None) -> Gain | None:
        chance = self.chance(record, goal, asked)
        values = evaluations(record, goal)[1]
        unit = tolerance_of(goal, record, asked)
        return Gain(float(values.max()), 1, unit, (chance or 0.0,) * len(LADDER))

    def look_chances(
        self, record: RunRecord, goal: Goal, asked: float | None = None
    ) -> tuple[list[int], np.ndarray]:
        indices = look_indices(evaluations(record, goal)[0], record.max_steps)
        return indices, np.array([self.chances[i] for i in indices])


def run(values: list[float], **fields: object) -> RunRecord:
    """A run evaluated at even steps."""
    steps = np.arange(1, len(values) + 1) * 10
    return RunRecord(
        max_steps=10 * len(values),
        eval_step=steps,
        evals={"eval_accuracy": np.array(values)},
        **fields,
    )


def ended_at(record: RunRecord, rule: FinishRule) -> int | None:
    """Number of the first evaluation at which the rule ends the run."""
    steps, _ = evaluations(record, rule.goal)
    for i in look_indices(steps, record.max_steps):
        if rule.judge(record.prefix(float(steps[i]))).finish:
            return i
    return None


curves = st.lists(st.floats(0.0, 1.0), min_size=4, max_size=12)
chances = st.lists(st.floats(0.0, 0.29), min_size=12, max_size=12)


# A threshold below every normal number is rounded away as it is eased.
@given(curves, chances, st.floats(0.0, 0.29, allow_subnormal=False))
def test_a_run_loses_more_than_the_tolerance_exactly_where_the_threshold_lies_above_its_score(
    values: list[float], said: list[float], threshold: float
):
    record, model = run(values), Told(tuple(said))
    rule = FinishRule(ACCURACY, scores=(threshold,) * 19, model=model)  # type: ignore[arg-type]
    assert rule.threshold_score == threshold
    i = ended_at(record, rule)
    lost = i is not None and max(values[i + 1 :]) - max(values[: i + 1]) > 0.01
    score = harmful_score(record, ACCURACY, model=model)  # type: ignore[arg-type]
    assert lost == (score < threshold)


def test_at_most_the_allowed_share_of_exchangeable_runs_lose_more():
    rng = np.random.default_rng(0)

    def drawn() -> tuple[RunRecord, Told]:
        values = np.maximum.accumulate(rng.random(12)) * rng.random()
        return run(values.tolist()), Told(tuple((rng.random(12) * 0.29).tolist()))

    lost = []
    for _ in range(150):
        known = [drawn() for _ in range(19)]
        scores = tuple(harmful_score(r, ACCURACY, model=m) for r, m in known)  # type: ignore[arg-type]
        record, model = drawn()
        rule = FinishRule(ACCURACY, lost_rate=0.1, scores=scores, model=model)  # type: ignore[arg-type]
        i = ended_at(record, rule)
        values = evaluations(record, ACCURACY)[1]
        lost.append(i is not None and values[i + 1 :].max() - values[: i + 1].max() > 0.01)
    assert np.mean(lost) <= 0.1 + 2 * math.sqrt(0.09 / 150)


def test_thresholds_rise_over_the_run_and_never_above_the_most():
    rule = FinishRule(ACCURACY, scores=(0.2,) * 19)
    record = run([0.1, 0.2, 0.3, 0.4])
    thresholds = [rule.threshold(record.prefix(step)) for step in (10, 20, 30)]
    shares = np.array([0.25, 0.5, 0.75])
    assert thresholds == pytest.approx(0.2 * EASING.factor(shares, np.array([1, 2, 3])))
    assert list(thresholds) == sorted(thresholds)
    assert FinishRule(ACCURACY, scores=(math.inf,) * 19).threshold(record) == MAX_CHANCE


def test_of_two_runs_the_one_with_more_looks_has_the_lower_thresholds():
    done = np.array([0.5])
    few, many = (EASING.factor(done, np.array([n]))[0] for n in (5, 25))
    assert many < few
    assert EASING.factor(done, np.array([500]))[0] == many  # no more looks than fifty


def test_too_few_known_runs_finish_nothing_and_say_how_many_are_missing():
    rule = FinishRule(ACCURACY, scores=(0.2,) * 18)
    ruling = rule.judge(run([0.5] * 8).prefix(60))
    assert not ruling.finish
    assert "18 completed runs and needs 19" in ruling.reason


def test_a_history_of_the_task_calibrates_where_it_is_long_enough():
    flat = [run([0.5, 0.5, 0.5, 0.5]) for _ in range(19)]
    assert finish_rule(ACCURACY, flat).source == "19 completed runs of this task"
    assert "other tasks" in finish_rule(ACCURACY, flat[:18]).source


def test_a_run_that_was_finished_early_calibrates_nothing():
    flat = [run([0.5, 0.5, 0.5, 0.5], status="stopped") for _ in range(25)]
    assert "other tasks" in finish_rule(ACCURACY, flat).source


def test_packaged_runs_finish_a_run_that_is_flat_and_not_one_that_climbs():
    rule = finish_rule(ACCURACY)
    flat = run([0.5, 0.7, 0.8, 0.81, 0.81, 0.80, 0.81, 0.80, 0.81, 0.80, 0.81, 0.80])
    assert rule.judge(flat.prefix(110)).finish
    climbing = run([0.05 * i for i in range(1, 13)])
    assert not any(rule.judge(climbing.prefix(10 * i)).finish for i in range(2, 12))


@pytest.mark.parametrize("kind", ["evaluation", "train_loss"])
def test_packaged_scores_come_from_enough_tasks(kind: str):
    known = packaged_scores(kind)
    assert len(known.scores) == len(known.groups)
    assert len(set(known.groups)) >= 19
    assert (
        FinishRule(ACCURACY, scores=known.scores, groups=known.groups).threshold_score is not None
    )


def test_looks_are_the_first_evaluation_of_each_fiftieth_and_none_before_the_second():
    steps = np.arange(1, 201)
    assert look_indices(steps, 200)[:3] == [3, 7, 11]
    assert not is_look(run([0.1, 0.2, 0.3]).prefix(10), ACCURACY)
    assert is_look(run([0.1, 0.2, 0.3]).prefix(20), ACCURACY)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_that_is_no_share_is_refused(rate: float):
    with pytest.raises(ValueError, match="lost_rate must lie in"):
        FinishRule(ACCURACY, lost_rate=rate)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.nan, math.inf])
def test_a_tolerance_that_is_none_is_refused(tolerance: float):
    with pytest.raises(ValueError, match="tolerance must be a finite number above 0"):
        FinishRule(ACCURACY, tolerance=tolerance)
