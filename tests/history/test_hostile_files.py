"""Files of a history that are damaged, held, not ours to write, or no files of a history at all."""

import dataclasses
import math
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import warnings
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_ftrisk.errors import DamagedHistoryWarning, HistoryError
from hf_ftrisk.history import RunHistory, files
from hf_ftrisk.history import storage as storage_module
from hf_ftrisk.history.encoding import encode
from tests.fuzzing import fuzz
from tests.history.records import full_record, make_record

ROOT = Path(__file__).parents[2]


def sql(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def listed(path, seeds):
    """The seeds of the runs that are left, after a warning for each that is not."""
    with pytest.warns(DamagedHistoryWarning) as told:
        assert [record.seed for record in RunHistory(path)] == seeds
    return [str(warning.message) for warning in told]


# --- cells -----------------------------------------------------------------------------------

CELLS = [
    "UPDATE runs SET head = CAST(x'ff00fe' AS TEXT) WHERE id = 1",
    "UPDATE runs SET head = x'7b7d' WHERE id = 1",
    "UPDATE runs SET head = 5 WHERE id = 1",
    "UPDATE runs SET fingerprint = 5 WHERE id = 1",
    "UPDATE runs SET fingerprint = CAST(x'ff' AS TEXT) WHERE id = 1",
    "UPDATE columns SET data = 'text' WHERE run = 1 AND name = 'train_loss'",
    "UPDATE columns SET data = 7 WHERE run = 1 AND name = 'train_loss'",
    "UPDATE columns SET name = x'ff' WHERE run = 1 AND name = 'train_loss'",
    "UPDATE columns SET name = CAST(x'ff' AS TEXT) WHERE run = 1 AND name = 'train_loss'",
    "UPDATE columns SET kind = 3 WHERE run = 1 AND name = 'train_loss'",
    "DELETE FROM columns WHERE run = 1 AND name = 'train_loss'",
]


@pytest.mark.parametrize("statement", CELLS)
def test_a_damaged_cell_costs_its_run_alone(tmp_path, statement):
    path = tmp_path / "runs.db"
    RunHistory(path).add(make_record(0)).add(make_record(1))
    sql(path, statement)
    assert listed(path, [1]) == [f"run 1 of the history {path} is damaged and left out"]
    assert len(list(RunHistory(path).counts())) == 1


def test_runs_of_another_task_are_not_even_read(tmp_path):
    path = tmp_path / "runs.db"
    RunHistory(path).add(make_record(0)).add(make_record(1, task="rte"))
    sql(path, "UPDATE runs SET head = 5 WHERE task = 'sst2'")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [record.seed for record in RunHistory(path).records(task="rte")] == [1]


@pytest.mark.parametrize(
    "head", ['{"max_steps": "x"}', "[]", "{", '{"max_steps": 1e999}', "[" * 9999]
)
def test_a_run_that_was_never_one_costs_itself_alone(tmp_path, head):
    path = tmp_path / "runs.db"
    RunHistory(path).add(make_record(0)).add(make_record(1))
    forged = encode(make_record(0))._replace(head=head)
    sql(path, "UPDATE runs SET head = ?, fingerprint = ? WHERE id = 1", head, forged.fingerprint)
    assert "left out" in listed(path, [1])[0]
    with pytest.warns(DamagedHistoryWarning):
        assert RunHistory(path).export_parquet(tmp_path / "runs.parquet") == 1


def test_a_task_that_is_no_text_is_listed(tmp_path):
    path = tmp_path / "runs.db"
    RunHistory(path).add(make_record(0)).add(make_record(1))
    sql(path, "UPDATE runs SET task = CAST(x'ff' AS TEXT), source = 5 WHERE id = 1")
    assert RunHistory(path).counts() == {("\ufffd", "5"): 1, ("sst2", ""): 1}


def test_what_a_strangers_file_would_run_is_not_run(tmp_path):
    path = tmp_path / "runs.db"
    RunHistory(path).add(make_record(0))
    sql(path, "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END")
    with pytest.raises(HistoryError, match="triggers or views"):
        RunHistory(path)


def test_runs_with_a_seed_of_64_bits_and_a_final_nan_are_stored_and_found(tmp_path):
    odd = make_record(2**64 - 1, final={"eval_f1": math.nan, "eval_accuracy": math.inf})
    history = RunHistory(tmp_path / "runs.db").add(odd).add(make_record(1))
    assert [record.seed for record in history.records(metric="f1")] == [2**64 - 1]
    history.export_parquet(tmp_path / "runs.parquet")
    other = RunHistory(tmp_path / "other.db")
    assert str(other.import_parquet(tmp_path / "runs.parquet")) == "2 added, 0 known already"
    assert math.isnan(other.records(metric="f1")[0].final["eval_f1"])


@pytest.mark.parametrize("statement", CELLS)
def test_a_run_that_was_damaged_is_whole_again_when_it_is_added_again(tmp_path, statement):
    path = tmp_path / "runs.db"
    RunHistory(path).add(make_record(0)).add(make_record(1))
    sql(path, statement)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedHistoryWarning)
        history = RunHistory(path)
        assert history.add_all([make_record(0), make_record(1)]) == 1
        assert sorted(record.seed for record in history) == [0, 1]


