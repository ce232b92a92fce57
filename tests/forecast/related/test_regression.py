"""Estimators on few runs: exact leave-one-out predictions, weights that follow the evidence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.forecast.related.regression import (
    Estimate,
    averaged,
    kernel_weights,
    mean_of_known,
    ridge_estimate,
    shifted,
    standardized,
)

OUTCOMES = np.array([0.1, 0.5, 0.4, 0.9, 0.7])


def others(values):
    return [np.delete(values, i) for i in range(len(values))]


def test_mean_leaves_each_run_out():
    estimate = mean_of_known(OUTCOMES)
    assert estimate.value == pytest.approx(OUTCOMES.mean())
    np.testing.assert_allclose(estimate.held_out, [o.mean() for o in others(OUTCOMES)])


def test_shift_leaves_each_run_out():
    values = np.array([0.2, 0.3, 0.5, 0.6, 0.6])
    estimate = shifted(values, 0.55, OUTCOMES, prior_runs=4.0)
    errors = OUTCOMES - values
    assert estimate.value == pytest.approx(0.55 + errors.sum() / 9)
    np.testing.assert_allclose(estimate.held_out, values + [e.sum() / 8 for e in others(errors)])


def test_ridge_finds_a_planted_line_and_its_held_out_errors_are_those_of_refits():
    rng = np.random.default_rng(0)
    known, new = standardized(rng.normal(size=(30, 3)), rng.normal(size=3))
    slope = np.array([0.5, -0.2, 0.0])
    outcomes = 1.0 + known @ slope + 0.01 * rng.normal(size=30)
    estimate = ridge_estimate(known, new, outcomes)
    assert estimate.value == pytest.approx(1.0 + new @ slope, abs=0.03)
    for i in (0, 7):
        rest = np.delete(known, i, axis=0)
        middle, y = rest.mean(axis=0), np.delete(outcomes, i)
        gram = (rest - middle).T @ (rest - middle) + 0.3 * np.eye(3)
        refit = np.linalg.solve(gram, (rest - middle).T @ (y - y.mean()))
        assert estimate.held_out[i] == pytest.approx(
            y.mean() + (known[i] - middle) @ refit, abs=2e-3
        )


def test_ridge_on_noise_alone_is_close_to_the_mean():
    rng = np.random.default_rng(1)
    known, new = standardized(rng.normal(size=(200, 2)), np.array([1.0, -1.0]))
    outcomes = rng.normal(size=200)
    assert abs(ridge_estimate(known, new, outcomes).value - outcomes.mean()) < 0.2


def test_features_that_are_missing_or_constant_are_left_out():
    known = np.array([[1.0, 5.0, np.nan, 2.0], [2.0, 5.0, 1.0, 3.0], [3.0, 5.0, 2.0, 7.0]])
    standard, new = standardized(known, np.array([2.0, 6.0, 1.0, np.nan]))
    assert standard.shape == (3, 1)
    np.testing.assert_allclose(new, [0.0])


@given(st.integers(2, 30), st.floats(0.1, 50.0))
def test_an_average_lies_between_its_estimates_for_the_new_run_and_for_each_known_one(n, odds):
    rng = np.random.default_rng(n)
    held_out = rng.normal(size=(2, n))
    both = [Estimate(0.0, held_out[0]), Estimate(1.0, held_out[1])]
    average = averaged(both, rng.normal(size=n), np.array([1.0, odds]))
    assert 0.0 <= average.value <= 1.0
    assert (average.held_out >= held_out.min(axis=0) - 1e-9).all()
    assert (average.held_out <= held_out.max(axis=0) + 1e-9).all()


@pytest.mark.parametrize("n", [2, 5, 12, 150])
def test_estimates_that_err_alike_are_weighted_by_their_odds(n):
    outcomes = np.linspace(0.0, 1.0, n)
    both = [Estimate(0.0, outcomes - 0.1), Estimate(1.0, outcomes + 0.1)]
    average = averaged(both, outcomes, np.array([3.0, 1.0]))
    assert average.value == pytest.approx(0.25)
    np.testing.assert_allclose(average.held_out, outcomes - 0.05)


def test_weights_fall_with_a_power_of_the_error_that_grows_with_the_runs():
    # Errors of 1 and 2 on every run, squares 1 and 4: weights as 1 to 1/4, to the power 1, then 2.
    for n, share in ((4, 1 / 5), (8, 1 / 17)):
        both = [Estimate(0.0, np.full(n, 1.0)), Estimate(1.0, np.full(n, 2.0))]
        average = averaged(both, np.zeros(n), np.ones(2))
        assert average.value == pytest.approx(share, rel=0.02)


def test_a_gain_on_one_run_weighs_less_than_the_same_gain_on_all():
    outcomes = np.zeros(20)
    mean = Estimate(0.0, np.full(20, 1.0))
    one = Estimate(1.0, np.where(np.arange(20) == 0, 0.0, 1.0))
    every = Estimate(1.0, np.full(20, np.sqrt(0.95)))
    assert np.mean(one.held_out**2) == pytest.approx(np.mean(every.held_out**2))
    # A run whose error alone speaks for an estimator does not have it count in its own forecast.
    average = averaged([mean, one], outcomes, np.ones(2))
    assert average.held_out[0] == pytest.approx(0.5)
    assert average.value > 0.5


def test_the_better_estimator_is_followed_with_many_runs_and_less_with_few():
    rng = np.random.default_rng(2)
    outcomes = rng.normal(size=100)
    good = Estimate(1.0, outcomes + 0.5 * rng.normal(size=100))
    poor = Estimate(0.0, rng.normal(size=100))
    odds = np.array([0.1, 0.9])
    shares = [
        averaged([Estimate(e.value, e.held_out[:n]) for e in (good, poor)], outcomes[:n], odds)
        for n in (4, 16, 100)
    ]
    values = [share.value for share in shares]
    assert values == sorted(values)
    assert values[-1] > 0.99


def test_closeness_favors_similar_runs_and_silences_none():
    weights = kernel_weights(np.array([[0.0], [0.1], [3.0]]), np.array([0.0]))
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] > weights[2] > 0.1
