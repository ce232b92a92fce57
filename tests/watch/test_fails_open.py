"""Whatever fails in the watcher, the run ends with the weights it would have had without it."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import Trainer, TrainerCallback

import hf_ftrisk.watch.callback
from hf_ftrisk.history import RunHistory
from hf_ftrisk.policy import StoppingRule
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import RiskReport
from hf_ftrisk.trainers import plan, ranks, reach, tap
from hf_ftrisk.watch import goal, lines, outputs, report, risk_curve, session, setup, trace, watcher
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.tiny_data import accuracy, weights_hash
from tests.watch.tiny import bert_trainer

# Within reach: a run that is lost would be stopped.
GOAL = "eval_accuracy>=0.4"
# Learns too little to be good, but enough to change every weight.
SHORT: dict[str, Any] = {
    "max_steps": 6,
    "eval_steps": 3,
    "eval_on_start": True,
    "logging_steps": 1,
    "learning_rate": 1e-4,
}
WITHOUT_EVALUATION = SHORT | {"eval_strategy": "no", "eval_on_start": False}


class NaNFromThird(Trainer):
    """Loses its weights at the third step."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        return loss * float("nan") if self.model.training and self.state.global_step > 1 else loss


def good_runs() -> list[RunRecord]:
    """Completed runs of the task that all met the goal."""
    steps = np.array([0, 3, 6])
    values = [np.array([0.5, 0.9, 0.95]) + 0.001 * seed for seed in range(8)]
    return [
        RunRecord(6, eval_step=steps, evals={"eval_accuracy": v}, task="t", seed=seed)
        for seed, v in enumerate(values)
    ]


