"""Simulations that several tests read."""

import pytest

from benchmarks.recovery.planted import Calibration, calibrate

TRUTHS = 240


@pytest.fixture(scope="session")
def calibrations() -> dict[str, dict[int, Calibration]]:
    """Simulation-based calibration: kind of runs -> n -> truths drawn from the prior, fitted."""
    return {
        "fresh": {n: calibrate(n, TRUTHS, optima=False) for n in (3, 30, 1500)},
        "same": {n: calibrate(n, TRUTHS, same_runs=True, optima=False) for n in (3, 30)},
    }
