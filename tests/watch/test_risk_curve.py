"""The risk curve of a watched run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.watch.risk_curve import RiskCurve, risk_of_looks

GOAL = Goal("eval_score", greater_is_better=True)
LOOKS = [(0, 9.0), (10, 1.0), (20, 0.5), (30, 0.2), (40, 0.1)]


def test_looks_before_the_first_step_and_beyond_all_numbers_are_left_out():
    plan = RunRecord(max_steps=100)
    risk = risk_of_looks([*LOOKS[:3], (25, math.inf), *LOOKS[3:]], GOAL, plan)
    assert [row[0] for row in risk.curve] == [10, 20, 30, 40]
    assert 0 <= risk.optimal_depth <= 100
    assert risk_of_looks([(10, 1.0), (20, 0.5), (30, math.inf)], GOAL, plan) is None


@pytest.mark.parametrize("peak", [0.0, 1e-3])
def test_a_schedule_that_is_zero_throughout_is_taken_for_an_unknown_one(peak: float):
    plan = RunRecord(max_steps=100, schedule=np.linspace(peak, 0.0, 100))
    risk = risk_of_looks(LOOKS, GOAL, plan)
    assert (risk.decomposition.draws.decay.energy is None) == (peak == 0.0)


def test_a_curve_is_not_fitted_again_before_its_share_of_the_time_allows():
    curve = RiskCurve((), RunRecord(max_steps=100), Forecaster())
    first = curve.at_look(LOOKS, GOAL)
    assert first is not None
    assert curve.at_look([*LOOKS, (50, 0.05)], GOAL) is first
    anew = curve.fit([*LOOKS, (50, 0.05)], GOAL)
    assert anew is not None
    assert len(anew.curve) == len(first.curve) + 1
    assert curve.latest is anew


def test_looks_too_few_for_a_curve_leave_the_latest_one():
    curve = RiskCurve((), RunRecord(max_steps=100), Forecaster())
    latest = curve.fit(LOOKS, GOAL)
    assert curve.fit(LOOKS[:2], GOAL) is latest
