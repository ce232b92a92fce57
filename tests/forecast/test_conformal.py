"""Conformal quantiles: the (n + 1) correction, groups, and coverage on planted data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.forecast.conformal import (
    DEPTHS,
    LEVELS,
    DepthCalibration,
    conformal_quantile,
    inflate,
)


def test_quantile_is_the_ceil_of_level_times_n_plus_one_smallest_score():
    assert conformal_quantile(np.arange(1, 20), 0.9) == 18  # ceil(0.9 * 20)
    assert conformal_quantile(np.arange(1, 100), 0.9) == 90


def test_too_few_scores_give_no_finite_quantile():
    assert conformal_quantile(np.arange(8), 0.9) == np.inf
    assert conformal_quantile(np.arange(9), 0.9) == 8


def test_groups_weigh_alike_whatever_their_size():
    scores = [1.0] * 97 + [5.0, 6.0, 7.0]
    groups = ["large"] * 97 + ["a", "b", "c"]
    assert conformal_quantile(scores, 0.5, groups) == 6.0  # 1/5 each: 1 and 5 make 0.4, 6 passes


@pytest.mark.parametrize("level", [0.0, 1.0, 90])
def test_refuses_a_level_that_is_no_probability(level):
    with pytest.raises(ValueError, match=r"\(0, 1\), got"):
        conformal_quantile([1.0], level)


def test_refuses_groups_of_another_length():
    with pytest.raises(ValueError, match="2 scores need as many groups, got 1"):
        conformal_quantile([1.0, 2.0], 0.9, ["a"])


@given(st.integers(9, 60), st.sampled_from([0.5, 0.8, 0.9]))
def test_covers_at_least_the_level_among_exchangeable_scores(n, level):
    # Each of n + 1 distinct scores in turn is the new one: exactly the exchangeable chance.
    scores = np.arange(n + 1.0)
    covered = [s <= conformal_quantile(np.delete(scores, i), level) for i, s in enumerate(scores)]
    assert level - 1e-9 <= np.mean(covered) <= level + 1 / (n + 1) + 1e-9


def test_each_level_is_stretched_by_its_own_factor():
    samples = np.linspace(-1.0, 1.0, 4001)
    wider = inflate(samples, [0.5, 1.0, 3.0])
    for level, factor in zip(LEVELS, (0.5, 1.0, 3.0), strict=True):
        end = np.quantile(wider, (1 + level) / 2)
        assert end == pytest.approx(factor * level, rel=5e-3)
    assert wider[-1] == pytest.approx(3.0)  # beyond the last level its factor holds


@given(st.lists(st.floats(0.3, 12.0), min_size=len(LEVELS), max_size=len(LEVELS)))
def test_stretching_keeps_the_median_and_the_order(factors):
    samples = np.random.default_rng(2).normal(size=501)
    wider = inflate(samples, factors)
    assert np.all(np.diff(wider) >= 0)
    assert np.median(wider) == pytest.approx(np.median(samples))


def test_factors_are_interpolated_between_depths():
    rows = [(float(i), 1.0, 2.0 * i) for i in range(len(DEPTHS))]
    calibration = DepthCalibration(tuple(rows), 3)
    assert calibration.at(0.0).tolist() == [0.0, 1.0, 0.0]
    assert calibration.at(0.4) == pytest.approx([3.5, 1.0, 7.0])  # between 0.3 and 0.5
    assert calibration.at(1.0).tolist() == [6.0, 1.0, 12.0]
    with pytest.raises(ValueError, match="7 depths and 3 levels need as many factors"):
        DepthCalibration(((1.0, 2.0),))
