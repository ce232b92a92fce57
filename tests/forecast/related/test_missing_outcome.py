"""What is left to the outcome that few known runs had."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.forecast.related.missing_outcome import missing_outcome

DRAWS = np.linspace(0.0, 1.0, 10)


def share(n_work, n_failed, beyond=0.5, *, same_setting=False):
    """Share and draws where a draw works above `beyond`."""
    works = np.array([True] * n_work + [False] * n_failed)
    return missing_outcome(works, DRAWS, beyond < DRAWS, same_setting=same_setting)


def test_after_failures_alone_the_chance_to_work_is_the_cold_one_against_the_root_of_their_odds():
    weight, draws = share(0, 3, beyond=0.4)
    odds = 0.6 / 0.4 * np.sqrt(1 / 4)
    assert weight == pytest.approx(odds / (1 + odds))
    np.testing.assert_array_equal(draws, DRAWS[DRAWS > 0.4])


def test_after_runs_that_worked_failure_keeps_a_chance():
    weight, draws = share(8, 0, beyond=0.2)
    odds = 0.2 / 0.8 * np.sqrt(1 / 9)
    assert weight == pytest.approx(odds / (1 + odds))
    np.testing.assert_array_equal(draws, DRAWS[DRAWS <= 0.2])


def test_one_run_that_ended_so_halves_what_is_left():
    weight, _ = share(1, 7)
    odds = np.sqrt(2 / 8)
    assert weight == pytest.approx(odds / (1 + odds) / 2)


def test_a_setting_that_worked_is_trusted_one_that_failed_is_not():
    assert share(8, 0, same_setting=True)[0] == 0.0
    assert share(0, 8, same_setting=True)[0] == share(0, 8)[0] > 0.0


def test_nothing_is_left_where_half_of_the_known_runs_worked_or_no_draw_ends_so():
    assert share(3, 3)[0] == 0.0
    assert share(0, 5, beyond=2.0)[0] == 0.0
    assert share(5, 0, beyond=-1.0)[0] == 0.0


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0.0, 1.0))
def test_a_share_is_a_share_and_falls_with_every_further_run_of_the_common_end(work, fail, beyond):
    weight, _ = share(work, fail, beyond)
    assert 0.0 <= weight <= 1.0
    if fail > work:
        assert share(work, fail + 1, beyond)[0] <= weight
