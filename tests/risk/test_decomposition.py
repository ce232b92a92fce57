"""RiskDecomposition: curves, intervals, storage; and that none of it needs torch."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from hf_ftrisk.risk import RiskDecomposition, RiskPrior, fit_risk_curve
from tests.risk.planted import DEPTHS, HORIZON, linear_schedule, measured


@pytest.fixture(scope="module")
def fit() -> RiskDecomposition:
    left = 1.0 - DEPTHS / HORIZON
    risks = measured(0.2 + 2.0 * left**2, 30, seed=1)
    return fit_risk_curve(
        DEPTHS, risks, counts=30, floor=0.05, learning_rates=linear_schedule(), tolerance=0.5
    )


def test_parts_add_up_and_the_risk_never_rises(fit):
    at = np.linspace(0, HORIZON, 400)
    assert fit.total(at) == pytest.approx(fit.intrinsic + fit.optimization(at))
    assert np.all(np.diff(fit.total(at)) <= 1e-12)
    assert fit.level == fit.total(DEPTHS[0])
    assert fit.shallowest == DEPTHS[0]
    assert fit.horizon == HORIZON


def test_numbers_give_numbers_and_arrays_keep_their_shape(fit):
    assert isinstance(fit.total(50), float)
    assert isinstance(fit.band(50)[0], float)
    grid = np.array([[10.0, 50.0], [100.0, 900.0]])
    assert fit.total(grid).shape == (2, 2)
    assert fit.total(grid)[1, 0] == pytest.approx(fit.total(100.0))
    low, high = fit.band(grid)
    assert low.shape == high.shape == (2, 2)


def test_bands_nest_and_hold_the_curve(fit):
    at = np.geomspace(20, 900, 20)
    for part, curve in (("total", fit.total(at)), ("optimization", fit.optimization(at))):
        wide, narrow = fit.band(at, 0.95, part), fit.band(at, 0.5, part)
        assert np.all(wide[0] <= narrow[0])
        assert np.all(narrow[1] <= wide[1])
        assert np.all((wide[0] <= curve) & (curve <= wide[1]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: f.total(-1.0), "not below 0"),
        (lambda f: f.optimization([1.0, float("nan")]), "finite"),
        (lambda f: f.band(1.0, 1.0), r"lies in \(0, 1\)"),
        (lambda f: f.band(1.0, part="noise"), "'noise'"),
        (lambda f: f.interval("beta"), "unknown parameter 'beta'"),
        (lambda f: f.interval("alpha", 0.0), r"\(0, 1\)"),
        (lambda f: f.parameters("spline"), "no draw has the form 'spline'"),
        (lambda f: f.optimal_depth_interval(level=2.0), r"\(0, 1\)"),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(fit, call, words):
    with pytest.raises(ValueError, match=words):
        call(fit)


def test_a_stored_decomposition_is_the_same_to_its_documented_error(fit):
    text = json.dumps(fit.to_dict(), allow_nan=False)
    kept = RiskDecomposition.from_dict(json.loads(text))
    for name in ("intrinsic", "K", "alpha", "log_bayes_decay", "floor", "tolerance", "regime"):
        assert getattr(kept, name) == getattr(fit, name)
    for name in ("weights", "identified", "reasons", "regime_probabilities", "notes"):
        assert getattr(kept, name) == getattr(fit, name)
    at = np.geomspace(20, 1000, 30)
    assert kept.total(at) == pytest.approx(fit.total(at), rel=0.03)
    assert kept.optimal_depth() == pytest.approx(fit.optimal_depth(), abs=0.03 * HORIZON)
    assert kept.optimal_depth_interval() == pytest.approx(
        fit.optimal_depth_interval(), abs=0.05 * HORIZON
    )
    assert len(text) < 12_000
    # What was stored once is stored the same again.
    assert json.dumps(kept.to_dict()) == text


@pytest.mark.parametrize("risks", [np.zeros(8), np.ones(8), np.linspace(1, 3, 8)])
def test_degenerate_fits_are_stored_too(risks):
    fit = fit_risk_curve(DEPTHS, risks, counts=4, horizon=HORIZON, tolerance=0.1)
    kept = RiskDecomposition.from_dict(json.loads(json.dumps(fit.to_dict(), allow_nan=False)))
    assert kept.regime == fit.regime
    assert kept.total(100.0) == pytest.approx(fit.total(100.0), rel=0.05)


def test_another_format_version_is_refused(fit):
    with pytest.raises(ValueError, match="format_version 99"):
        RiskDecomposition.from_dict({**fit.to_dict(), "format_version": 99})


def test_it_says_what_it_is_in_one_line(fit):
    assert repr(fit).startswith("RiskDecomposition(intrinsic=0.")
    assert "alpha=unidentified" in repr(fit)


def test_the_risk_engine_loads_no_torch():
    heavy = "[name for name in ('torch', 'transformers', 'matplotlib') if name in sys.modules]"
    code = f"import sys, hf_ftrisk.risk; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the posterior against brute force ----------------------------------------------------------


def brute_force(risks: np.ndarray, runs: int, prior: RiskPrior) -> dict[str, float]:
    """Moments of the power law's posterior on a dense grid over (level, share, alpha)."""
    odds = prior.share_mean + prior.share_sd * np.linspace(-4.5, 4.5, 361)
    log_alpha = prior.alpha_log_mean + prior.alpha_log_sd * np.linspace(-4.5, 4.5, 181)
    log_level = np.log(risks.max()) + np.linspace(-4, 5, 241)
    share, alpha = expit(odds)[:, None], np.exp(log_alpha)[None, :]
    dof = runs - 1
    mass = (
        -0.5 * ((odds - prior.share_mean) / prior.share_sd)[:, None] ** 2
        - 0.5 * ((log_alpha - prior.alpha_log_mean) / prior.alpha_log_sd)[None, :] ** 2
    )[..., None] + 0.0 * log_level
    for depth, risk in zip(DEPTHS, risks, strict=True):
        curve = 1.0 - share + share * (depth / DEPTHS[0]) ** -alpha
        log_risk = np.log(curve)[..., None] + log_level
        mass = mass - dof / 2 * (log_risk + risk * np.exp(-log_risk))
    weight = np.exp(mass - mass.max())
    weight /= weight.sum()
    return {
        "alpha": float((weight.sum(axis=(0, 2)) * log_alpha).sum()),
        "share": float((weight.sum(axis=(1, 2)) * odds).sum()),
        "level": float((weight.sum(axis=(0, 1)) * log_level).sum()),
        "below": float(weight.sum(axis=(0, 2))[log_alpha < np.log(0.6)].sum()),
    }


