"""The forecast at half and at twice the budget."""

from __future__ import annotations

import numpy as np
import pytest

from hf_ftrisk import Forecast, Forecaster, Goal, RunRecord
from hf_ftrisk.diagnoses.checks import diagnose
from hf_ftrisk.diagnoses.steps import Budgets, at_budget

GOAL = Goal("accuracy", target=0.8)


def run(values, max_steps=100, **fields) -> RunRecord:
    steps = np.linspace(0, max_steps, len(values) + 1)[1:]
    defaults = {
        "schedule": np.linspace(1e-4, 0.0, max_steps, endpoint=False),
        "eval_step": steps,
        "evals": {"eval_accuracy": np.asarray(values, dtype=float)},
        "baselines": {"eval_accuracy": 0.5},
    }
    return RunRecord(max_steps=max_steps, **(defaults | fields))


STEADY = np.linspace(0.52, 0.72, 10)  # 2 points every 10 steps, no end in sight
FLAT = 0.75 - 0.25 * np.exp(-np.arange(1, 11))


class Linear:
    """Forecast: the last slope goes on to the planned end."""

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        steps, values = record.curve(goal.metric)
        slope = (values[-1] - values[0]) / (steps[-1] - steps[0])
        end = values[-1] + slope * (record.max_steps - steps[-1])
        return Forecast(end + np.linspace(-0.01, 0.01, 11), step=record.last_step)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 1.7])
def test_the_schedule_keeps_its_shape_over_another_number_of_steps(factor):
    stretched = at_budget(run(STEADY).prefix(40), factor)
    assert stretched.max_steps == round(100 * factor)
    assert stretched.schedule is not None
    expected = 1e-4 * (1 - (np.arange(stretched.max_steps) + 0.5) / stretched.max_steps)
    np.testing.assert_allclose(stretched.schedule, expected, atol=1.1e-6)


def test_a_longer_plan_keeps_what_is_recorded_and_knows_no_outcome():
    stretched = at_budget(run(STEADY, final={"eval_accuracy": 0.9}), 2.0)
    np.testing.assert_array_equal(stretched.eval_step, run(STEADY).eval_step)
    assert stretched.status == "running"
    assert not stretched.has_outcome(GOAL)


def test_a_shorter_plan_forgets_what_came_after_its_end():
    assert at_budget(run(STEADY), 0.5).last_step == 50


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_a_budget_of_nothing_is_refused(factor):
    with pytest.raises(ValueError, match="factor"):
        at_budget(run(STEADY), factor)


def test_half_planned_and_twice_are_forecast_each_for_its_own_end():
    budgets = Budgets.of(run(STEADY).prefix(60), GOAL, Linear())
    medians = [f.median for f in (budgets.half, budgets.planned, budgets.twice)]
    slope = 0.2 / 90
    assert medians == pytest.approx([0.52 + slope * (s - 10) for s in (50, 100, 200)], abs=1e-6)


def test_a_metric_that_still_rises_has_too_few_steps():
    (diagnosis,) = diagnose(run(STEADY).prefix(80), GOAL, forecaster=Linear())
    assert (diagnosis.name, diagnosis.severity) == ("too_few_steps", "warning")
    assert diagnosis.evidence["half"] < diagnosis.evidence["planned"] < diagnosis.evidence["twice"]
    assert diagnosis.evidence["prob_good_planned"] == 0.0
    assert diagnosis.evidence["prob_good_twice"] == 1.0
    assert "Plan 200 steps" in diagnosis.advice


def test_a_run_that_reaches_its_goal_anyway_is_only_told():
    (diagnosis,) = diagnose(run(STEADY).prefix(80), Goal("accuracy"), forecaster=Linear())
    assert diagnosis.severity == "info"


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(run(FLAT), id="plateau"),
        pytest.param(run(STEADY).prefix(40), id="early: every good run still rises"),
        pytest.param(run([0.6, 0.65, 0.7]), id="three evaluations"),
        pytest.param(run([*STEADY[:8], 0.6, 0.58]), id="fell at the end"),
    ],
)
def test_what_would_gain_nothing_is_not_told_to_train_longer(record):
    assert diagnose(record, GOAL, forecaster=Linear()) == ()
    assert diagnose(record, GOAL, forecaster=Forecaster.default()) == ()


def test_a_loss_that_still_falls_has_too_few_steps_by_the_packaged_forecaster():
    loss = 2.0 * np.linspace(1, 20, 20) ** -0.35
    record = run(loss, evals={"eval_loss": loss}, baselines={"eval_loss": 2.3})
    (diagnosis,) = diagnose(record, Goal("loss"), forecaster=Forecaster.default())
    assert diagnosis.name == "too_few_steps"
    assert diagnosis.evidence["twice"] < diagnosis.evidence["planned"] < diagnosis.evidence["half"]


def test_a_run_with_another_failure_is_not_told_to_train_longer():
    record = run(STEADY, static={"truncated_share": 0.5, "tokens_max": 64.0})
    diagnoses = diagnose(record, GOAL, forecaster=Linear())
    assert [d.name for d in diagnoses] == ["truncated_inputs"]
