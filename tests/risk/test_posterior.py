"""Sums of exponentials of the posterior's grid."""

import numpy as np
import pytest
from scipy.special import logsumexp

from hf_ftrisk.risk.posterior import _log_sum_exp


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_the_log_of_summed_exponentials_is_that_of_scipy(axis: int | None):
    values = np.random.default_rng(0).normal(0.0, 300.0, (7, 9))
    values[2] = -np.inf
    values[:, 4] = -np.inf
    found = _log_sum_exp(values, axis=axis)
    assert found == pytest.approx(logsumexp(values, axis=axis), rel=1e-13)
    assert found.shape == np.shape(logsumexp(values, axis=axis))
