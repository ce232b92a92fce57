"""A pre-flight learns from completed runs of its own task, and from no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import Trainer

from hf_ftrisk import Forecaster, Goal
from hf_ftrisk.history import RunHistory
from hf_ftrisk.policy import default_rule
from hf_ftrisk.probing.budget import MIN_ROWS
from hf_ftrisk.probing.runner import preflight
from hf_ftrisk.record import RunRecord
from hf_ftrisk.trainers.facts import task_name
from tests.probing.models import bert_trainer
from tests.tiny_data import classification_data

STEPS = 40


def run(task: str | None, outcome: float, seed: int) -> RunRecord:
    """A completed run that rises to `outcome`."""
    at = np.array([5.0, 10.0, 20.0, 40.0])
    wobble = 0.005 * np.random.default_rng(seed).standard_normal(4)
    return RunRecord(
        max_steps=STEPS,
        train_step=at,
        train_loss=0.7 - at / 100,
        eval_step=at,
        evals={"eval_accuracy": 0.5 + (outcome - 0.5) * at / STEPS + wobble},
        task=task,
        seed=seed,
    )


def runs(task: str | None, outcome: float, n: int = 25) -> list[RunRecord]:
    return [run(task, outcome, seed) for seed in range(n)]


def trainer_of(folder: Path) -> Trainer:
    """Its evaluation set is one batch: which rows of a larger one are seen depends on the clock."""
    return bert_trainer(
        folder,
        max_steps=STEPS,
        eval_dataset=classification_data(MIN_ROWS, seed=2),
        per_device_eval_batch_size=MIN_ROWS,
    )


def probed(folder: Path, **settings):
    return preflight(
        trainer_of(folder),
        goal="eval_accuracy>=0.8",
        budget=1.0,
        depths=[4],
        seeds=1,
        signal_seconds=0,
        **settings,
    )


@pytest.fixture
def own(tmp_path) -> str:
    trainer = trainer_of(tmp_path)
    return task_name(trainer.model, None, trainer)


def of_both(own: str) -> list[RunRecord]:
    return [*runs("another", 0.99), *runs(own, 0.6)]


def without_times(report) -> tuple:
    samples = report.forecast.samples.tolist()
    return samples, report.forecast.source, report.verdict, report.reasons


def stored(file: Path, records: list[RunRecord]) -> Path:
    history = RunHistory(file)
    for record in records:
        history.add(record)
    return file


@pytest.mark.parametrize("in_file", [False, True], ids=["records", "a file"])
def test_of_a_history_of_several_tasks_the_runs_own_is_used(tmp_path, own, in_file) -> None:
    both, one = of_both(own), runs(own, 0.6)
    if in_file:
        both, one = stored(tmp_path / "both.db", both), stored(tmp_path / "one.db", one)
    mixed, alone = probed(tmp_path, history=both), probed(tmp_path, history=one)
    assert without_times(mixed) == without_times(alone)
    assert "25 completed runs of the same task" in mixed.forecast.source
    assert mixed.probes[0].task == own


def test_the_rule_is_not_calibrated_on_another_tasks_good_runs(tmp_path, own) -> None:
    report = probed(tmp_path, history=of_both(own))
    packaged = default_rule(Goal("eval_accuracy", target=0.8), Forecaster.default())
    probe = report.probes[0]
    threshold = packaged.threshold(probe)
    held = (
        packaged.cannot_stop(probe)
        if threshold is None
        else f"not below the threshold of {threshold:.2g}"
    )
    assert held in report.reasons[0]


def test_a_history_without_the_runs_task_says_so(tmp_path, own) -> None:
    history = runs("another", 0.99)
    report = probed(tmp_path, history=history)
    assert "completed run" not in report.forecast.source
    note = next(note for note in report.notes if "no completed run of this task" in note)
    assert own in note
    assert "task=" in note
    packaged = probed(tmp_path)
    assert without_times(report) == without_times(packaged)
    assert not any("completed run of this task" in note for note in packaged.notes)


def test_a_task_can_be_named(tmp_path, own) -> None:
    report = probed(tmp_path, history=of_both(own), task="another")
    assert "25 completed runs" in report.forecast.source
    assert report.forecast.mean > 0.8
    assert report.probes[0].task == "another"


def test_runs_that_name_no_task_are_taken_to_be_of_it(tmp_path) -> None:
    unnamed = [replace(record, task=None) for record in runs("x", 0.6)]
    assert "25 completed runs" in probed(tmp_path, history=unnamed).forecast.source