@pytest.mark.parametrize("runs", [3, 30, 300])
def test_the_posterior_is_brute_force(runs):
    risks = measured(0.1 + (DEPTHS / DEPTHS[0]) ** -0.6, runs, seed=runs)
    truth = brute_force(risks, runs, RiskPrior())
    draws = fit_risk_curve(DEPTHS, risks, counts=runs).draws
    odds = np.log(draws.amplitude / draws.intrinsic)
    assert np.log(draws.exponent).mean() == pytest.approx(truth["alpha"], abs=0.03)
    assert odds.mean() == pytest.approx(truth["share"], abs=0.03 * odds.std() + 0.02)
    assert np.log(draws.level).mean() == pytest.approx(truth["level"], abs=0.02)
    assert np.mean(draws.exponent < 0.6) == pytest.approx(truth["below"], abs=0.02)


# --- properties of any fit ----------------------------------------------------------------------

measurement = st.tuples(
    st.floats(0.01, 1000.0), st.floats(0.0, 1e6, allow_subnormal=False), st.integers(2, 2000)
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(measurement, min_size=1, max_size=12),
    known=st.booleans(),
    same=st.booleans(),
    floor=st.sampled_from([0.0, 1e-6, 0.5]),
)
def test_any_measurement_has_a_finite_answer(rows, known, same, floor):
    depths, risks, counts = (list(column) for column in zip(*rows, strict=True))
    fit = fit_risk_curve(
        depths,
        risks,
        counts=counts if known else None,
        floor=floor,
        learning_rates=linear_schedule(),
        tolerance=0.1,
        same_runs=known and same,
    )
    at = np.array([0.0, 0.5, *depths, HORIZON])
    at.sort()
    total = fit.total(at)
    assert np.all(np.isfinite(total))
    assert np.all(np.diff(total) <= 1e-9 * total[0])
    # Draws are rounded where they meet the floor.
    assert fit.intrinsic >= floor * (1 - 1e-9)
    assert sum(fit.weights.values()) == pytest.approx(1.0)
    assert (fit.alpha is None) == (not fit.identified["alpha"])
    assert 0.0 <= fit.optimal_depth() <= HORIZON
    low, high = fit.optimal_depth_interval()
    assert 0.0 <= low <= high <= HORIZON
    json.dumps(fit.to_dict(), allow_nan=False)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-9, 1e9), seed=st.integers(0, 50), runs=st.integers(3, 300))
def test_the_unit_of_the_metric_changes_no_conclusion(scale, seed, runs):
    risks = measured(0.1 + (DEPTHS / DEPTHS[0]) ** -0.7, runs, seed)
    one = fit_risk_curve(DEPTHS, risks, counts=runs, horizon=HORIZON)
    other = fit_risk_curve(DEPTHS, risks * scale, counts=runs, horizon=HORIZON)
    assert other.total(100.0) == pytest.approx(scale * one.total(100.0), rel=1e-6)
    assert other.identified == one.identified
    assert other.optimal_depth() == pytest.approx(one.optimal_depth(), abs=1.0)
