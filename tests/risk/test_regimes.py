"""Regimes: planted interiors by name, borders by probability."""

import numpy as np
import pytest

from benchmarks.recovery.planted import reliability
from hf_ftrisk.risk import fit_risk_curve, regime_probabilities
from hf_ftrisk.risk.regimes import name_regime
from tests.risk.planted import DEPTHS, measured

NAMES = ("noise-dominant", "static-sufficient", "dynamic-critical")


def planted(intrinsic: float, amplitude: float, runs: int, seed: int, tolerance: float = 1.0):
    risk = intrinsic + amplitude * (DEPTHS / DEPTHS[0]) ** -1.2
    return fit_risk_curve(DEPTHS, measured(risk, runs, seed), counts=runs, tolerance=tolerance)


@pytest.mark.parametrize(
    ("intrinsic", "amplitude", "name"),
    [
        (9.0, 0.0, "noise-dominant"),
        (0.05, 0.05, "static-sufficient"),
        (0.05, 0.0, "static-sufficient"),
        (0.05, 20.0, "dynamic-critical"),
    ],
)
@pytest.mark.parametrize("runs", [30, 100, 1500])
def test_each_interior_gets_its_name(intrinsic, amplitude, name, runs):
    for seed in range(5):
        fit = planted(intrinsic, amplitude, runs, seed)
        assert fit.regime == name
        assert sum(fit.regime_probabilities.values()) == pytest.approx(1.0)
        assert fit.regime_probabilities[name] >= 0.8


@pytest.mark.parametrize("runs", [100, 1500])
def test_noise_under_a_decay_needs_more_runs_to_be_named(runs):
    # With few runs a slow power law explains the plateau too.
    assert {planted(9.0, 20.0, runs, seed).regime for seed in range(5)} == {"noise-dominant"}


def test_probabilities_by_hand():
    intrinsic, cheapest = np.array([0.5, 0.5, 2.0, 0.5]), np.array([0.9, 3.0, 3.0, 1.0])
    probabilities = regime_probabilities(intrinsic, cheapest, tolerance=1.0)
    assert probabilities == dict(zip(NAMES, (0.25, 0.5, 0.25), strict=True))


def test_good_static_signals_are_enough_unless_the_noise_is_too_large():
    intrinsic, cheapest = np.array([0.5, 2.0]), np.array([3.0, 3.0])
    probabilities = regime_probabilities(intrinsic, cheapest, tolerance=1.0, static_risk=0.8)
    assert probabilities == dict(zip(NAMES, (0.5, 0.5, 0.0), strict=True))
    poor = regime_probabilities(intrinsic, cheapest, tolerance=1.0, static_risk=1.2)
    assert poor == dict(zip(NAMES, (0.5, 0.0, 0.5), strict=True))


def test_on_a_border_both_sides_are_equally_likely_on_average():
    # L_int = delta^2 exactly, and L(c_min) = delta^2 exactly.
    noisy, static = [], []
    for seed in range(60):
        noisy.append(planted(1.0, 8.0, 100, seed).regime_probabilities["noise-dominant"])
        level = planted(0.1, 0.9, 100, seed).regime_probabilities
        static.append(level["static-sufficient"])
    assert np.mean(noisy) == pytest.approx(0.5, abs=0.12)
    assert np.mean(static) == pytest.approx(0.5, abs=0.12)
    assert np.std(noisy) > 0.1


@pytest.mark.parametrize("kind", ["fresh", "same"])
def test_probabilities_come_true_as_often_as_they_say(calibrations, kind):
    pairs = [pair for found in calibrations[kind].values() for pair in found.regimes]
    for found in reliability(pairs):
        assert found is not None
        predicted, true, n = found
        assert true == pytest.approx(predicted, abs=0.02 + 3 * np.sqrt(0.25 / n))


@pytest.mark.parametrize(
    ("probabilities", "name"),
    [
        ((0.8, 0.1, 0.1), "noise-dominant"),
        ((0.1, 0.11, 0.79), "unidentified"),
        ((0.0, 1.0, 0.0), "static-sufficient"),
    ],
)
def test_a_name_needs_four_fifths(probabilities, name):
    assert name_regime(dict(zip(NAMES, probabilities, strict=True))) == name


def test_without_a_tolerance_nothing_is_small():
    fit = fit_risk_curve(DEPTHS, np.ones(8), counts=100)
    assert fit.regime == "unidentified"
    assert "no tolerance" in fit.regime_reason
    assert fit.regime_probabilities == {}
    assert fit.regime_probabilities_at(3.0)["static-sufficient"] > 0.99


def test_two_runs_name_no_regime():
    fit = fit_risk_curve(DEPTHS, np.full(8, 1e-4), counts=2, tolerance=1.0, same_runs=True)
    assert fit.regime == "unidentified"
    assert "three runs" in fit.regime_reason
    three = fit_risk_curve(DEPTHS, np.full(8, 1e-4), counts=3, tolerance=1.0, same_runs=True)
    assert three.regime == "static-sufficient"
    # Fresh pairs of runs at each of eight depths are sixteen runs.
    assert (
        fit_risk_curve(DEPTHS, np.full(8, 1e-4), counts=2, tolerance=1.0).regime != "unidentified"
    )


def test_a_deeper_cheapest_probe_is_more_often_enough():
    fit = planted(0.05, 20.0, 100, 1)
    shallow, deep = (
        fit.regime_probabilities_at(1.0, cheapest_depth=c)["static-sufficient"] for c in (20, 900)
    )
    assert shallow < 0.01
    assert deep > 0.9


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan"), float("inf")])
def test_tolerances_that_cannot_be_are_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance must be a finite number above 0"):
        regime_probabilities(np.ones(3), np.ones(3), tolerance)
