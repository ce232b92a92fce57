"""Coordinates of metrics: there and back, to the ends of the range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.forecast.curves.space import MetricSpace
from hf_ftrisk.goal import Goal

RATE = MetricSpace("rate")


@given(st.floats(0.0, 1.0))
def test_a_rate_comes_back_also_from_the_ends_of_its_range(rate):
    assert float(RATE.inverse(RATE.forward(rate))) == pytest.approx(rate, abs=1e-12)


def test_a_rate_of_zero_and_of_one_have_coordinates_beyond_which_nothing_changes():
    ends = RATE.forward(np.array([0.0, 1.0]))
    assert np.isfinite(ends).all()
    np.testing.assert_allclose(ends, [-5.293, 5.293], atol=1e-3)  # logit(0.005)
    np.testing.assert_allclose(RATE.inverse(ends + np.array([-3.0, 3.0])), [0.0, 1.0])


@given(st.lists(st.floats(-60.0, 60.0), min_size=2, max_size=20, unique=True))
def test_a_rate_rises_with_its_coordinate_and_stays_in_its_range(z):
    found = RATE.inverse(np.sort(z))
    assert np.all(np.diff(found) >= 0.0)
    assert 0.0 <= found[0] <= found[-1] <= 1.0


@pytest.mark.parametrize(
    ("kind", "value"), [("loss", 2.5), ("correlation", -0.4), ("real", 31.0), ("percent", 57.3)]
)
def test_other_metrics_come_back(kind, value):
    space = MetricSpace(kind, center=30.0, scale=4.0)
    assert float(space.inverse(space.forward(value))) == pytest.approx(value)


def test_a_score_of_unknown_range_is_scaled_by_what_was_seen():
    goal = Goal("reward", greater_is_better=True)
    space = MetricSpace.of(goal, np.array([20.0, 30.0, 40.0]))
    assert (space.center, space.scale) == (30.0, 20.0)
