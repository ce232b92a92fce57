"""Conformal widths by the benchmarks' score: they reach the outcome, and cover on planted data."""

import numpy as np

from benchmarks.forecasting.conformity import nonconformity
from hf_ftrisk.forecast.conformal import LEVEL, LEVELS, conformal_quantile, inflate


def test_stretching_by_the_scores_puts_the_outcome_on_the_interval_end():
    samples = np.random.default_rng(0).gamma(2.0, size=4001)
    for outcome in (0.05, 9.0):
        wider = inflate(samples, [nonconformity(samples, outcome, LEVEL)] * len(LEVELS))
        ends = np.quantile(wider, [0.05, 0.95])
        assert np.abs(ends - outcome).min() < 1e-6


def test_scores_of_many_forecasts_are_those_of_each():
    rng = np.random.default_rng(3)
    samples, outcomes = rng.gamma(2.0, size=(5, 101)), rng.gamma(2.0, size=5)
    each = [float(nonconformity(s, o, 0.8)) for s, o in zip(samples, outcomes, strict=True)]
    np.testing.assert_array_equal(nonconformity(samples, outcomes, 0.8), each)


def test_overconfident_forecasts_cover_after_calibration():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(2, 2000))
    forecasts = 0.4 * rng.normal(size=(2, 2000, 300))
    factors = [
        conformal_quantile(nonconformity(forecasts[0], truth[0], level), level) for level in LEVELS
    ]
    for level in LEVELS:
        ends = [(1 - level) / 2, (1 + level) / 2]
        wider = np.array([np.quantile(inflate(f, factors), ends) for f in forecasts[1]])
        covered = np.mean((truth[1] >= wider[:, 0]) & (truth[1] <= wider[:, 1]))
        assert level - 0.04 < covered < level + 0.04