def test_runs_removed_with_another_tool_make_room_for_new_ones(tmp_path):
    """SQLite's own shell leaves foreign keys off: what hangs on the runs stays behind."""
    path = tmp_path / "runs.db"
    RunHistory(path).add(full_record(0)).add(full_record(1))
    sql(path, "DELETE FROM runs")
    history = RunHistory(path).add(make_record(2))
    assert [record.seed for record in history] == [2]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE final",
        "DROP TABLE columns",
        "ALTER TABLE runs RENAME COLUMN head TO other",
        "PRAGMA user_version = 1",
    ],
)
def test_tables_that_are_not_those_of_a_history_are_told(tmp_path, statement):
    path = tmp_path / "runs.db"
    RunHistory(path).add(make_record(0))
    sql(path, statement)
    with pytest.raises(HistoryError, match=r"are not those of a history .*Choose another"):
        RunHistory(path).add(make_record(1)).records(metric="accuracy")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"task": "\udcff"}, "can't encode"),
        ({"metric": "\udcff"}, "can't encode"),
        ({"latest": -1}, "a number of runs, got -1"),
        ({"latest": 2**63}, "a number of runs"),
    ],
)
def test_what_no_database_can_look_for_is_told(tmp_path, asked, message):
    with pytest.raises(HistoryError, match=message):
        RunHistory(tmp_path / "runs.db").records(**asked)


@pytest.mark.parametrize("odd", [{"task": 7}, {"task": ["sst2"]}, {"seed": "x"}, {"seed": 1.5}])
def test_a_run_whose_task_or_seed_is_none_is_refused(tmp_path, odd):
    with pytest.raises(HistoryError, match=r"must be (text|whole), got"):
        RunHistory(tmp_path / "runs.db").add(dataclasses.replace(make_record(), **odd))


@settings(deadline=None, max_examples=fuzz(60), suppress_health_check=list(HealthCheck))
@given(
    start=st.floats(0, 1),
    damage=st.binary(min_size=1, max_size=300),
    cut=st.sampled_from([1.0, 1.0, 1.0, 0.5, 0.99]),
)
def test_whatever_is_written_over_a_history_the_rest_is_read_or_the_file_kept(start, damage, cut):
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        path = Path(folder) / "runs.db"
        stored = {encode(record).fingerprint: record for record in map(make_record, range(6))}
        RunHistory(path).add_all(stored.values())
        content = path.read_bytes()[: int(path.stat().st_size * cut)]
        at = int(start * len(content))
        changed = content[:at] + damage + content[at + len(damage) :]
        path.write_bytes(changed)
        try:
            fingerprints = [encode(record).fingerprint for record in RunHistory(path)]
        except HistoryError:
            assert changed in [part.read_bytes() for part in Path(folder).glob("runs.db*")]
            return
        assert set(fingerprints) <= set(stored)
        if len(fingerprints) < len(stored):
            assert [w for w in told if issubclass(w.category, DamagedHistoryWarning)]


# --- files that may not be written -----------------------------------------------------------

_READER = """
import os
import urllib.parse  # Python 3.13 loads it late, from where perhaps this user alone may read
from hf_ftrisk.errors import HistoryError
from hf_ftrisk.history import RunHistory
from tests.history.records import make_record
if os.geteuid() == 0:  # may do anything: become somebody who may not
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
history = RunHistory({path!r})
print(sorted(r.seed for r in history.records()), len(history), len(history.counts()))
try:
    history.add(make_record(99))
except HistoryError as error:
    print("refused:", error)
"""


