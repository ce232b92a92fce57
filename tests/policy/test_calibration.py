"""The threshold below which a score stops a run."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.policy.calibration import conformal_threshold

SCORED = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), st.sampled_from("abcdefg")))


@given(SCORED, st.sampled_from([0.05, 0.1, 0.2, 0.3, 0.5]))
def test_the_threshold_is_the_largest_score_with_little_enough_mass_below(scored, rate):
    """By its definition: every group, the unknown one too, weighs 1 / (K + 1)."""
    scores, groups = [score for score, _ in scored], [group for _, group in scored]
    sizes = Counter(groups)
    weight = 1.0 / (len(sizes) + 1)

    def mass_below(score: float) -> float:
        below = [g for s, g in scored if s < score]
        return weight + sum(weight / sizes[group] for group in below)

    fitting = [score for score in scores if mass_below(score) <= rate + 1e-9]
    assert conformal_threshold(scores, groups, rate) == max(fitting, default=None)


def test_too_few_groups_give_no_threshold():
    assert conformal_threshold([0.5] * 100, ["a"] * 100, 0.05) is None
    assert conformal_threshold([], [], 0.5) is None


def test_the_threshold_is_one_that_a_share_of_good_runs_falls_below():
    values = np.arange(1, 100) / 100
    assert conformal_threshold(values, None, 0.05) == 0.05  # the 5th smallest of 99: 0.05 x 100
    assert conformal_threshold([0.5] * 18, None, 0.05) is None  # 1 / 19 > 0.05
    assert conformal_threshold([0.5] * 19, None, 0.05) == 0.5


@pytest.mark.parametrize("level", [0.01, 0.025, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("n", [0, 9, 19, 39, 40, 400])
def test_without_groups_each_run_is_one_of_its_own(level, n):
    values = np.random.default_rng(n).random(n)
    single = [str(i) for i in range(n)]
    assert conformal_threshold(values, None, level) == conformal_threshold(values, single, level)


@pytest.mark.parametrize(("runs", "smallest"), [(19, 1), (39, 2), (59, 3)])
def test_of_runs_that_are_groups_of_their_own_it_is_the_kth_smallest(runs, smallest):
    scores = [i / 100 for i in range(1, runs + 1)]
    threshold = conformal_threshold(scores, [str(i) for i in range(runs)], 0.05)
    assert threshold == smallest / 100
