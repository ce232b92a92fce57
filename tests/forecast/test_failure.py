"""The chance of failure: its features, its model, and the reweighting of a forecast to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.forecast.conformal import DEPTHS
from hf_ftrisk.forecast.curves.view import CurveView
from hf_ftrisk.forecast.failure import (
    FEATURES,
    FailureModel,
    failure_features,
    kept_above,
    reweighted,
)
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.forecast.prior import load_prior
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

ACCURACY = Goal("accuracy")


def run(accuracy, eval_loss, train_loss, norms=None, **fields):
    n = len(train_loss)
    fields.setdefault("baselines", {"eval_accuracy": 0.5, "eval_loss": 0.7})
    return RunRecord(
        max_steps=100,
        train_step=np.arange(1.0, n + 1),
        train_loss=np.array(train_loss, dtype=float),
        grad_norm=np.array(norms if norms is not None else [np.nan] * n, dtype=float),
        eval_step=np.arange(len(accuracy)) * 10.0,
        evals={"eval_accuracy": np.array(accuracy), "eval_loss": np.array(eval_loss)},
        **fields,
    )


def features(record, curve=0.5):
    view = CurveView.of(record, ACCURACY)
    values = failure_features(view, record, ACCURACY, record.baseline(ACCURACY), curve)
    return dict(zip(FEATURES, values.tolist(), strict=True))


def test_features_are_those_computed_by_hand():
    found = features(
        run([0.5, 0.6, 0.5], [0.7, 0.6, 0.8], [0.9, 0.9, 0.9, 0.9, 0.6, 0.6], [1, 1, 2, 2, 4, 4]),
        curve=0.2,
    )
    assert found["curve"] == pytest.approx(np.log(0.2 / 0.8))
    assert found["ties"] == 0.5  # of the two after step 0 the second repeats the trivial value
    assert found["tied"] == 1.0
    assert found["risen"] == pytest.approx(0.0, abs=1e-12)
    assert found["best"] == pytest.approx(np.tanh(2 * np.log(0.599 / 0.401)))  # rates are drawn in
    assert found["eval_loss"] == pytest.approx(np.tanh(5 * np.log(0.8 / 0.7)))
    assert found["eval_loss_least"] == pytest.approx(np.tanh(5 * np.log(0.6 / 0.7)))
    assert found["train_loss"] == pytest.approx(np.tanh(5 * np.log(0.6 / 0.7)))
    assert found["train_fall"] == pytest.approx(np.tanh(5 * np.log(0.6 / 0.9)))
    assert found["grad_norm"] == pytest.approx(np.tanh(np.log(4.0)))


def test_what_was_not_logged_counts_as_zero():
    bare = RunRecord(
        max_steps=100,
        eval_step=np.array([10.0]),
        evals={"eval_accuracy": np.array([0.6])},
        baselines={"eval_accuracy": 0.5},
    )
    found = features(bare)
    silent = set(FEATURES) - {"risen", "best"}
    assert {name for name in silent if found[name] != 0.0} == set()


def test_two_classes_have_a_known_trivial_loss_unless_the_first_losses_contradict():
    entropy = np.log(2.0)
    two = features(run([0.5, 0.5], [0.69, 0.66], [0.69], baselines={"eval_accuracy": 0.5}))
    assert two["eval_loss"] == pytest.approx(np.tanh(5 * np.log(0.66 / entropy)))
    three = features(run([0.5, 0.5], [1.05, 1.0], [1.05], baselines={"eval_accuracy": 0.5}))
    assert three["eval_loss"] == pytest.approx(np.tanh(5 * np.log(1.0 / 1.05)))  # over the first


def test_chance_is_interpolated_and_ends_as_the_curve_models():
    n = len(FEATURES)
    model = FailureModel(tuple(float(i) for i in range(len(DEPTHS))), ((0.0,) * n,) * len(DEPTHS))
    odds = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    zero = np.zeros(n)
    assert model.chance(zero, 0.1) == pytest.approx(odds(1.0))
    assert model.chance(zero, 0.4) == pytest.approx(odds(3.5))
    sure = zero.copy()
    sure[0] = -3.0
    assert model.chance(sure, 1.0) == pytest.approx(odds(-3.0))
    assert model.chance(sure + 100.0, 1.0) == pytest.approx(0.99)


def test_a_model_of_other_features_is_refused():
    with pytest.raises(ValueError, match="fit them again"):
        FailureModel((0.0,) * len(DEPTHS), ((0.0,),) * len(DEPTHS))


@given(st.floats(0.01, 0.99), st.floats(-3.0, 3.0))
def test_the_asked_share_of_draws_fails_whatever_the_draws(chance, trivial):
    z = np.random.default_rng(0).normal(size=1000)
    found = reweighted(z, trivial, last=0.3, chance=chance)
    assert found.size == 1000
    assert np.mean(found <= trivial) == pytest.approx(chance, abs=1e-3)


def test_a_run_on_its_trivial_value_mostly_stays_there_when_it_fails():
    z = np.random.default_rng(0).normal(size=1000)
    found = reweighted(z, 0.2, last=0.2, chance=0.6)
    assert np.mean(found == 0.2) == pytest.approx(0.3, abs=1e-3)


def test_a_run_that_fails_on_its_way_up_ends_between_its_last_and_the_trivial_value():
    z = np.random.default_rng(0).normal(2.0, 0.1, size=1000)  # the curve promises success
    found = reweighted(z, 0.0, last=-2.0, chance=0.8)
    failed = found[found <= 0.0]
    assert np.mean(failed == -2.0) == pytest.approx(0.5, abs=0.01)
    rest = failed[failed > -2.0]
    assert rest.max() > -0.1
    assert np.median(rest) == pytest.approx(-1.0, abs=0.05)


def test_draws_above_the_trivial_value_move_and_stay_above_it():
    moved = kept_above(np.array([-1.0, 0.0, 0.5, 2.0]), 0.0, -1.0)
    assert moved[[0, 1, 3]].tolist() == [-1.0, 0.0, 1.0]
    assert 0.0 < moved[2] < 0.01


def stuck(n=4):
    return run([0.4] + [0.5] * (n - 1), [0.75] + [0.7] * (n - 1), [0.7] * 30, [1.0] * 30)


def learning(n=4):
    falling = np.linspace(0.7, 0.5, n)
    return run([0.4] + [0.5] * (n - 1), falling, np.linspace(0.7, 0.45, 30), np.linspace(1, 3, 30))


def test_of_two_runs_at_chance_the_one_whose_losses_fall_is_more_likely_good():
    forecaster = Forecaster.default()
    chances = [
        forecaster.predict(record, ACCURACY).prob_meets(ACCURACY, 0.5)
        for record in (stuck(), learning())
    ]
    assert chances[0] < 0.5 < chances[1]


def test_who_fails_does_not_beat_the_trivial_predictor_to_the_last_digit():
    # 0.1 + 0.2 is no number that a logit and back gives again.
    record = run([0.3, 0.3], [0.7, 0.7], [0.7] * 9, baselines={"eval_accuracy": 0.1 + 0.2})
    forecast = Forecaster.default().predict(record, ACCURACY)
    failed = np.mean(forecast.samples <= 0.1 + 0.2)
    assert failed == pytest.approx(1 - forecast.prob_meets(ACCURACY, 0.1 + 0.2))
    assert failed >= 0.3


def test_packaged_models_know_repetition_and_falling_losses_for_what_they_are():
    weights = dict(zip(FEATURES, np.array(load_prior("score").failure.weights)[2], strict=True))
    assert weights["tied"] > 0 > weights["risen"]
    assert weights["eval_loss"] > 0
    assert weights["grad_norm"] < 0
