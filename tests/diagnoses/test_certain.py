"""Certain failures: persistence is what makes them certain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_ftrisk import Goal, RunRecord
from hf_ftrisk.diagnoses.certain import certain_failure
from hf_ftrisk.diagnoses.checks import diagnose


def run(loss, grad_norm=None, *, every=1, **fields) -> RunRecord:
    """A log as the Trainer writes it, NaN kept as NaN that was logged."""
    history = [
        {
            "step": (i + 1) * every,
            "loss": value,
            "grad_norm": 1.0 if grad_norm is None else grad_norm[i],
            "learning_rate": 1e-4,
        }
        for i, value in enumerate(loss)
    ]
    return RunRecord.from_log_history(history, max_steps=1000, **fields)


FINE = list(np.linspace(1.0, 0.5, 30))


def test_a_loss_that_stays_nan_is_certain():
    failure = certain_failure(run([*FINE, math.nan, math.nan]))
    assert failure is not None
    assert (failure.name, failure.severity) == ("non_finite_loss", "fatal")
    assert failure.evidence == {"since_step": 31.0, "logs": 2.0}


def test_one_nan_may_be_one_bad_batch():
    assert certain_failure(run([*FINE, math.nan])) is None
    assert certain_failure(run([*FINE, math.nan, 0.5])) is None


def test_nan_behind_the_filter_is_seen_by_its_gradients():
    """logging_nan_inf_filter shows a window of NaN losses as 0.0."""
    failure = certain_failure(run([*FINE, 0.3, 0.0, 0.0], [*[1.0] * 30, *[math.nan] * 3], every=10))
    assert failure is not None
    assert failure.name == "non_finite_gradients"
    assert "hides it" in failure.message


def test_fp16_gradients_that_are_inf_and_skipped_are_no_failure():
    """The loss scaler starts too high: a few infinite norms at the start, now and then one more."""
    norms = np.ones(30)
    norms[[0, 1, 2, 3, 17, 28, 29]] = np.inf
    record = run(FINE, norms.tolist())
    for step in range(1, 31):
        assert certain_failure(record.prefix(step)) is None


def test_gradients_that_stay_inf_are_a_failure():
    failure = certain_failure(run(FINE, [1.0] * 5 + [math.inf] * 25))
    assert failure is not None
    assert failure.name == "non_finite_gradients"


@pytest.mark.parametrize(("loss", "name"), [(0.0, "all_labels_masked"), (0.69, "zero_gradients")])
def test_gradients_of_exactly_zero_from_the_start_are_a_failure(loss, name):
    failure = certain_failure(run([loss] * 5, [0.0] * 5))
    assert failure is not None
    assert failure.name == name


def test_zero_gradients_pass_where_they_are_normal():
    assert certain_failure(run([0.0] * 5, [0.0] * 5).prefix(2)) is None
    settings = {"reinforcement_learning": True}
    assert certain_failure(run([0.0] * 5, [0.0] * 5, settings=settings)) is None
    assert certain_failure(run([*FINE, 0.0, 0.0, 0.0], [*[1.0] * 30, 0.0, 0.0, 0.0])) is None


@pytest.mark.parametrize("logs", [3, 13])
def test_a_norm_of_zero_is_none_where_the_loss_moves(logs):
    """Optimizers that step inside the backward pass leave no gradients to measure."""
    falling = np.linspace(1.0, 0.5, 30)[:logs]
    assert certain_failure(run(falling.tolist(), [0.0] * logs)) is None
    # A watcher that saw the gradients themselves knows better.
    seen = run(falling.tolist(), [0.0] * logs, settings={"every_step_seen": True})
    failure = certain_failure(seen)
    assert failure is not None
    assert failure.name == "zero_gradients"


def test_a_norm_of_zero_and_a_loss_without_a_trend_are_a_failure_in_time():
    noise = 0.7 + 0.05 * np.random.default_rng(1).standard_normal(40)
    assert certain_failure(run(noise[:10].tolist(), [0.0] * 10)) is None
    failure = certain_failure(run(noise.tolist(), [0.0] * 40))
    assert failure is not None
    assert failure.name == "zero_gradients"


def _evaluated(values, metric="eval_loss", **fields) -> RunRecord:
    log = [
        entry
        for i, value in enumerate(values)
        for entry in ({"step": 10 * (i + 1), "loss": 0.5}, {"step": 10 * (i + 1), metric: value})
    ]
    return RunRecord.from_log_history(log, max_steps=1000, **fields)


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_loss_goal_lost_three_times_running_is_a_certain_failure(lost):
    goal = Goal("loss", target=0.5)
    for values, certain in (
        ([lost], False),
        ([lost, lost], False),
        ([lost, lost, 0.4], False),
        ([lost] * 3, True),
        ([0.7, 0.6, lost, lost, lost], True),
    ):
        failure = certain_failure(_evaluated(values), goal)
        assert (failure is not None) == certain
        if failure is not None:
            assert (failure.name, failure.severity) == ("non_finite_evaluations", "fatal")
            assert "while the training loss is 0.5" in failure.message
        assert certain_failure(_evaluated(values), Goal("accuracy")) is None
        assert certain_failure(_evaluated(values)) is None


def test_the_first_lost_evaluation_is_diagnosed():
    (diagnosis,) = diagnose(_evaluated([math.nan]), Goal("loss"))
    assert (diagnosis.name, diagnosis.severity) == ("non_finite_evaluations", "warning")
    assert "eval_loss is nan at step 10, not finite in 1 of 1 evaluations" in diagnosis.message
    assert "labels are all masked" in diagnosis.advice
    (diagnosis,) = diagnose(_evaluated([0.5, math.nan]), Goal("accuracy"))
    assert diagnosis.name == "non_finite_evaluations"
    assert diagnose(_evaluated([math.nan, 0.5]), Goal("loss")) == ()


def test_the_correlation_of_a_constant_prediction_is_no_lost_evaluation():
    goal = Goal("pearson")
    record = _evaluated([math.nan] * 3, metric="eval_pearson")
    assert certain_failure(record, goal) is None
    assert all(one.name != "non_finite_evaluations" for one in diagnose(record, goal))


@pytest.mark.parametrize("rate", [0.0, 1e-9])
def test_a_rate_that_moves_nothing_is_not_blamed_for_a_lost_loss(rate):
    failure = certain_failure(run([*FINE, math.nan, math.nan], schedule=np.full(1000, rate)))
    assert failure is not None
    assert "Keep the learning rate" in failure.advice
