"""Reports to publish, and the local Hub."""

import numpy as np
import pytest

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import Cost, Look, RiskReport
from hf_ftrisk.risk import fit_risk_curve
from hf_ftrisk.verdict import Diagnosis, Verdict
from tests.local_hub import hub, hub_server

__all__ = ["hub", "hub_server"]


@pytest.fixture(scope="session")
def decomposition():
    depths = np.array([10, 20, 40, 80, 160, 320])
    risks = 0.02**2 + 0.3 / depths**1.5
    return fit_risk_curve(depths, risks, counts=np.full(6, 40), horizon=1000, tolerance=0.03)


@pytest.fixture
def make_report(decomposition):
    def make(**fields):
        samples = np.random.default_rng(0).normal(0.87, 0.02, 1000)
        probe = RunRecord(
            max_steps=1000,
            train_step=[50, 100],
            train_loss=[0.7, 0.5],
            eval_step=[100],
            evals={"eval_accuracy": [0.8]},
            status="stopped",
            seed=1,
        )
        defaults = {
            "goal": Goal("accuracy", target=0.85),
            "verdict": Verdict.GO,
            "reasons": ("The chance of a good outcome is 0.83, above the threshold of 0.2.",),
            "cost": Cost(full_steps=1000, spent_steps=120, spent_seconds=33.0),
            "forecast": Forecast(samples, step=120, source="curve, 40 reference runs"),
            "decomposition": decomposition,
            "diagnoses": (
                Diagnosis("too_few_steps", "Half an epoch only.", "Train for 2 epochs."),
            ),
            "baseline": 0.5,
            "looks": (Look(50, 0.8, 0.7, 0.9, 0.4), Look(100, 0.86, 0.82, 0.9, 0.8, 0.81)),
            "probes": (probe,),
            "optimal_depth": 140.0,
            "settings": {"seeds": [1, 2, 3], "versions": {"torch": "2.13.0"}},
            "notes": ("No history was given.",),
        }
        return RiskReport(**(defaults | fields))

    return make


@pytest.fixture
def report(make_report):
    return make_report()