@pytest.fixture
def shared():
    """A folder that other users can reach, and a reader who is another user where that can be."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
        os.chmod(folder, 0o755)


def read_as_another(path):
    code = _READER.format(path=str(path))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def lock_up(folder):
    for part in folder.iterdir():
        part.chmod(0o444)
    folder.chmod(0o555)


def test_a_history_in_a_read_only_folder_is_read(shared):
    path = shared / "runs.db"
    RunHistory(path).add(make_record(1)).add(make_record(2))
    lock_up(shared)
    first, second = read_as_another(path)
    assert first == "[1, 2] 2 1"
    assert "may only be read by this user: nothing was added" in second


def test_a_log_that_a_killed_writer_left_in_a_read_only_folder_is_read(shared):
    path = shared / "runs.db"
    RunHistory(path).add(make_record(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("SELECT * FROM runs").fetchall()  # the log stays while this one reads
        RunHistory(path).add(make_record(2))
        left = {part: part.read_bytes() for part in (path, Path(f"{path}-wal"))}
    for part, content in left.items():
        part.write_bytes(content)
    lock_up(shared)
    assert read_as_another(path)[0] == "[1, 2] 2 1"


def test_an_older_history_in_a_read_only_folder_is_read(shared):
    from tests.history.test_storage import write_version_1

    write_version_1(shared / "runs.db", full_record(7))
    lock_up(shared)
    assert read_as_another(shared / "runs.db")[0] == "[7] 1 1"


def test_a_history_is_read_and_written_beside_another_users_lock_file(shared):
    path = shared / "runs.db"
    RunHistory(path).add(make_record(1))
    for part in shared.iterdir():
        part.chmod(0o600 if part.suffix == ".lock" else 0o666)
    shared.chmod(0o777)
    assert read_as_another(path) == ["[1] 1 1"]
    assert len(RunHistory(path)) == 2


# --- files that are held ---------------------------------------------------------------------


def test_a_reader_waits_for_no_lock(tmp_path):
    path = tmp_path / "runs.db"
    RunHistory(path).add(make_record(1))
    with FileLock(f"{path}.lock"):
        assert len(RunHistory(path)) == 1


def test_a_held_lock_is_waited_for_and_its_holder_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LOCK_SECONDS", 0.2)
    path = tmp_path / "runs.db"
    code = (
        f"from filelock import FileLock; lock = FileLock({f'{path}.lock'!r}); lock.acquire(); "
        "print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        named = rf"process {holder.pid} \(.*python" if sys.platform == "linux" else "process"
        with pytest.raises(HistoryError, match=rf"is locked by {named}.*waited 0 s"):
            RunHistory(path)
        holder.communicate(b"\n")
    assert len(RunHistory(path)) == 0


def test_a_held_database_is_waited_for_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(storage_module, "_BUSY_SECONDS", 0.2)
    history = RunHistory(tmp_path / "runs.db")
    with closing(sqlite3.connect(history.path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryError, match=r"is locked by this very process.*Repeat it"):
            history.add(make_record())
        assert len(history) == 0  # reading goes on
        blocker.execute("ROLLBACK")


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 300, "more than 200 bytes"),
        ("x" * 230 + ".db", "more than 200 bytes"),
        ("/".join(["d" * 200] * 30), "name too long"),
        ("a\0b.db", "null (byte|character)"),
        (":memory:", "SQLite's way of naming"),
        ("file:x.db?mode=memory", "SQLite's way of naming"),
        ("", "is a folder"),
        ("/proc/x.db", "cannot write to|cannot make|may only be read"),
        ("/dev/null", "pipe, socket or device"),
        ("/dev/null/x.db", "cannot be the file of a history"),
    ],
)
def test_a_name_that_can_be_no_history_is_told(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HistoryError, match=f"(?i){message}"):
        RunHistory(name)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_told_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "runs.db")
    raised = []

    def use():
        with pytest.raises(HistoryError, match="pipe, socket or device"):
            RunHistory(tmp_path / "runs.db")
        raised.append(True)

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(10)
    assert raised


def test_a_link_to_a_damaged_file_stays_a_link_and_the_file_is_kept(tmp_path):
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "runs.db"
    link = tmp_path / "runs.db"
    link.symlink_to(target)
    RunHistory(link).add(make_record(1))
    assert target.is_file()
    damaged = b"\xff" * target.stat().st_size
    target.write_bytes(damaged)
    with pytest.warns(DamagedHistoryWarning):
        RunHistory(link).add(make_record(2))
    assert link.is_symlink()
    assert [record.seed for record in RunHistory(target)] == [2]
    (kept,) = [
        p for p in (tmp_path / "far").glob("*.damaged-*") if p.suffix not in ("-wal", "-shm")
    ]
    assert kept.read_bytes() == damaged


def test_a_loop_of_links_is_told(tmp_path):
    (tmp_path / "a.db").symlink_to(tmp_path / "b.db")
    (tmp_path / "b.db").symlink_to(tmp_path / "a.db")
    with pytest.raises(HistoryError, match="levels of symbolic links"):
        RunHistory(tmp_path / "a.db")


def test_a_history_that_was_deleted_meanwhile_is_begun_anew(tmp_path):
    history = RunHistory(tmp_path / "runs.db").add(make_record(1))
    for part in tmp_path.iterdir():
        part.unlink()
    assert len(history.add(make_record(2))) == 1


# --- the journal -----------------------------------------------------------------------------


def journal(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("ext4", "wal"), ("nfs4", "delete"), ("cifs", "delete"), ("fuse.sshfs", "delete")],
)
def test_the_journal_is_one_that_the_file_system_can_hold(tmp_path, monkeypatch, kind, mode):
    class Mount:
        mountpoint, fstype, opts = str(tmp_path), kind, "rw"

    real = files.psutil.disk_partitions
    monkeypatch.setattr(files.psutil, "disk_partitions", lambda all: [*real(all=all), Mount])
    history = RunHistory(tmp_path / "runs.db").add(make_record())
    assert journal(history.path) == mode
    assert [record.seed for record in history] == [0]


def test_a_log_left_on_a_network_is_given_up_where_it_can_be(tmp_path, monkeypatch):
    path = tmp_path / "runs.db"
    RunHistory(path).add(make_record(1))
    monkeypatch.setattr(storage_module, "is_on_network", lambda path: True)
    assert len(RunHistory(path).add(make_record(2))) == 2
    assert journal(path) == "delete"
