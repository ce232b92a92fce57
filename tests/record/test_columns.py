"""Columns of numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.columns import MAX_RATES, median, schedule_steps

FINITE = st.floats(-1e9, 1e9)


@given(st.lists(FINITE, min_size=1, max_size=40))
def test_a_median_is_that_of_numpy_to_the_last_digit(values: list[float]):
    assert median(np.array(values)) == np.median(values)


def test_the_schedule_of_a_long_run_is_kept_at_evenly_spread_steps():
    short = RunRecord(max_steps=MAX_RATES, schedule=np.linspace(1, 0, MAX_RATES))
    assert short.schedule is not None
    assert short.schedule.size == MAX_RATES
    steps = 100_000
    rates = np.linspace(1.0, 0.0, steps)
    long = RunRecord(max_steps=steps, schedule=rates)
    np.testing.assert_array_equal(long.schedule, rates[schedule_steps(steps)])
    again = RunRecord.from_dict(long.to_dict())
    np.testing.assert_array_equal(again.schedule, long.schedule)
    with pytest.raises(ValueError, match="expected"):
        RunRecord(max_steps=steps, schedule=rates[:-1])


@pytest.mark.parametrize("steps", [1, 7, MAX_RATES, MAX_RATES + 1, 10**8, 2**53])
def test_the_kept_steps_increase_and_lie_in_the_run(steps):
    kept = schedule_steps(steps)
    assert kept.size == min(steps, MAX_RATES)
    assert kept[0] >= 0
    assert kept[-1] < steps
    assert np.all(np.diff(kept) > 0)
