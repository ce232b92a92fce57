"""Settings every test runs under."""

from __future__ import annotations

import os
import tempfile

import hypothesis
import numpy as np
import pytest

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import Cost, Look, RiskReport
from hf_ftrisk.risk import fit_risk_curve
from hf_ftrisk.verdict import Diagnosis, Verdict
from tests.fuzzing import FACTOR

# The same examples in every run; `make fuzz` looks at many others. What they take is the machine's.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.register_profile("fuzz", derandomize=False, deadline=None, print_blob=True)
hypothesis.settings.load_profile("fixed" if FACTOR == 1 else "fuzz")

# Read by the libraries at import: no test may look for a model or a data set on the network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# No test reads or fills a person's own history; those of the default one name a folder themselves.
os.environ["HF_FTRISK_HISTORY"] = "off"
# Trackers read their folder once in a process, which any test may be the first to cause: one folder
# for all tests, and none of theirs in a person's own.
_trackers = tempfile.TemporaryDirectory(prefix="trackers-", ignore_cleanup_errors=True)
os.environ["TRACKIO_DIR"] = os.environ["WANDB_DIR"] = _trackers.name
# A message must not be broken where a temporary folder has a long name.
os.environ["COLUMNS"] = "250"


@pytest.fixture(autouse=True)
def _no_user_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """Keep a person's own token and caches out of the tests."""
    monkeypatch.delenv("HF_TOKEN", raising=False)


def _record(offset: float = 0.0) -> RunRecord:
    steps = np.arange(10, 101, 10)
    return RunRecord(
        max_steps=100,
        train_step=steps,
        train_loss=1.0 / steps,
        eval_step=steps,
        evals={"eval_accuracy": 0.9 - 1.0 / steps + offset},
        seed=3,
    )


@pytest.fixture(scope="session")
def full_report() -> RiskReport:
    """A report with every part filled in."""
    depths = np.array([5.0, 10.0, 20.0, 40.0])
    risks = 0.0004 + 0.02 / depths
    return RiskReport(
        goal=Goal("eval_accuracy", target=0.85),
        verdict=Verdict.GO,
        reasons=("the forecast meets the goal",),
        cost=Cost(full_steps=100, spent_steps=12, spent_seconds=3.5, full_seconds=60.0),
        forecast=Forecast(np.linspace(0.8, 0.95, 200), step=40, source="test"),
        decomposition=fit_risk_curve(
            depths, risks, counts=np.full(4, 30), horizon=100, tolerance=0.03
        ),
        diagnoses=(Diagnosis("too few steps", "still rising", "train longer"),),
        baseline=0.2,
        looks=(Look(10, 0.7, 0.4, 0.9, 0.3, 0.55), Look(40, 0.88, 0.8, 0.95, 0.7, 0.87)),
        probes=(_record(), _record(0.01)),
        run=_record(),
        risk_curve=tuple((float(d), float(r), 30.0) for d, r in zip(depths, risks, strict=True)),
        optimal_depth=22.0,
        outcome=0.9,
        signals={"rows": 100.0},
        settings={"seeds": [1, 2]},
        notes=("a note",),
    )
