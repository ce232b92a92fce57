"""A forecast with a chance of a good outcome that is known from elsewhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal

WIDE = Forecast(np.linspace(0.0, 1.0, 1000), step=7, source="probes")


@given(st.floats(0.0, 1.0), st.sampled_from(["accuracy>=0.8", "error_rate<=0.3"]))
def test_the_goal_is_met_with_the_chance_that_was_given(chance, goal):
    goal = Goal.parse(goal)
    moved = WIDE.with_chance(goal, None, chance)
    assert moved.prob_meets(goal) == pytest.approx(chance, abs=1e-3)
    assert (moved.step, moved.source, moved.samples.size) == (7, "probes", 1000)


@given(st.floats(0.0, 1.0))
def test_a_baseline_has_to_be_beaten(chance):
    goal = Goal("accuracy")
    assert WIDE.with_chance(goal, 0.5, chance).prob_meets(goal, 0.5) == pytest.approx(
        chance, abs=1e-3
    )


def test_either_side_keeps_its_own_distribution():
    goal = Goal.parse("accuracy>=0.8")
    moved = WIDE.with_chance(goal, None, 0.02)
    assert moved.median == pytest.approx(0.4, abs=0.02)
    good = moved.samples[moved.samples >= 0.8]
    assert (good.min(), good.max()) == pytest.approx((0.8, 1.0), abs=0.02)


@pytest.mark.parametrize(("goal", "baseline"), [("accuracy>=0.8", None), ("accuracy", 0.8)])
@pytest.mark.parametrize("value", [0.2, 0.9])
def test_a_side_without_draws_lies_at_the_threshold(goal, baseline, value):
    goal = Goal.parse(goal)
    moved = Forecast(np.full(100, value)).with_chance(goal, baseline, 0.5)
    assert moved.prob_meets(goal, baseline) == 0.5
    assert moved.samples[[0, -1]] == pytest.approx(sorted([value, 0.8]))


def test_a_chance_outside_of_0_to_1_is_refused():
    with pytest.raises(ValueError, match=r"lies in \[0, 1\], got 1.2"):
        WIDE.with_chance(Goal.parse("accuracy>=0.8"), None, 1.2)
