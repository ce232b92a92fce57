"""A watched run is remembered by default, and later runs of its task know it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_ftrisk.history import RunHistory
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.watch.tiny import bert_trainer

GOAL = "eval_accuracy>=0.4"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ftrisk" / "runs.db"
    monkeypatch.setenv("HF_FTRISK_HISTORY", str(path))
    return path


def trained(folder: Path, **arguments):
    callback = FineTuneRiskCallback(GOAL, **arguments)
    trainer = bert_trainer(folder)
    callback.attach(trainer)
    trainer.train()
    return callback


def test_it_is_remembered_told_once_and_known_to_the_next(file: Path, tmp_path: Path, capsys):
    trained(tmp_path)
    assert capsys.readouterr().out.count("is remembered in") == 1
    trained(tmp_path)
    assert "is remembered in" not in capsys.readouterr().out
    runs = RunHistory(file).records()
    assert [run.last_step for run in runs] == [40]  # the same run twice is stored once
    trained(tmp_path, task="another")
    assert {run.task for run in RunHistory(file)} == {runs[0].task, "another"}


@pytest.mark.parametrize("how", ["variable", "argument"])
def test_where_it_is_off_nothing_is_written(file: Path, tmp_path: Path, how: str, monkeypatch):
    if how == "variable":
        monkeypatch.setenv("HF_FTRISK_HISTORY", "off")
        trained(tmp_path)
    else:
        trained(tmp_path, history=None)
    assert not file.parent.exists()


def test_one_that_cannot_be_used_is_told_and_disturbs_nothing(file: Path, tmp_path: Path, capsys):
    file.parent.write_text("no folder")
    callback = trained(tmp_path)
    assert callback.report.run.last_step == 40
    assert "remembered by default are left out" in capsys.readouterr().out