def finished(folder: Path, resume: Path | None = None, **settings: Any) -> str:
    """Weights after a run without the callback."""
    trainer = bert_trainer(folder, **settings)
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    return weights_hash(trainer.model)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint at half of the run, written without the callback."""
    folder = tmp_path_factory.mktemp("checkpoint")
    finished(folder, save_strategy="steps", save_steps=3, **SHORT)
    return folder / "out" / "checkpoint-3"


@pytest.fixture(scope="module")
def unwatched(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> dict[str, str]:
    """Weights of each kind of run without the callback."""
    folder = tmp_path_factory.mktemp("unwatched")
    usual = finished(folder, **SHORT)
    return {
        **dict.fromkeys({"usual", *KINDS.values()}, usual),
        "resumed": finished(folder, resume=checkpoint, **SHORT),
        "without evaluation": finished(folder, **WITHOUT_EVALUATION),
        "lost": finished(folder, kind=NaNFromThird, **SHORT),
    }


class BrokenError(Exception):
    """The fault that is put in."""


class Fault:
    """Raises whenever it is called, and counts how often that was."""

    def __init__(self) -> None:
        self.calls = 0

    def __get__(self, owner: Any, kind: Any) -> Any:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        raise BrokenError("put in by the test")


def broken(*args: Any, **kwargs: Any) -> Any:
    raise BrokenError("put in by the test")


def methods(kind: type) -> list[str]:
    """Its own methods and properties, without those only a test reads.

    A field whose default is a function is no method.
    """
    own_fields = {field.name for field in fields(kind)} if is_dataclass(kind) else set()
    return [
        name
        for name, value in vars(kind).items()
        if name not in own_fields
        if callable(getattr(value, "__func__", value)) or isinstance(value, property)
        if not name.startswith("__") or name == "__init__"
    ]


# Everything that runs inside a training. The seam itself (_guard, _fail, _switch_off) and what is
# called from the user's own lines (attach, goal) are not part of it.
OUTSIDE = {
    "FineTuneRiskCallback": {"__init__", "attach", "goal", "report", "_guard", "_fail"}
    | {name for name in vars(FineTuneRiskCallback) if name.startswith("on_")}
    | {"_switch_off", "_prune", "close"},
    # What only a search, a Trainer that will fail as it saves, or a run that is to be finished
    # (tests/watch/test_finish.py) comes to.
    "WatchSession": {"_search_has_result", "_tell_selection", "_finished", "end_cool_down"},
}
CLASSES = [
    FineTuneRiskCallback,
    outputs.Outputs,
    lines.Notices,
    session.WatchSession,
    watcher.Watcher,
    watcher.Judged,
    goal.WatchedGoal,
    risk_curve.RiskCurve,
    trace.Trace,
    tap.StepTap,
    report.Clock,
    ranks.Ranks,
]
FUNCTIONS: list[tuple[Any, str]] = [
    (hf_ftrisk.watch.callback, "calling_trainer"),
    (hf_ftrisk.watch.callback, "check_arguments"),
    (hf_ftrisk.watch.callback, "log_quietly"),
    (outputs, "fitting"),
    (outputs, "show_report"),
    (setup, "run_plan"),
    (setup, "evaluates"),
    (setup, "evaluations"),
    (session, "watch_report"),
    (plan, "task_name"),
    (plan, "scheduler_rates"),
    (plan, "known_targets"),
    (report, "dynamics_signals"),
    (report, "_training_loss"),
    (StoppingRule, "from_runs"),
    (StoppingRule, "judge"),
    (watcher, "diagnose"),
    (watcher, "look_steps"),
    (watcher, "lasting_failure"),
    (risk_curve, "risk_of_history"),
    (risk_curve, "risk_of_looks"),
    (risk_curve, "fit_risk_curve"),
    (reach, "holds"),
]
FAULTS = [
    (kind, name)
    for kind in CLASSES
    for name in methods(kind)
    if name not in OUTSIDE.get(kind.__name__, set())
] + FUNCTIONS


def named(owner: Any, name: str) -> str:
    return f"{owner.__name__.split('.')[-1]}.{name}"


# Faults that only another kind of run meets.
KINDS = {
    "Watcher._judge_training_loss": "without evaluation",
    "Watcher.training_loss": "without evaluation",
    "Watcher.check": "lost",
    "watcher.lasting_failure": "lost",
    "Trace._continue": "resumed",
    "FineTuneRiskCallback._report_fault": "with another fault",
    "FineTuneRiskCallback._keep_report": "with another fault",
    "WatchSession._saves": "to be stopped",
    "WatchSession._is_optuna_trial": "to be stopped",
    "WatchSession._all_sets_evaluated": "unreported goal",
    "WatchSession._tell_missing_metric": "unreported goal",
    "Notices.tell": "unreported goal",
    "Notices.is_first": "unreported goal",
    "Watcher.choose": "chosen goal",
    "WatchedGoal.choose": "chosen goal",
    "Trace.metrics": "chosen goal",
    "WatchSession.saved": "saving",
    "plan.task_name": "new to the history",
    "risk_curve.risk_of_looks": "new to the history",
}


@pytest.mark.parametrize(("owner", "name"), FAULTS, ids=[named(*fault) for fault in FAULTS])
def test_a_fault_anywhere_changes_nothing(
    tmp_path: Path,
    unwatched: dict[str, str],
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
):
    fault = Fault()
    value = vars(owner)[name] if isinstance(owner, type) else None
    replacement = property(fault) if isinstance(value, property) else fault
    kind = KINDS.get(named(owner, name), "usual")
    settings = WITHOUT_EVALUATION if kind == "without evaluation" else SHORT
    if kind == "saving":
        settings = settings | {"save_strategy": "steps", "save_steps": 3}
    history = RunHistory(tmp_path / "runs.db")
    history.add_all(good_runs())
    callback = FineTuneRiskCallback(
        "eval_f1" if kind in ("unreported goal", "chosen goal") else "eval_accuracy>=0.9",
        goal_chosen=kind == "chosen goal",
        action="stop" if kind == "to be stopped" else "warn",
        history=history,
        report_dir=tmp_path / "reports",
        false_stop_rate=0.2,
        task=None if kind == "new to the history" else "t",
        check_steps=2,
    )
    trainer = bert_trainer(
        tmp_path,
        kind=NaNFromThird if kind == "lost" else Trainer,
        callbacks=[callback],
        **settings,
    )
    monkeypatch.setattr(trace, "MAX_ROWS", 2)
    monkeypatch.setattr(trace, "TAIL", 1)
    monkeypatch.setattr(owner, name, replacement)
    if kind == "with another fault":
        monkeypatch.setattr(watcher.Watcher, "judge", broken)
    trainer.train(resume_from_checkpoint=str(checkpoint) if kind == "resumed" else None)
    assert fault.calls > 0
    assert trainer.state.global_step == 6
    assert weights_hash(trainer.model) == unwatched[kind]
    assert callback.report is None or isinstance(callback.report, RiskReport)
    # The Trainer's own methods are back in place, except where giving them back was the fault.
    if name != "close":
        assert "training_step" not in vars(trainer)


def test_a_fault_is_told_once_with_its_trace_at_debug_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(watcher.Watcher, "judge", broken)
    callback = FineTuneRiskCallback(GOAL)
    with caplog.at_level(logging.DEBUG, logger="hf_ftrisk"):
        bert_trainer(tmp_path, callbacks=[callback], **SHORT).train()
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    traces = [record for record in caplog.records if record.exc_info]
    assert [record.levelno for record in traces] == [logging.DEBUG]
    assert len(told) == 1
    assert "the training goes on: BrokenError: put in by the test" in told[0].getMessage()
    assert callback.report is not None
    assert "Watching ended early, by an error in hf_ftrisk: BrokenError." in callback.report.notes


def test_a_fault_of_one_training_is_forgotten_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    callback = FineTuneRiskCallback(GOAL)
    with monkeypatch.context() as patch:
        patch.setattr(watcher.Watcher, "judge", broken)
        trainer = bert_trainer(tmp_path, callbacks=[callback], **SHORT)
        trainer.train()
        assert not callback.report.looks
    trainer.train()
    assert callback.report.looks


def full_disk(*args: Any, **kwargs: Any) -> Any:
    raise OSError(28, "No space left on device")


def blocked_folder(folder: Path) -> dict[str, Any]:
    (folder / "file").write_text("in the way")
    return {"report_dir": folder / "file" / "reports"}


def readonly_folder(folder: Path) -> dict[str, Any]:
    target = folder / "readonly"
    target.mkdir()
    target.chmod(0o500)
    return {"report_dir": target / "reports"}


def corrupt_history(folder: Path) -> dict[str, Any]:
    history = RunHistory(folder / "runs.db")
    (folder / "runs.db").write_bytes(b"SQLite format 3\0" + os.urandom(4000))
    return {"history": history}


def vanished_history(folder: Path) -> dict[str, Any]:
    history = RunHistory(folder / "sub" / "runs.db")
    for file in (folder / "sub").iterdir():
        file.unlink()
    (folder / "sub").rmdir()
    (folder / "sub").write_text("in the way")
    return {"history": history}


@pytest.mark.filterwarnings("ignore::hf_ftrisk.errors.DamagedHistoryWarning")
@pytest.mark.parametrize(
    "place", [blocked_folder, readonly_folder, corrupt_history, vanished_history]
)
def test_places_that_cannot_be_used_change_nothing(
    tmp_path: Path, unwatched: dict[str, str], place: Callable[[Path], dict[str, Any]]
):
    callback = FineTuneRiskCallback(GOAL, **place(tmp_path))
    trainer = bert_trainer(tmp_path, callbacks=[callback], **SHORT)
    trainer.train()
    assert weights_hash(trainer.model) == unwatched["usual"]


@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
def test_a_full_disk_changes_nothing(
    tmp_path: Path, unwatched: dict[str, str], monkeypatch: pytest.MonkeyPatch, call: str
):
    callback = FineTuneRiskCallback(GOAL, report_dir=tmp_path / "reports")
    trainer = bert_trainer(tmp_path, callbacks=[callback], **SHORT)
    monkeypatch.setattr(f"hf_ftrisk.atomic.{call}", full_disk)
    trainer.train()
    assert weights_hash(trainer.model) == unwatched["usual"]


class Blocks(TrainerCallback):
    """Puts a folder where the history was, at the last step."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == 5:
            for part in self.file.parent.glob(f"{self.file.name}*"):
                part.unlink()
            self.file.mkdir()


