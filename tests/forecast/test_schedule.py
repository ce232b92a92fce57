"""The clocks of a planned schedule, for runs of any length at the cost of what is kept of it."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from hf_ftrisk import Forecaster, Goal, RunRecord, fit_risk_curve
from hf_ftrisk.diagnoses.steps import at_budget
from hf_ftrisk.forecast.schedule import clocks
from hf_ftrisk.record.columns import MAX_RATES, schedule_steps


@pytest.mark.parametrize("planned", [True, False])
def test_the_clocks_of_a_long_run_are_those_of_a_short_one_stretched(planned):
    """Linear decay: drift 1 - (1 - s)^2 and noise 1 - (1 - s)^3 after a share s of the run."""
    share = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    for steps in (2_000, 1_000_000, 10**8):
        rates = 1.0 - schedule_steps(steps) / steps
        run = RunRecord(
            max_steps=steps,
            schedule=rates if planned else None,
            train_step=np.array([steps // 100, steps // 50]),
            learning_rate=np.array([0.99, 0.98]),
        )
        at = clocks(run).at(share * steps)
        np.testing.assert_allclose(at.drift, 1 - (1 - share) ** 2, atol=2e-3)
        np.testing.assert_allclose(at.noise, 1 - (1 - share) ** 3, atol=2e-3)
        np.testing.assert_allclose(at.cooled, share, atol=2e-3)


def test_a_budget_stretches_the_schedule_of_a_long_run_as_that_of_a_short_one():
    for steps in (1_000, 1_000_000):
        rates = 1.0 - schedule_steps(steps) / steps
        run = RunRecord(max_steps=steps, schedule=rates, train_step=np.array([10]))
        for factor in (0.5, 2.0, 10.0):
            other = at_budget(run, factor)
            assert other.max_steps == steps * factor
            assert other.schedule is not None
            assert other.schedule.size == min(other.max_steps, MAX_RATES)
            assert other.schedule[0] == pytest.approx(1.0, abs=0.01)
            assert other.schedule[-1] == pytest.approx(0.0, abs=0.01)


def test_the_tail_energy_of_a_thinned_schedule_is_that_of_the_whole():
    depths, risks = [100.0, 1_000.0, 10_000.0], [0.05, 0.04, 0.02]
    steps = 40_000
    rates = 1.0 - np.arange(steps) / steps
    whole = fit_risk_curve(depths, risks, horizon=steps, learning_rates=rates)
    kept = RunRecord(max_steps=steps, schedule=rates).schedule
    assert kept is not None
    thinned = fit_risk_curve(depths, risks, horizon=steps, learning_rates=kept)
    assert thinned.optimal_depth() == pytest.approx(whole.optimal_depth(), rel=0.02)
    assert float(thinned.optimization(2_000)) == pytest.approx(
        float(whole.optimization(2_000)), rel=0.02
    )


def test_a_forecast_costs_what_was_seen_not_what_is_planned():
    """A run of 1e8 planned steps of which 12 are done: no array of the planned length."""
    log = [{"step": s, "loss": 1.0 / s, "learning_rate": 1e-4} for s in range(1, 13)]
    log.append({"step": 12, "eval_accuracy": 0.6})
    tracemalloc.start()
    began = time.perf_counter()
    run = RunRecord.from_log_history(log, max_steps=10**8, status="running")
    forecast = Forecaster.default().predict(run, Goal("accuracy", target=0.7))
    seconds = time.perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.0 < forecast.mean < 1.0
    assert peak < 50e6
    assert seconds < 20
