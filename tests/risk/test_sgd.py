"""Simulated SGD: the law of the decay, and which form holds where."""

import numpy as np
import pytest

from benchmarks.recovery.planted import DEPTHS, HORIZON, linear_schedule
from benchmarks.recovery.sgd import (
    contraction_fits,
    inverse_power,
    measure,
    schedules,
    variance_left,
)
from hf_ftrisk.risk import fit_risk_curve, tail_energy


def test_variance_left_by_hand():
    # Two steps of 0.5 and 0.25, h = 1: the first one's noise is kept to 3/4.
    rates = np.array([0.5, 0.25])
    variances = variance_left(rates, contraction=rates.sum())
    assert variances == pytest.approx([0.25 * 0.75**2 + 0.0625, 0.0625, 0.0])


@pytest.mark.parametrize("contraction", [0.0, 2.0])
def test_runs_scatter_about_their_best_forecast_as_the_formula_says(contraction):
    rates = linear_schedule(200)
    depths, risks = measure(
        rates,
        4000,
        np.random.default_rng(0),
        contraction=contraction,
        depths=np.array([5, 50, 150]),
    )
    left = variance_left(rates, contraction)[depths.astype(int)]
    assert risks == pytest.approx(left, rel=0.08)


def test_along_a_flat_direction_the_tail_energy_is_the_variance_left():
    for rates in schedules().values():
        assert variance_left(rates) == pytest.approx(tail_energy(rates), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("rho", [0.6, 0.75, 0.9, 1.0])
def test_rates_that_fall_as_a_power_give_the_papers_exponent(rho):
    rates = inverse_power(rho)
    left = variance_left(rates)
    # The exact law first: log V falls with 2 rho - 1 once the end is taken off.
    decay = np.arange(1.0, HORIZON) ** -(2 * rho - 1) - HORIZON ** -(2 * rho - 1)
    assert left[100:900] / left[100] == pytest.approx(decay[99:899] / decay[99], abs=0.01)
    depths, risks = measure(rates, 3000, np.random.default_rng(11), evaluation=0.002 * left[20])
    fit = fit_risk_curve(depths, risks, counts=3000, horizon=HORIZON, same_runs=True)
    assert fit.form == "horizon"
    assert fit.alpha == pytest.approx(2 * rho - 1, abs=0.03)
    low, high = fit.interval("alpha", 0.99)
    assert low < 2 * rho - 1 < high


@pytest.mark.parametrize(
    "name",
    ["linear", "cosine", "constant", "warm-up, linear", "warm-up, cosine", "warm-up, constant"],
)
def test_the_tail_energy_recovers_the_curve_of_every_schedule_and_wins(name):
    rates = schedules()[name]
    left = variance_left(rates)
    depths, risks = measure(rates, 2000, np.random.default_rng(12), evaluation=0.05 * left[0])
    fit = fit_risk_curve(depths, risks, counts=2000, learning_rates=rates, same_runs=True)
    assert fit.form == "tail"
    assert fit.weights["tail"] + fit.weights["tail_power"] > 0.99
    at = np.arange(int(depths[0]), HORIZON)
    error = np.abs(fit.optimization(at) - left[at]).max()
    assert error < 0.05 * left[int(depths[0])]
    low, high = fit.interval("intrinsic")
    assert low < 0.05 * left[0] < high


@pytest.fixture(scope="module")
def forgetting():
    return {row["contraction"]: row for row in contraction_fits()}


def test_without_contraction_the_tail_energy_is_exact(forgetting):
    assert forgetting[0.0]["tail"] < 0.01
    assert max(forgetting[0.0]["weights"], key=forgetting[0.0]["weights"].get) == "tail"
    assert min(forgetting[0.0]["power"], forgetting[0.0]["horizon"]) > 0.2


def test_a_direction_that_forgets_takes_the_power_of_the_tail_energy(forgetting):
    # The less of the past is kept, the later the end is decided: b falls below 1.
    for contraction in (0.3, 1.0):
        assert forgetting[contraction]["tail_power"] < 0.08
        assert forgetting[contraction]["weights"]["tail_power"] > 0.9
    assert forgetting[0.1]["b"] > forgetting[0.3]["b"] > forgetting[1.0]["b"] > forgetting[3.0]["b"]


def test_no_form_follows_a_direction_that_forgets_many_times(forgetting):
    # Known and documented: the average is off by a fifth and more from three e-folds on.
    assert 0.1 < forgetting[3.0]["all"] < 0.3
    assert 0.25 < forgetting[10.0]["all"] < 0.5
    for row in forgetting.values():
        best = min(row[form] for form in ("power", "horizon", "tail", "tail_power"))
        assert row["all"] <= best + 0.03


def test_fresh_runs_of_a_noisy_quadratic_are_held_while_it_forgets_little():
    rates = linear_schedule()
    left = variance_left(rates, 0.3)
    depths, risks = measure(
        rates, 500, np.random.default_rng(13), contraction=0.3, evaluation=0.05 * left[0]
    )
    fit = fit_risk_curve(depths, risks, counts=500, learning_rates=rates, same_runs=True)
    for depth in DEPTHS[::2]:
        low, high = fit.band(depth, 0.95)
        assert low < left[round(depth)] + 0.05 * left[0] < high
