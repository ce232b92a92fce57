"""Runs that train, judged by their parts where the untrained model's signals are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hf_ftrisk import Forecast, Goal
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.policy import default_rule
from hf_ftrisk.policy.parts.watching import concern, judges, rule_by_parts
from hf_ftrisk.verdict import Verdict
from tests.policy.parts.test_decision import RULE
from tests.policy.parts.test_parts import GOAL, probe

MIDDLING = Forecast(np.linspace(0.5, 0.9, 101), step=6)
SOUND = probe([0.7, 0.6, 0.5, 0.4, 0.35, 0.3], accuracy=0.75, loss=0.35, signal_z=40.0)
STUCK = probe([0.7] * 6, signal_z=0.0, signal_eval_score=0.5, schedule_gain=0.0001)


def ruled(record, goal=GOAL, *, rate=0.05):
    record = record.with_baseline(goal, 0.5)
    return rule_by_parts(record, goal, MIDDLING, RULE, rate, chance="P")


def test_a_run_without_signal_that_does_not_move_is_ended():
    ruling = ruled(STUCK)
    assert ruling.verdict is Verdict.NO_GO
    assert ruling.prob_good < ruling.threshold
    assert "at most 2.5 % of good runs" in ruling.reason


def test_what_decided_says_what_to_change():
    stuck = probe([0.7] * 6, schedule_gain=0.0001)
    ruling = ruled(replace(stuck, learning_rate=[1e-7] * 6))
    assert "cannot move" in ruling.reason.lower()
    assert ruling.advice.startswith("Raise the learning rate")


def test_a_sound_run_goes_on():
    assert ruled(SOUND).verdict is Verdict.UNDECIDED


def test_the_forecast_shown_has_the_chance_that_the_ruling_rests_on():
    ruling = ruled(STUCK)
    assert ruling.forecast.prob_meets(GOAL, 0.5) == pytest.approx(ruling.prob_good, abs=0.01)


@pytest.mark.parametrize("steps", [4, 21])
def test_only_the_first_fifth_is_judged_and_not_its_very_beginning(steps):
    assert ruled(probe([0.7] * steps, signal_z=0.0)) is None


def test_nothing_is_said_without_signals():
    assert ruled(replace(STUCK, static={})) is None


def test_nothing_is_said_of_random_weights():
    assert ruled(replace(STUCK, settings={"pretrained": False})) is None


def test_nothing_is_said_before_the_first_evaluation():
    assert ruled(replace(STUCK, eval_step=np.array([0.0]))) is None


def test_nothing_is_said_of_a_loss():
    assert not judges(STUCK, Goal("eval_loss", target=0.3))


def test_the_rule_without_a_history_judges_by_parts_where_it_can():
    goal = Goal("eval_accuracy", target=0.75)
    rule = default_rule(goal, Forecaster.default())
    assert rule.why_silent(STUCK.prefix(0).with_baseline(goal, 0.5)) is None
    assert "untrained model's signals" in rule.judge(STUCK.with_baseline(goal, 0.5)).reason
    unknown = replace(STUCK, static={}).with_baseline(goal, 0.5)
    assert "untrained model's signals" not in rule.judge(unknown).reason


def test_a_run_that_is_likely_to_end_well_is_called_so():
    goal = Goal("eval_accuracy", target=0.75)
    rule = replace(default_rule(goal, Forecaster.default()), parts=replace(RULE, intercept=0.0))
    assert rule.judge(SOUND.with_baseline(goal, 0.5)).verdict is Verdict.GO


def test_completed_runs_of_the_task_that_promise_more_hold_a_stop():
    class Promise:
        def predict(self, record, goal):
            return Forecast(np.full(101, 0.9), step=record.last_step)

    goal = Goal("eval_accuracy", target=0.75)
    rule = replace(default_rule(goal, Forecaster.default()), parts=RULE)
    stuck = STUCK.with_baseline(goal, 0.5)
    assert rule.judge(stuck).verdict is Verdict.NO_GO
    hopeful = replace(rule, judged_by=rule.forecaster, forecaster=Promise())
    ruling = hopeful.judge(stuck)
    assert ruling.verdict is Verdict.UNDECIDED
    assert "promise more" in ruling.reason


def test_labels_that_say_nothing_are_the_concern_before_anything_else():
    diagnosis = concern(probe([0.7] * 6, signal_z=0.0), GOAL, RULE)
    assert diagnosis.name == "no_signal"
    assert diagnosis.advice.startswith("Read ten training rows")


def test_a_run_with_its_target_within_reach_is_of_no_concern_and_one_without_signals_unknown():
    within = probe([0.7, 0.5, 0.3], signal_z=40.0, signal_eval_score=0.95)
    assert concern(within, GOAL, RULE) is None
    assert concern(replace(STUCK, static={}), GOAL, RULE) is None
