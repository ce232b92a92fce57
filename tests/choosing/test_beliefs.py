"""Beliefs of candidates together: chances, regrets, and what a look is worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.choosing.beliefs import Belief, Pool, common_shift, oriented, value_of_looking
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal

floats = st.floats(-5, 5, allow_nan=False)


def normal(center: float, spread: float, share: float = 0.1) -> Belief:
    return Belief(share, center, spread)


@given(st.lists(st.tuples(floats, st.floats(0.01, 3)), min_size=1, max_size=8))
def test_chances_of_being_best_sum_to_one_and_regrets_are_not_negative(
    shapes: list[tuple[float, float]],
) -> None:
    pool = Pool.of([normal(*shape) for shape in shapes])
    assert pool.prob_best.sum() == pytest.approx(1.0)
    assert (pool.expected_regret >= 0).all()


def test_two_alike_share_the_chance() -> None:
    pool = Pool.of([normal(0.8, 0.05), normal(0.8, 0.05)])
    assert pool.prob_best == pytest.approx([0.5, 0.5], abs=0.05)


def test_known_ends_are_ranked_without_doubt() -> None:
    pool = Pool.of([normal(0.9, 1e-6, 1.0), normal(0.8, 1e-6, 1.0)])
    assert pool.prob_best.tolist() == [1.0, 0.0]
    assert pool.expected_regret == pytest.approx([0.0, 0.1])


def test_a_belief_lies_half_way_between_last_value_and_forecast() -> None:
    rng = np.random.default_rng(0)
    forecast = Forecast(0.9 + 0.1 * rng.standard_normal(4000), step=10, source="test")
    belief = Belief.of(forecast, 0.7, Goal("accuracy"), 0.1)
    assert belief.center == pytest.approx(0.8, abs=0.005)
    assert belief.spread == pytest.approx(0.1, rel=0.05)


def test_who_stands_higher_is_chosen_however_skewed_the_forecasts_are() -> None:
    goal, rng = Goal("loss"), np.random.default_rng(0)
    skewed = Forecast(1.0 + rng.lognormal(-2.0, 2.0, 4000), step=10, source="test")
    plain = Forecast(np.full(4000, skewed.median * 1.01), step=10, source="test")
    pool = Pool.of([Belief.of(f, 1.2, goal, 0.3) for f in (skewed, plain)])
    assert pool.expected_regret.argmin() == 0


def test_a_small_loss_is_the_better_one() -> None:
    low, high = oriented(np.array([0.5, 1.0]), Goal("loss"))
    assert low > high


@given(floats, floats, st.floats(0.01, 2), st.floats(0, 1))
def test_a_look_is_never_worth_less_than_nothing_nor_more_than_what_it_resolves(
    a: float, b: float, spread: float, resolved: float
) -> None:
    value = value_of_looking(np.array([a, b]), np.array([spread, spread]), 0, resolved)
    assert 0.0 <= value <= spread * np.sqrt(resolved)


def test_the_value_of_a_look_is_the_expected_rise_of_the_choice() -> None:
    rng = np.random.default_rng(1)
    later = 0.4 + 0.3 * np.sqrt(0.5) * rng.standard_normal(400_000)
    expected = np.maximum(later, 0.5).mean() - 0.5
    value = value_of_looking(np.array([0.4, 0.5]), np.array([0.3, 0.1]), 0, 0.5)
    assert value == pytest.approx(expected, abs=2e-3)


def test_a_candidate_alone_is_worth_no_look() -> None:
    assert value_of_looking(np.array([0.4]), np.array([0.3]), 0, 1.0) == 0.0


def test_shallow_forecasts_are_moved_by_what_deeper_ones_were_off() -> None:
    deeper = [[normal(0.5, 0.1, 0.1), normal(0.6, 0.1, 0.3)] for _ in range(4)]
    assert common_shift(0.1, deeper) == pytest.approx(0.05)  # 4 of 8 runs' worth
    assert common_shift(0.3, deeper) == 0.0


def test_a_pool_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one candidate"):
        Pool.of([])
