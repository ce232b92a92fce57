"""Patience on the forecast: poor forecasts in a row end a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hf_ftrisk import Forecast, Goal, RunRecord
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.policy import PatienceRule, default_rule, rule_maker
from hf_ftrisk.policy.patience import patience_rule
from hf_ftrisk.verdict import Verdict

GOAL = Goal("eval_accuracy", target=0.8)


class ByStep:
    """Forecasts a P(good) of its own for each step that was evaluated last."""

    def __init__(self, probs: dict[int, float]) -> None:
        self.probs = probs

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        good = round(100 * self.probs[int(record.eval_step[-1])])
        samples = np.array([0.9] * good + [0.1] * (100 - good))
        return Forecast(samples, step=record.last_step, source="test")


def run_to(step: int, **fields: Any) -> RunRecord:
    steps = list(range(0, step + 1, 10))
    evals = {"eval_accuracy": [0.5] * len(steps)}
    return RunRecord(max_steps=100, eval_step=steps, evals=evals, status="running", **fields)


def rule(*probs: float, evaluations: int = 3) -> PatienceRule:
    """The rule, with P(good) at steps 0, 10, 20, ..."""
    return PatienceRule(GOAL, ByStep({10 * k: p for k, p in enumerate(probs)}), evaluations)


def test_the_run_ends_at_the_third_poor_forecast_in_a_row():
    patient = rule(0.1, 0.3, 0.2, 0.1)
    assert patient.judge(run_to(20)).verdict is Verdict.UNDECIDED
    ruling = patient.judge(run_to(30))
    assert ruling.verdict is Verdict.NO_GO
    assert not ruling.certain
    assert ruling.prob_good == pytest.approx(0.1)
    assert "P(eval_accuracy >= 0.8) = 0.100 at step 30" in ruling.reason
    assert "below 0.5 at the last 3 evaluations, and 3 in a row end the run" in ruling.reason


@pytest.mark.parametrize(
    ("target", "values", "verdict"),
    [
        (85.0, [0.8, 0.88, 0.9, 0.91], Verdict.GO),  # fractions, the target in percent
        (0.95, [40.0, 50.0, 52.0, 53.0], Verdict.NO_GO),  # percent, the target a fraction
    ],
)
def test_the_goal_is_read_on_the_scale_of_the_runs_values(target, values, verdict):
    log = [{"step": 10 * (k + 1), "eval_accuracy": value} for k, value in enumerate(values)]
    record = RunRecord.from_log_history(log, max_steps=100)
    goal = Goal.parse(f"eval_accuracy>={target:g}")
    patient = PatienceRule(goal, Forecaster.default())
    assert patient.judge(record).verdict is verdict


def test_the_untrained_model_is_no_evaluation_of_the_run():
    assert rule(0.1, 0.1, 0.1).judge(run_to(20)).verdict is Verdict.UNDECIDED
    assert rule(0.1, 0.1, evaluations=1).judge(run_to(0)).verdict is Verdict.UNDECIDED


def test_one_promising_forecast_makes_it_count_anew():
    assert rule(0.1, 0.1, 0.1, 0.6, 0.1, 0.1).judge(run_to(50)).verdict is Verdict.UNDECIDED


def test_a_promising_run_is_said_to_go_well():
    assert rule(0.1, 0.9).judge(run_to(10)).verdict is Verdict.GO


def test_the_ruling_brings_the_forecast_it_rests_on():
    ruling = rule(0.1, 0.9).judge(run_to(10))
    assert ruling.forecast is not None
    assert ruling.forecast.prob_meets(GOAL) == pytest.approx(0.9)


def test_a_certain_failure_ends_a_run_at_once():
    nan = float("nan")
    log = [{"step": s, "loss": nan} for s in range(1, 20)]
    lost = RunRecord.from_log_history(log, max_steps=100)
    ruling = rule().judge(lost)
    assert (ruling.verdict, ruling.certain) == (Verdict.NO_GO, True)


def test_without_target_and_baseline_nothing_is_poor():
    bare = PatienceRule(Goal("eval_accuracy"), ByStep({0: 0.0, 10: 0.0}), 1)
    assert bare.judge(run_to(10)).verdict is Verdict.UNDECIDED
    assert "neither a target" in (bare.why_silent(run_to(10)) or "")
    assert bare.why_silent(run_to(10, baselines={"eval_accuracy": 0.5})) is None


def test_no_patience_at_all_is_refused():
    with pytest.raises(ValueError, match=r"1 or more.*got 0"):
        rule(evaluations=0)


def test_a_rule_is_found_by_its_name_or_given_as_what_makes_it():
    assert rule_maker("calibrated") is default_rule
    assert rule_maker("patience") is patience_rule
    assert rule_maker(PatienceRule) is PatienceRule


def test_an_unknown_rule_is_told_with_those_there_are():
    with pytest.raises(ValueError, match="'median': the rules are calibrated, patience"):
        rule_maker("median")


def test_what_makes_no_rule_is_refused():
    with pytest.raises(TypeError, match="got a int"):
        rule_maker(3)  # type: ignore[arg-type]
