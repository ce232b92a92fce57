"""90 % intervals hold 90 % of the truths, and an exponent is a number only where there is one."""

import numpy as np
import pytest

from benchmarks.recovery.planted import (
    ALPHAS,
    DEPTHS,
    RUNS,
    calibrate,
    independent,
    most_likely_exponent,
    nothing_decays,
)
from hf_ftrisk.risk import fit_risk_curve

pytestmark = pytest.mark.slow


def held(calibrations, name: str) -> float:
    return float(np.mean([inside for one in calibrations.values() for inside in one.inside[name]]))


@pytest.mark.parametrize("name", ["L", "intrinsic", "V_opt", "K", "alpha", "b"])
def test_credible_intervals_cover_when_the_truth_is_drawn_from_the_prior(calibrations, name):
    assert 0.85 <= held(calibrations["fresh"], name) <= 0.95


def test_the_same_runs_at_every_depth_are_never_too_sure(calibrations):
    for name in ("L", "intrinsic", "V_opt", "alpha"):
        assert 0.86 <= held(calibrations["same"], name) <= 0.98


def test_the_same_runs_taken_for_fresh_ones_would_be_far_too_sure():
    # What same_runs is for: if this were to cover, it could go.
    calibration = calibrate(8, 200, same_runs=True, told=False, optima=False)
    assert calibration.coverage("L") < 0.75


def test_an_exponent_is_never_a_number_where_nothing_decays():
    assert {runs: numbers for runs, (numbers, _) in nothing_decays(120).items()} == dict.fromkeys(
        RUNS, 0
    )


def test_an_optimal_depth_is_held_too():
    calibration = calibrate(30, 80)
    assert calibration.coverage("c*") >= 0.85
    # Probing to the estimated depth costs little more than to the true one.
    assert np.median(calibration.regret) < 0.03


def clear_errors(alpha: float, fits: int) -> tuple[np.ndarray, np.ndarray]:
    """Relative errors of the fit and of maximum likelihood, L_int a fiftieth of the last V_opt."""
    decay = (DEPTHS / DEPTHS[0]) ** -alpha
    errors, likely = [], []
    for seed in range(fits):
        risks = independent(decay + decay[-1] / 50, 1500, np.random.default_rng(seed))
        fit = fit_risk_curve(DEPTHS, risks, counts=1500)
        assert fit.alpha is not None
        errors.append(abs(fit.alpha / alpha - 1))
        likely.append(abs(most_likely_exponent(risks) / alpha - 1))
    return np.array(errors), np.array(likely)


@pytest.mark.parametrize("alpha", [alpha for alpha in ALPHAS if alpha > 0.3])
def test_a_clear_exponent_is_found_to_five_percent(alpha):
    assert np.median(clear_errors(alpha, 40)[0]) < 0.05


def test_a_slow_decay_is_found_as_well_as_maximum_likelihood_finds_it():
    # alpha 0.3 falls by a factor of 3 only: the data themselves say no more than about 5 %.
    errors, likely = clear_errors(0.3, 60)
    assert np.median(errors) < 1.3 * np.median(likely)


def test_many_runs_agree_with_maximum_likelihood():
    for seed in range(5):
        risks = independent(
            0.05 + (DEPTHS / DEPTHS[0]) ** -0.8, 100_000, np.random.default_rng(seed)
        )
        fit = fit_risk_curve(DEPTHS, risks, counts=100_000)
        # The grid of the maximum-likelihood search is 1.5 % fine.
        assert fit.alpha == pytest.approx(most_likely_exponent(risks), rel=0.02)
