"""Static signals go on to count after the first evaluation."""

from __future__ import annotations

import math

import pytest

from hf_ftrisk.forecast.features import FEATURES, run_state
from hf_ftrisk.forecast.scale import Scale
from hf_ftrisk.forecast.static import probe_level, static_features, untrained_loss
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

GOAL = Goal("eval_accuracy")
STATIC = {
    "linear_probe_accuracy": 0.9,
    "signal_score": 0.9,
    "signal_shuffled": 0.3,
    "zero_shot_loss": 1.4,
    "schedule_gain": 2.0,
    "classes": 4.0,
    "lora_rank": 8.0,
}


def evaluated(static, metric="eval_accuracy", value=0.5):
    log = [{"step": 10, metric: value, "eval_loss": 1.2}]
    return RunRecord.from_log_history(log, max_steps=100, static=static)


def feature(record, name, goal=GOAL):
    state = run_state(record, goal)
    assert state is not None
    return float(state.features[FEATURES.index(name)])


def test_what_the_probe_is_above_the_last_evaluation_is_a_feature():
    scale = Scale("rate", 1.0)
    above = float(scale.forward(0.9) - scale.forward(0.5))
    assert feature(evaluated(STATIC), "below_probe") == pytest.approx(above)
    assert math.isnan(feature(evaluated({}), "below_probe"))


def test_a_loss_is_compared_with_the_one_before_training():
    assert feature(evaluated(STATIC), "learned") == pytest.approx(math.log(1.4 / 1.2))


def test_a_probe_of_accuracy_says_nothing_of_other_metrics():
    goal = Goal("eval_pearson")
    record = evaluated(STATIC, metric="eval_pearson")
    assert math.isnan(probe_level(record, goal, Scale.of(goal, [0.5])))


def test_signals_that_were_not_measured_are_left_out():
    known = static_features(evaluated({}), GOAL, Scale("rate", 1.0))
    assert all(math.isnan(value) for value in known.values())
    assert math.isnan(untrained_loss(evaluated({})))


def test_low_rank_and_the_schedules_gain_are_read():
    known = static_features(evaluated(STATIC), GOAL, Scale("rate", 1.0))
    assert known["low_rank"] == 1.0
    assert known["gain"] == pytest.approx(math.log(2.0))
    assert known["signal"] > 2.0
