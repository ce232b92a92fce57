"""The history's file: many processes, killed writers, damage, older and newer schemas."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings

import pytest

from hf_ftrisk.errors import DamagedHistoryWarning, HistoryError
from hf_ftrisk.history import RunHistory, schema
from hf_ftrisk.history.encoding import encode
from tests.history.records import full_record, make_record

# Each line on standard output is a run whose `add` has returned.
_WRITER = """
import sys
import threading
from hf_ftrisk.history import RunHistory
from tests.history.records import make_record
path, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
history = RunHistory(path)
for seed in range(first, first + count):
    history.add(make_record(seed))
    print(seed, flush=True)
"""


def start_writer(path, first, count):
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), str(first), str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def damage(path, at=100, length=2000):
    """Overwrite a piece of the file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * length)


@pytest.mark.slow
def test_many_processes_add_at_once(tmp_path):
    path = tmp_path / "runs.db"
    # No file yet: they create it together. Every process shares half its runs with the next one.
    writers = [start_writer(path, 10 * i, 20) for i in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    for writer in writers:
        writer.stdout.close()
    assert sorted(record.seed for record in RunHistory(path)) == list(range(50))


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_it_committed(tmp_path):
    path = tmp_path / "runs.db"
    committed = set()
    for first in (0, 100_000):
        writer = start_writer(path, first, 100_000)
        lines = [writer.stdout.readline() for _ in range(30)]
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().splitlines()
        assert writer.wait(30) == -signal.SIGKILL
        writer.stdout.close()
        committed |= {int(line) for line in lines + rest if line.strip()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seeds = {record.seed for record in RunHistory(path).add(make_record(-1))}
    assert committed <= seeds
    # Whole runs only: at most the one in flight of each writer beyond what was announced.
    assert len(seeds - committed) <= 1 + 2


def test_a_damaged_file_is_reported_and_kept(tmp_path):
    path = tmp_path / "runs.db"
    RunHistory(path).add(make_record())
    damage(path)
    before = path.read_bytes()
    with pytest.warns(DamagedHistoryWarning, match=r"is kept as .*runs\.db\.damaged-"):
        history = RunHistory(path)
    (kept,) = (p for p in tmp_path.glob("runs.db.damaged-*") if not p.name.endswith(("wal", "shm")))
    assert kept.read_bytes() == before
    assert len(history.add(make_record(1))) == 1


def test_damage_while_in_use_is_reported_and_kept(tmp_path):
    path = tmp_path / "runs.db"
    history = RunHistory(path)
    for seed in range(20):
        history.add(make_record(seed))
    damage(path, 4096, path.stat().st_size - 4096)
    with (
        pytest.warns(DamagedHistoryWarning),
        pytest.raises(HistoryError, match="set aside and a new one begun"),
    ):
        history.records()
    assert list(tmp_path.glob("runs.db.damaged-*"))
    history.add(make_record(1))
    assert len(history) == 1


def test_two_damaged_files_are_both_kept(tmp_path):
    path = tmp_path / "runs.db"
    for _ in range(2):
        RunHistory(path).add(make_record())
        damage(path)
        with pytest.warns(DamagedHistoryWarning):
            RunHistory(path)
    kept = [p for p in tmp_path.glob("runs.db.damaged-*") if not p.name.endswith(("wal", "shm"))]
    assert len(kept) == 2


def test_a_damaged_row_is_reported_and_left_out(tmp_path):
    path = tmp_path / "runs.db"
    RunHistory(path).add(make_record(0)).add(make_record(1))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE columns SET data = x'00' WHERE run = 1 AND name = 'train_loss'")
    connection.close()
    with pytest.warns(DamagedHistoryWarning, match="run 1 of the history"):
        assert [record.seed for record in RunHistory(path)] == [1]


def test_a_text_file_is_not_renamed(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes, longer than a header " * 100, encoding="utf-8")
    with pytest.raises(HistoryError, match="is not a run history"):
        RunHistory(path)
    assert path.read_text(encoding="utf-8").startswith("my notes")


def test_another_applications_database_is_left_alone(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="another application"):
        RunHistory(path)
    assert path.read_bytes() == before


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(HistoryError, match="is a folder"):
        RunHistory(tmp_path)


# --- schema versions -------------------------------------------------------------------------


def write_version_1(path, record):
    """A file as the first schema had it."""
    run = encode(record)
    connection = sqlite3.connect(path)
    for statement in schema.MIGRATIONS[0]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.execute(
        "INSERT INTO runs (id, fingerprint, task, status, max_steps, seed, head)"
        " VALUES (1, ?, ?, ?, ?, ?, ?)",
        (run.fingerprint, record.task, record.status, record.max_steps, record.seed, run.head),
    )
    rows = [(1, *column) for column in run.columns]
    connection.executemany("INSERT INTO columns VALUES (?, ?, ?, ?)", rows)
    connection.execute("INSERT INTO final VALUES (1, 'eval_accuracy', 0.81)")
    connection.commit()
    connection.close()


def test_a_version_1_file_is_migrated_with_its_runs(tmp_path):
    path = tmp_path / "runs.db"
    write_version_1(path, full_record())
    history = RunHistory(path)
    (back,) = history.records(task="sst2", metric="accuracy", source="")
    assert back.to_dict() == full_record().to_dict()
    assert history.add_all([full_record(), make_record(7)], source="new") == 1
    assert history.counts() == {("sst2", ""): 1, ("sst2", "new"): 1}
    connection = sqlite3.connect(path)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    assert version == schema.version() == 2


def test_a_failed_migration_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "runs.db"
    write_version_1(path, full_record())
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE runs (x)",)))
    with pytest.raises(HistoryError, match="already exists"):
        RunHistory(path)
    monkeypatch.undo()
    assert len(RunHistory(path)) == 1


@pytest.mark.slow
def test_processes_that_migrate_at_once_agree(tmp_path):
    path = tmp_path / "runs.db"
    write_version_1(path, full_record())
    writers = [start_writer(path, 10 * i, 2) for i in range(3)]
    assert [writer.wait(60) for writer in writers] == [0] * 3
    for writer in writers:
        writer.stdout.close()
    assert len(RunHistory(path)) == 7


def test_a_newer_schema_is_left_alone(tmp_path):
    path = tmp_path / "runs.db"
    RunHistory(path).add(make_record())
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(HistoryError, match=r"schema version 99.*Update hf-ftrisk"):
        RunHistory(path)
    assert path.exists()


def test_a_locked_file_is_waited_for(tmp_path):
    path = tmp_path / "runs.db"
    history = RunHistory(path)
    blocker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    thread = threading.Thread(target=history.add, args=(make_record(),))
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive()
    blocker.execute("COMMIT")
    blocker.close()
    thread.join(30)
    assert len(history) == 1
