"""Estimators on few runs: exact leave-one-out predictions, weights that follow the evidence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.forecast.regression import (
    Estimate,
    closeness,
    mean_of_known,
    ridge,
    shifted,
    stack,
    standardised,
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
    known, new = standardised(rng.normal(size=(30, 3)), rng.normal(size=3))
    slope = np.array([0.5, -0.2, 0.0])
    outcomes = 1.0 + known @ slope + 0.01 * rng.normal(size=30)
    estimate = ridge(known, new, outcomes)
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
    known, new = standardised(rng.normal(size=(200, 2)), np.array([1.0, -1.0]))
    outcomes = rng.normal(size=200)
    assert abs(ridge(known, new, outcomes).value - outcomes.mean()) < 0.2


def test_features_that_are_missing_or_constant_are_left_out():
    known = np.array([[1.0, 5.0, np.nan, 2.0], [2.0, 5.0, 1.0, 3.0], [3.0, 5.0, 2.0, 7.0]])
    standard, new = standardised(known, np.array([2.0, 6.0, 1.0, np.nan]))
    assert standard.shape == (3, 1)
    np.testing.assert_allclose(new, [0.0])


@given(st.integers(2, 30), st.floats(0.0, 50.0))
def test_stacked_weights_average_the_estimates(n, prior_runs):
    rng = np.random.default_rng(n)
    outcomes = rng.normal(size=n)
    both = [Estimate(0.0, rng.normal(size=n)), Estimate(1.0, rng.normal(size=n))]
    stacked = stack(both, outcomes, np.array([0.5, 0.5]), prior_runs)
    assert -1e-3 <= stacked.value <= 1.0 + 1e-3


def test_stacking_follows_the_better_estimator_with_many_runs_and_the_prior_with_few():
    rng = np.random.default_rng(2)
    outcomes = rng.normal(size=200)
    good = Estimate(1.0, outcomes + 0.1 * rng.normal(size=200))
    poor = Estimate(0.0, rng.normal(size=200))
    prior = np.array([0.1, 0.9])
    assert stack([good, poor], outcomes, prior, 0.4).value > 0.95
    few = [Estimate(e.value, e.held_out[:2]) for e in (good, poor)]
    assert stack(few, outcomes[:2], prior, 400.0).value == pytest.approx(0.1, abs=0.05)


def test_closeness_favours_similar_runs_and_silences_none():
    weights = closeness(np.array([[0.0], [0.1], [3.0]]), np.array([0.0]))
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] > weights[2] > 0.1
