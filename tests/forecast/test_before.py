"""Before the first evaluation a forecast rests on what the frozen model, plan and losses say."""

from __future__ import annotations

import numpy as np
import pytest

from hf_ftrisk.forecast.before import BEFORE_RANGES, known_before
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

PROBED = {
    "linear_probe_accuracy": 0.9,
    "zero_shot_loss": 1.4,
    "classes": 4.0,
    "signal_score": 0.9,
    "signal_shuffled": 0.3,
}


def planned(static=(), losses=(), baselines=(), **fields):
    steps = 10.0 * np.arange(1, len(losses) + 1)
    return RunRecord(
        max_steps=1000,
        train_step=steps,
        train_loss=np.array(losses, dtype=float),
        static=dict(static),
        baselines=dict(baselines),
        **fields,
    )


def test_a_frozen_model_that_tells_the_classes_promises_more_than_one_that_does_not():
    goal, baseline = Goal("accuracy"), {"eval_accuracy": 0.3}
    poor = PROBED | {"linear_probe_accuracy": 0.31, "signal_score": 0.31}
    good, weak = (planned(s, baselines=baseline) for s in (PROBED, poor))
    forecasts = [Forecaster.default().predict(run, goal) for run in (good, weak)]
    assert forecasts[0].point > forecasts[1].point + 0.1
    assert forecasts[0].point > 0.6


def test_an_eval_loss_is_forecast_from_the_training_loss():
    goal = Goal("loss")
    low, high = (planned(losses=[c, 0.95 * c, 0.9 * c]) for c in (0.5, 3.0))
    first, second = (Forecaster.default().predict(run, goal) for run in (low, high))
    assert 0.05 < first.point < 1.0
    assert 0.5 < second.point < 5.0
    assert first.source.startswith("no evaluation yet")


@pytest.mark.parametrize("metric", ["error_rate", "wer", "accuracy", "bleu", "loss", "pearson"])
def test_nothing_known_is_no_certainty(metric):
    forecast = Forecaster.default().predict(planned(), Goal(metric))
    low, high = forecast.interval(0.9)
    assert high - low > 0.3
    assert low < forecast.point < high


def test_features_before_are_bounded_whatever_is_given():
    static = dict.fromkeys(PROBED, 1e300) | {"lora_rank": 8.0, "schedule_gain": -1e12}
    known = known_before(planned(static, losses=[1e300, np.inf, -1.0]), Goal("accuracy"))
    for value, (low, high) in zip(known.features, BEFORE_RANGES.values(), strict=True):
        assert np.isnan(value) or low <= value <= high
