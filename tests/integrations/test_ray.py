"""RiskScheduler on results as Tune hands them over; it and the callback in real searches."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("ray.tune", reason="the extra 'ray' is not installed")

import ray
from ray import tune

from hf_ftrisk.integrations.ray import RiskScheduler
from tests.integrations.own_search import STEPS
from tests.ray_cluster import start_cluster


@pytest.fixture(scope="module")
def _cluster() -> Iterator[None]:
    start_cluster(1)
    yield
    ray.shutdown()


def run(scheduler: RiskScheduler, name: str, end: float) -> int:
    """Steps that a saturating curve gets to."""
    trial = SimpleNamespace(trial_id=name)
    for step in range(1, STEPS + 1):
        value = 0.5 + (end - 0.5) * (1.0 - (1.0 - step / STEPS) ** 3)
        result = {"training_iteration": step, "eval_accuracy": value}
        if scheduler.on_trial_result(None, trial, result) == "STOP":
            return step
    scheduler.on_trial_complete(None, trial, result)
    return STEPS


def test_a_trial_that_cannot_reach_the_best_is_stopped() -> None:
    scheduler = RiskScheduler(STEPS, metric="eval_accuracy", mode="max")
    assert run(scheduler, "a", 0.95) == STEPS
    assert run(scheduler, "b", 0.5) < STEPS
    assert run(scheduler, "c", 0.95) == STEPS
    assert "2 complete trials" in scheduler.debug_string()


def test_metric_and_mode_may_come_from_tune_once() -> None:
    scheduler = RiskScheduler(STEPS)
    assert scheduler.set_search_properties("eval_accuracy", "max")
    assert not scheduler.set_search_properties("eval_accuracy", "max")
    assert run(scheduler, "a", 0.9) == STEPS


def test_results_without_the_metric_decide_nothing() -> None:
    scheduler = RiskScheduler(STEPS, metric="eval_accuracy", mode="max")
    trial = SimpleNamespace(trial_id="a")
    assert scheduler.on_trial_result(None, trial, {"training_iteration": 1}) == "CONTINUE"


def test_without_metric_and_mode_it_says_what_is_missing() -> None:
    scheduler = RiskScheduler(STEPS, metric="eval_accuracy")
    with pytest.raises(ValueError, match="mode=None"):
        run(scheduler, "a", 0.9)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"max_t": 0}, "max_t"), ({"max_t": 5, "mode": "up"}, "mode")],
)
def test_a_value_out_of_range_is_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        RiskScheduler(**settings)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_cluster")
def test_tune_stops_a_poor_trial_by_it(tmp_path: Path) -> None:
    def trainable(config: dict[str, float]) -> None:
        for step in range(1, STEPS + 1):
            share = 1.0 - (1.0 - step / STEPS) ** 3
            tune.report({"eval_accuracy": 0.5 + (config["end"] - 0.5) * share})

    results = tune.Tuner(
        trainable,
        param_space={"end": tune.grid_search([0.95, 0.5])},
        tune_config=tune.TuneConfig(
            metric="eval_accuracy",
            mode="max",
            scheduler=RiskScheduler(STEPS),
            max_concurrent_trials=1,
        ),
        run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    ).fit()
    reached = {r.config["end"]: r.metrics["training_iteration"] for r in results}
    assert reached[0.95] == STEPS
    assert reached[0.5] < STEPS


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_callback_and_scheduler_end_trials_of_a_trainers_own_search(tmp_path: Path) -> None:
    """The first trial is lost and no other is complete yet: the callback alone can end it."""
    command = [sys.executable, "-m", "tests.integrations.own_search", str(tmp_path)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "found.json").read_text())
    reports = {float(rate): steps for rate, steps in results["reports"].items()}
    assert reports[1e-9] < STEPS
    assert reports[2e-2] == STEPS
    assert reports[1e-6] < STEPS
    assert results["best"] == 2e-2
