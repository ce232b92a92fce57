"""Columns of numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.record.columns import median

FINITE = st.floats(-1e9, 1e9)


@given(st.lists(FINITE, min_size=1, max_size=40))
def test_a_median_is_that_of_numpy_to_the_last_digit(values: list[float]):
    assert median(np.array(values)) == np.median(values)
