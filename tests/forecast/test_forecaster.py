"""Forecaster: works from nothing to a whole run, inside the metric's range."""

import dataclasses

import numpy as np
import pytest

from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord


def run(values, metric="eval_accuracy", **fields):
    n = len(values)
    steps = np.linspace(0, 200, n + 1)[1:]
    return RunRecord(max_steps=200, eval_step=steps, evals={metric: np.array(values)}, **fields)


@pytest.mark.parametrize(
    "metric", ["accuracy", "loss", "matthews_correlation", "reward", "bleu", "wer"]
)
def test_forecasts_every_kind_of_metric_at_every_depth_inside_its_range(metric):
    goal = Goal(metric)
    record = run([0.2, 0.3, 0.25, 0.4, 0.45, 0.42], metric=goal.metric)
    low, high = goal.bounds
    for step in (0, 40, 100, 200):
        forecast = Forecaster.default().predict(record.prefix(step), goal)
        assert low <= forecast.samples[0] <= forecast.samples[-1] <= high
        assert forecast.step == record.prefix(step).last_step


def test_without_evaluation_a_rate_may_end_nearly_anywhere():
    record = RunRecord(max_steps=100, baselines={"eval_accuracy": 0.6})
    low, high = Forecaster.default().predict(record, Goal("accuracy")).interval(0.9)
    assert 0.0 <= low < 0.7
    assert 0.85 < high <= 1.0


def test_forecast_narrows_as_the_run_goes_on():
    record = run(list(0.9 - 0.4 * 0.5 ** np.arange(1, 21)))
    forecaster, goal = Forecaster.default(), Goal("accuracy")
    widths = [
        np.diff(forecaster.predict(record.prefix(s), goal).interval())[0] for s in (0, 20, 100, 200)
    ]
    assert widths == sorted(widths, reverse=True)


def test_best_checkpoint_is_never_forecast_below_what_was_reached():
    record = dataclasses.replace(run([0.5, 0.8, 0.6]), load_best=True).prefix(150)
    forecast = Forecaster.default().predict(record, Goal("accuracy"))
    assert forecast.samples[0] >= 0.8 - 1e-9


def test_same_record_gives_same_forecast():
    record = run([0.5, 0.6, 0.7]).prefix(140)
    first, second = (Forecaster.default().predict(record, Goal("accuracy")) for _ in range(2))
    np.testing.assert_array_equal(first.samples, second.samples)


def test_refitting_gives_the_forecasts_of_a_new_forecaster():
    rng = np.random.default_rng(0)
    goal = Goal("accuracy")
    known = [
        run(list(0.9 - 0.4 * 0.5 ** np.arange(1, 7) + 0.02 * rng.normal(size=6)), task="t")
        for _ in range(9)
    ]
    whole = Forecaster.default(known)
    whole.predict(known[0].prefix(100), goal)
    for left_out in (0, 4):
        others = known[:left_out] + known[left_out + 1 :]
        record = known[left_out].prefix(100)
        refitted, anew = (
            made.predict(record, goal) for made in (whole.refit(others), Forecaster.default(others))
        )
        np.testing.assert_array_equal(refitted.samples, anew.samples)
