"""Forecasts of metrics on every scale: percent, errors per word, losses below 0."""

from __future__ import annotations

import numpy as np
import pytest

from hf_ftrisk import Forecaster, Goal, RunRecord
from hf_ftrisk.forecast.change_model import load_change_model
from hf_ftrisk.forecast.cold import cold_values
from hf_ftrisk.forecast.features import run_state
from hf_ftrisk.forecast.scale import Scale


def _run(values, *, metric="eval_accuracy", loss=None, max_steps=100, **fields):
    log = []
    for i in range(10):
        step = 10 * (i + 1)
        log.append({"step": step, "loss": 1.0 / (i + 1) if loss is None else loss[i]})
        if i < len(values):
            log.append({"step": step, metric: values[i]})
    return RunRecord.from_log_history(log, max_steps=max_steps, **fields)


_GROWING = [0.52, 0.61, 0.7, 0.74, 0.76]


@pytest.mark.parametrize("known", [0, 6])
def test_a_metric_in_percent_is_forecast_as_in_fractions(known):
    """Live, with and without completed runs, from the first value on."""
    shift = np.linspace(0, 0.05, max(known, 1))
    full = [*_GROWING, 0.78, 0.8, 0.81, 0.81, 0.82]
    of = [[_run([v + s for v in full], task="t") for s in shift[:known]]]
    of.append([_run([100 * (v + s) for v in full], task="t") for s in shift[:known]])
    for seen in (1, 3, 5):
        plain = _run(_GROWING[:seen], task="t", baselines={"eval_accuracy": 0.5})
        percent = _run(
            [100 * v for v in _GROWING[:seen]], task="t", baselines={"eval_accuracy": 50.0}
        )
        fraction = Forecaster.default(of[0]).predict(plain, Goal("accuracy"))
        for goal in (
            Goal("accuracy"),
            Goal("accuracy", target=80),
            Goal("accuracy", kind="percent"),
        ):
            forecast = Forecaster.default(of[1]).predict(percent, goal)
            np.testing.assert_allclose(forecast.samples, 100 * fraction.samples, rtol=1e-9)


def test_percent_before_the_first_evaluation_spans_its_whole_range():
    forecast = Forecaster.default().predict(_run([]), Goal("f1", target=50))
    low, high = forecast.interval(0.9)
    assert low < 10
    assert high > 90


@pytest.mark.parametrize(
    ("goal", "most"), [("eval_error_rate<=0.1", 1.0), ("eval_wer", 1.0), ("eval_wer<=20", 100.0)]
)
def test_a_rate_of_errors_spans_its_whole_range_before_the_first_evaluation(goal, most):
    goal = Goal.parse(goal)
    forecast = Forecaster.default().predict(_run([]), goal)
    low, high = forecast.interval(0.9)
    assert 0.0 < low < 0.1 * most
    assert 0.9 * most < high <= most
    if goal.target is not None:
        assert 0.02 < forecast.prob_meets(goal) < 0.5


def test_a_loss_below_zero_is_forecast_where_it_is():
    loss = [-1.0, -1.6, -2.0, -2.2, -2.3, -2.35, -2.4, -2.42, -2.43, -2.44]
    goal = Goal("loss")
    before = Forecaster.default().predict(_run([], metric="eval_loss", loss=loss), goal)
    assert -8 < before.median < 2
    for baselines in ({}, {"eval_loss": -0.4}):
        run = _run([-1.1, -1.7, -2.0], metric="eval_loss", loss=loss, baselines=baselines)
        low, high = Forecaster.default().predict(run, goal).interval(0.9)
        assert -6 < low < -2.0 < high < 1


def test_training_losses_of_almost_nothing_do_not_hide_where_a_loss_of_any_sign_began():
    """A policy gradient's first losses are rounding errors; the untrained model's is not."""
    run = _run([], metric="eval_loss", loss=[-7e-9] * 10, baselines={"eval_loss": -0.0106})
    goal = Goal("eval_loss", kind="real", greater_is_better=False)
    low, high = Forecaster.default().predict(run, goal).interval(0.9)
    assert low < -0.0106 < -0.0068 < high


def test_the_score_of_a_run_whose_loss_is_negative_has_a_chance_of_failure():
    """What is read off the logarithm of a loss is left out where there is none."""
    loss = list(np.linspace(-1, -3, 10))
    log = [{"step": 10 * (i + 1), "loss": value} for i, value in enumerate(loss)]
    for i in range(5):
        log.append({"step": 10 * (i + 1), "eval_loss": -1.0 - i, "eval_accuracy": 0.5 + 0.05 * i})
    run = RunRecord.from_log_history(
        log, max_steps=100, baselines={"eval_accuracy": 0.5, "eval_loss": -0.5}
    )
    assert 0.4 < Forecaster.default().predict(run, Goal("accuracy")).median < 1.0


@pytest.mark.parametrize("size", [1e-5, 1e-7, 1e-10])
def test_an_error_of_tiny_quantities_is_forecast_in_their_own_unit(size):
    """Of a regression on targets in meters that are nanometers, say."""
    forecasts = []
    for unit in (1.0, size):
        run = _run([unit * v for v in (1.0, 0.6, 0.5)], metric="eval_mse")
        forecasts.append(Forecaster.default().predict(run, Goal("mse")).samples / unit)
    np.testing.assert_allclose(*forecasts, rtol=1e-6)


@pytest.mark.parametrize("values", [[0.5, 0.1, 0.0], [0.0, 0.0, 0.0], [0.3, 0.0, 0.2, 0.0]])
def test_a_loss_of_exactly_0_lies_inside_its_interval(values):
    steps = 10 * np.arange(1, len(values) + 1)
    run = RunRecord(max_steps=100, eval_step=steps, evals={"eval_loss": np.array(values)})
    forecast = Forecaster.default().predict(run, Goal("eval_loss"))
    low, high = forecast.interval(0.9)
    assert low == 0.0
    assert forecast.point <= (1e-5 if 0.2 in values else 0.0)  # one that jumps may rise again
    assert 0.0 < high < 1e-4


@pytest.mark.parametrize("seen", [1, 2, 5])
@pytest.mark.parametrize("load_best", [False, True])
def test_a_reward_that_has_only_been_0_is_not_forecast_to_jump(seen, load_best):
    run = _run([0.0] * seen, metric="eval_reward", loss=[0.0] * 10, load_best=load_best)
    forecast = Forecaster.default().predict(run, Goal("reward"))
    low, high = forecast.interval(0.9)
    assert low <= 0.0 < high
    assert 0.0 <= forecast.median < 0.1


@pytest.mark.parametrize("unit", [0.1, 7.0])
def test_whether_a_reward_of_only_0_beats_a_trivial_0_does_not_depend_on_its_scale(unit):
    run = _run([0.0] * 4, metric="eval_reward")
    goal, model = Goal("reward"), load_change_model("real")
    draws = []
    for scale in (Scale("real", 1.0, 1.0), Scale("real", 1.0, unit)):
        state = run_state(run, goal, scale)
        draws.append(cold_values(state, run, goal, model, 500))
    assert 0.0 < np.mean(draws[0] > 0.0) < 1.0
    np.testing.assert_array_equal(draws[0] > 0.0, draws[1] > 0.0)


def test_the_first_reward_that_is_not_0_gives_a_reward_its_scale():
    forecasts = []
    for size in (1.0, 100.0):
        run = _run([0.0, 0.0, 0.0, 0.0, size * 0.05], metric="eval_reward")
        forecasts.append(Forecaster.default().predict(run, Goal("reward")).samples / size)
    np.testing.assert_allclose(*forecasts, rtol=1e-6)
