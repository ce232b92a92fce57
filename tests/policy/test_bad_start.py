"""Runs that began far below their trivial predictor: stopped where they stay, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hf_ftrisk import Forecaster, Goal, RunRecord
from hf_ftrisk.policy import default_rule
from hf_ftrisk.verdict import Verdict

GOAL = Goal("accuracy")
MANY_CLASSES = [0.01, 0.03, 0.05, 0.08, 0.1]


def run(
    values: list[float],
    *,
    metric: str = "eval_accuracy",
    trivial: float | None = 0.9,
    losses: tuple[float, float] = (2.0, 2.0),
    **fields,
) -> RunRecord:
    """A run of 100 steps, evaluated every 10 from step 0 on, where one class makes up 0.9."""
    steps = np.arange(len(values)) * 10.0
    trained = np.arange(1.0, max(steps[-1], 1.0) + 1.0)
    defaults = {
        "max_steps": 100,
        "train_step": trained,
        "train_loss": np.linspace(*losses, trained.size),
        "eval_step": steps,
        "evals": {metric: values},
        "baselines": {} if trivial is None else {metric: trivial},
        "status": "running",
    }
    return RunRecord(**(defaults | fields))


def ruling(record: RunRecord, goal: Goal = GOAL, rate: float = 0.05):
    return default_rule(goal, Forecaster.default(), None, rate).judge(record)


def test_a_run_that_stays_where_it_began_is_stopped_with_its_numbers_in_the_reason():
    stuck = ruling(run([0.1, 0.1, 0.11, 0.1]))
    assert stuck.verdict is Verdict.NO_GO
    assert not stuck.certain
    assert "began at 0.1, far below the trivial 0.9, and is at best 0.11 at step 30 of 100" in (
        stuck.reason
    )


def test_percentages_and_error_rates_too():
    percent = run([10.0, 10.0, 11.0, 10.0], trivial=90.0)
    assert ruling(percent).verdict is Verdict.NO_GO
    errors = run([0.9, 0.9, 0.89, 0.9], metric="eval_error_rate", trivial=0.1)
    assert ruling(errors, Goal("error_rate")).verdict is Verdict.NO_GO


@pytest.mark.parametrize(
    "left_alone",
    [
        pytest.param(run([0.1, 0.1, 0.1]), id="before a good third of the run"),
        pytest.param(run([0.1, 0.3, 0.5, 0.6]), id="it comes up"),
        pytest.param(run([0.1, 0.1, 0.1, 0.1], losses=(8.0, 2.0)), id="its loss falls"),
        pytest.param(run(MANY_CLASSES, trivial=0.2), id="many classes, slowly up"),
        pytest.param(
            run([0.1] * 5, schedule=[*np.linspace(0.01, 1.0, 60), *np.ones(40)]), id="warm-up"
        ),
        pytest.param(run([0.1, 0.1, 0.1, 0.1], trivial=None), id="no trivial predictor known"),
    ],
)
def test_no_other_is(left_alone):
    assert ruling(left_alone).verdict is Verdict.UNDECIDED


def test_two_evaluations_say_too_little():
    late = run([0.1, 0.1], eval_step=[30, 60], train_step=[30.0, 60.0], train_loss=[2.0, 2.0])
    assert ruling(late).verdict is Verdict.UNDECIDED


def test_a_target_below_the_trivial_predictor_may_be_met_from_below():
    assert ruling(run([0.1, 0.1, 0.1, 0.1]), GOAL.with_target(0.05)).verdict is not Verdict.NO_GO
    assert ruling(run([0.1, 0.1, 0.1, 0.1]), GOAL.with_target(0.95)).verdict is Verdict.NO_GO


def test_a_rate_below_what_was_measured_is_kept_by_not_stopping():
    assert ruling(run([0.1, 0.1, 0.1, 0.1]), rate=0.02).verdict is Verdict.UNDECIDED


def test_enough_completed_runs_of_the_task_come_first():
    known = [
        replace(run([0.1, *[0.1] * 8, 0.92, 0.93]), status="finished", seed=seed)
        for seed in range(20)
    ]
    rule = default_rule(GOAL, Forecaster.default(known), known, 0.1)
    assert not rule.borrowed
    assert rule.judge(run([0.1, 0.1, 0.1, 0.1])).verdict is not Verdict.NO_GO
