"""fit_risk_curve: what it answers, and what it refuses."""

import numpy as np
import pytest

from hf_ftrisk.risk import fit_risk_curve

DEPTHS = np.geomspace(20, 900, 8)


def test_many_runs_recover_the_planted_exponent():
    random = np.random.default_rng(0)
    truth = 0.01 + 30 * DEPTHS**-0.6
    risks = truth * random.chisquare(1499, 8) / 1499
    fit = fit_risk_curve(DEPTHS, risks, counts=np.full(8, 1500))
    assert fit.alpha == pytest.approx(0.6, rel=0.1)
    assert fit.total(100.0) == pytest.approx(0.01 + 30 * 100**-0.6, rel=0.05)