def fill(file: Path) -> None:
    """Write to a file until there is no space left."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as rest:
        while True:
            rest.write(bytes(1024))


@pytest.mark.parametrize("kept", ["history", "reports"])
def test_a_disk_that_is_full_in_truth_changes_nothing(
    tmp_path: Path, unwatched: dict[str, str], kept: str
):
    """On a small file system of its own, where this may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        place: dict[str, Any] = {"report_dir": disk / "reports"}
        if kept == "history":
            place = {"history": RunHistory(disk / "runs.db").add(good_runs()[0])}
        fill(disk / "rest")
        callback = FineTuneRiskCallback(GOAL, **place)
        trainer = bert_trainer(tmp_path, callbacks=[callback], **SHORT)
        trainer.train()
        assert callback._fault is not None
        assert weights_hash(trainer.model) == unwatched["usual"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_run_that_cannot_be_added_at_its_end_has_ended_all_the_same(
    tmp_path: Path, unwatched: dict[str, str]
):
    history = RunHistory(tmp_path / "sub" / "runs.db")
    callback = FineTuneRiskCallback(GOAL, history=history)
    trainer = bert_trainer(tmp_path, callbacks=[callback, Blocks(history.path)], **SHORT)
    trainer.train()
    report = callback.report
    assert weights_hash(trainer.model) == unwatched["usual"]
    assert (report.run.status, report.outcome is None) == ("finished", False)
    assert "Watching ended early, by an error in hf_ftrisk: HistoryError." in report.notes


GARBAGE: dict[str, Any] = {
    "words": "many",
    "nothing": None,
    "nested": {"a": {"b": [1, 2]}},
    "array": np.arange(6).reshape(2, 3),
    "nan": float("nan"),
    "infinite": float("inf"),
    "flag": True,
    "empty": np.empty(0),
}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("place", ["beside the goal's metric", "as the goal's metric"])
def test_garbage_metrics_change_nothing(
    tmp_path: Path,
    unwatched: dict[str, str],
    garbage: str,
    place: str,
    caplog: pytest.LogCaptureFixture,
):
    value = GARBAGE[garbage]

    def metrics(prediction: Any) -> dict[str, Any]:
        good = accuracy(prediction)
        return {**good, "odd": value} if place.startswith("beside") else {"accuracy": value}

    callback = FineTuneRiskCallback(GOAL)
    trainer = bert_trainer(tmp_path, callbacks=[callback], compute_metrics=metrics, **SHORT)
    with caplog.at_level(logging.WARNING, logger="hf_ftrisk"):
        trainer.train()
    assert weights_hash(trainer.model) == unwatched["usual"]
    # Garbage is no fault: the watching goes on.
    assert not caplog.records
    seen = {look.step: look.observed for look in callback.report.looks}
    assert 3 in seen
    if place.startswith("beside"):
        assert seen[3] is not None
