"""Runs that are remembered by default: of one task alone, and never in a run's way."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hf_ftrisk.history import RunHistory
from hf_ftrisk.history.given import add_run, history_of, known_runs
from hf_ftrisk.history.remembered import Remembered, default_file
from tests.history.records import full_record, make_record


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ftrisk" / "runs.db"
    monkeypatch.setenv("HF_FTRISK_HISTORY", str(path))
    return path


def known(task: str | None = "sst2", metric: str = "eval_accuracy"):
    return known_runs(history_of("default"), task, metric)


def test_it_lies_in_the_hubs_cache_folder(tmp_path: Path):
    code = "from hf_ftrisk.history.remembered import default_file; print(default_file())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HF_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(tmp_path / "ftrisk" / "runs.db")


def test_off_is_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_FTRISK_HISTORY", "off")
    assert default_file() is None
    assert history_of("default") is None


def test_nothing_is_written_until_a_run_is_remembered(file: Path):
    assert known().runs == ()
    assert not file.parent.exists()


def test_the_first_run_is_told_and_later_ones_are_not(file: Path):
    first = add_run(history_of("default"), make_record(0))
    assert len(first) == 1
    assert str(file) in first[0]
    assert "HF_FTRISK_HISTORY=off" in first[0]
    assert add_run(history_of("default"), make_record(1)) == ()
    assert [run.seed for run in known().runs] == [0, 1]


def test_runs_of_another_task_or_metric_are_never_known(file: Path):
    add_run(history_of("default"), make_record(0, task="sst2"))
    assert known("rte").runs == ()
    assert known(None).runs == ()
    assert known(metric="eval_f1").runs == ()
    add_run(history_of("default"), replace(make_record(1), task=None))
    assert [run.seed for run in known().runs] == [0]


def test_tasks_whose_names_differ_in_a_path_alone_stay_apart(file: Path):
    one, other = ("Bert /home/someone/secret-a 96 rows", "Bert /home/someone/secret-b 96 rows")
    add_run(history_of("default"), make_record(0, task=one))
    add_run(history_of("default"), make_record(1, task=other))
    assert [(run.seed, run.task) for run in known(one).runs] == [(0, one)]
    assert [(run.seed, run.task) for run in known(other).runs] == [(1, other)]
    assert b"secret" not in b"".join(part.read_bytes() for part in file.parent.iterdir())


def test_what_is_kept_is_what_may_leave_the_machine(file: Path):
    settings = {"model": "/home/someone/model", "output_dir": "/home/someone", "learning_rate": 0.1}
    add_run(history_of("default"), replace(full_record(), settings=settings))
    (kept,) = RunHistory(file)
    assert kept.settings["learning_rate"] == 0.1
    assert "someone" not in str(kept.settings)


def test_a_folder_that_cannot_be_made_is_told_and_nothing_else(tmp_path: Path):
    (tmp_path / "file").write_text("")
    history = Remembered(tmp_path / "file" / "runs.db")
    (told,) = add_run(history, make_record())
    assert told.startswith("the runs remembered by default are left out here: ")


def test_a_persons_own_file_is_told_and_left_as_it_is(tmp_path: Path):
    notes = tmp_path / "notes.txt"
    notes.write_text("a person's notes\n" * 100)
    history = Remembered(notes)
    assert known_runs(history, "sst2", "eval_accuracy").problems != ()
    assert "left out here" in add_run(history, make_record())[0]
    assert notes.read_text() == "a person's notes\n" * 100


def test_a_locked_history_is_not_waited_for(file: Path):
    add_run(history_of("default"), make_record(0))
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    (told,) = add_run(history_of("default"), make_record(1))
    assert time.monotonic() - began < 10
    assert "locked" in told
    holder.close()
    assert [run.seed for run in known().runs] == [0]


@pytest.mark.filterwarnings("ignore::hf_ftrisk.errors.DamagedHistoryWarning")
def test_a_damaged_history_is_set_aside_and_begun_anew(file: Path):
    for seed in range(5):
        add_run(history_of("default"), make_record(seed))
    content = file.read_bytes()
    file.write_bytes(content[:100] + b"\xff" * 4000)
    assert known().runs == ()
    add_run(history_of("default"), make_record(7))
    assert [run.seed for run in known().runs] == [7]
    assert len(list(file.parent.glob("*.damaged-*"))) > 0
