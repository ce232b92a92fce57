"""The history's SQLite file: schema and migrations, concurrent writers, damage.

Every operation opens its own connection and closes it, so one history serves many threads and
processes, and forks. Write-ahead logging lets readers go on while one process writes; a writer
that is killed leaves either its whole transaction or nothing of it.
"""

from __future__ import annotations

import os
import sqlite3
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_ftrisk.errors import DamagedHistoryWarning, HistoryError
from hf_ftrisk.history import schema
from hf_ftrisk.history.encoding import Column, EncodedRun
from hf_ftrisk.history.files import (
    checked_path,
    copied,
    held_by,
    is_on_network,
    is_writable,
    locked,
    open_for_reading,
)

_BUSY_SECONDS = 60.0
# What SQLite says of a damaged schema may quote it, and so be no text; a task that is looked for
# may be none either.
_ERRORS = (sqlite3.DatabaseError, UnicodeError)
_MAGIC = b"SQLite format 3\x00"
_DATABASE_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})


@dataclass(frozen=True)
class RunFacts:
    """What a run is looked up by.

    Args:
        task: name under which runs are comparable.
        status: finished or stopped.
        max_steps: planned length.
        seed: random seed.
        final: metric -> separately measured final value.
    """

    task: str | None
    status: str
    max_steps: int
    seed: int | None
    final: Mapping[str, float]


class Storage:
    """One SQLite file of runs.

    A file that may be read but not written, as in another user's folder, is read as it is.

    Args:
        path: the file; it and its folder are created when missing.
        wait: seconds that another process may hold it locked; None: a minute.

    Raises:
        HistoryError: no file of a history, another application's file, a newer release's schema,
            or one that can be neither read nor made.
    """

    def __init__(self, path: str | os.PathLike[str], wait: float | None = None) -> None:
        self.path = checked_path(path)
        self._wait = wait
        self._outdated = False
        self._prepare()

    def __reduce__(self) -> tuple[type[Storage], tuple[Path, float | None]]:
        """Opened anew where it is unpickled: its lock belongs to this process."""
        return type(self), (self.path, self._wait)

    @property
    def _seconds(self) -> float:
        return _BUSY_SECONDS if self._wait is None else self._wait

    # --- opening -----------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make sure that a whole history of this release's schema is there.

        One that is there already is not locked: nobody who only reads waits for anybody.
        """
        if self._is_ready():
            return
        if self.path.exists() and not is_writable(self.path):
            raise HistoryError(
                f"the history {self.path} is damaged, and nothing may be written beside it: move "
                "it away, or copy it to a folder of your own"
            )
        if self.path.exists() and not _may_be_ours(self.path):
            raise _foreign(self.path)  # before a lock is made beside it
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HistoryError(f"cannot make a folder for {self.path}: {error}") from None
        with locked(self.path, self._wait) as sure:
            try:
                self._migrate()
            except _ERRORS as error:
                if not _is_damage(error):
                    raise self._unusable(error) from error
                if not sure:
                    raise HistoryError(
                        f"the history {self.path} is damaged ({error}); it is left as it is, "
                        f"since {self.path}.lock belongs to another user"
                    ) from None
                self._set_aside(error)
                self._migrate()

    def _is_ready(self) -> bool:
        if not self.path.exists():
            return False
        try:
            with self._connect() as connection:
                state = self._checked(connection)
                journal = self._wrong_journal(connection)
        except _ERRORS as error:
            if not _is_damage(error):
                raise self._unusable(error) from error
            return False
        self._outdated = state < schema.version()
        return not (self._outdated or journal) or not is_writable(self.path)

    def _checked(self, connection: sqlite3.Connection) -> int:
        """The schema's version, of a database that is ours, whole and not too new."""
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        kinds = [kind for (kind,) in connection.execute("SELECT type FROM sqlite_master")]
        if owner != schema.APPLICATION_ID and (owner or version or kinds):
            raise HistoryError(
                f"{self.path} is a database of another application; nothing was changed. "
                "Choose another file for the history."
            )
        if "trigger" in kinds or "view" in kinds:
            raise HistoryError(
                f"{self.path} holds triggers or views, which would run as you use it and which no "
                "release of hf-ftrisk writes; nothing was changed. Choose another file."
            )
        if version > schema.version():
            raise HistoryError(
                f"{self.path} has schema version {version}, this release reads up to "
                f"{schema.version()}; nothing was changed. Update hf-ftrisk."
            )
        problems = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problems != "ok":
            raise _damage(problems)
        return version

    def _migrate(self) -> None:
        with self._connect() as connection:
            outdated = self._checked(connection) < schema.version()
            if self._wrong_journal(connection) is not None:
                connection.execute(f"PRAGMA journal_mode = {self._wrong_journal(connection)}")
            if outdated:
                schema.migrate(connection)
        self._outdated = False

    def _wrong_journal(self, connection: sqlite3.Connection) -> str | None:
        """The journal mode that this file should have and has not.

        Write-ahead logging lets readers go on while one writes. Its shared memory does not reach
        over a network: there it is the journal that needs locks alone.
        """
        right = "delete" if is_on_network(self.path) else "wal"
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        new = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return right if mode != right and (new or right == "delete") else None

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        if not self.path.exists() or is_writable(self.path):
            with _connected(self.path, self._seconds) as connection:
                yield connection
        elif self._outdated:
            with copied(self.path) as copy, _connected(copy, self._seconds) as connection:
                schema.migrate(connection)
                yield connection
        else:
            with open_for_reading(self.path) as connection:
                schema.set_up(connection)
                yield connection

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if not self.path.exists():
            self._prepare()
        try:
            with self._connect() as connection:
                yield connection
        except _ERRORS as error:
            if not _is_damage(error):
                raise self._unusable(error) from error
            self._prepare()
            raise HistoryError(
                f"the history {self.path} was found damaged ({error}); it was set aside and a new "
                "one begun. Repeat what you were doing."
            ) from error

    def _unusable(self, error: Exception) -> HistoryError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            files = [self.path, Path(f"{self.path}-shm")]
            return HistoryError(
                f"the history {self.path} is locked {held_by(files)}; waited {self._seconds:.0f} s."
                " Nothing was changed. Repeat it when that has ended."
            )
        if code == sqlite3.SQLITE_ERROR:
            return HistoryError(
                f"the tables of {self.path} are not those of a history ({error}); nothing was "
                "changed. Choose another file, or move this one away."
            )
        return HistoryError(f"cannot use the history {self.path}: {error}")

    def _set_aside(self, error: Exception) -> None:
        """Rename the damaged file with its log; called with the lock held."""
        if not _may_be_ours(self.path):
            raise _foreign(self.path)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        copy = self.path.with_name(f"{self.path.name}.damaged-{stamp}-{os.getpid()}")
        number = 0
        while copy.exists():
            number += 1
            copy = copy.with_name(f"{self.path.name}.damaged-{stamp}-{os.getpid()}-{number}")
        # The log first: a database without its log can be looked at, a log that meets a new
        # database would be replayed into it.
        for suffix in ("-wal", "-shm", ""):
            part = Path(f"{self.path}{suffix}")
            if part.exists():
                part.rename(f"{copy}{suffix}")
        warnings.warn(
            f"the history {self.path} is damaged ({error}); it is kept as {copy} and a new one "
            "is begun",
            DamagedHistoryWarning,
            stacklevel=5,
        )

    # --- writing -----------------------------------------------------------------------------

    def add_all(self, runs: Sequence[tuple[EncodedRun, RunFacts]], source: str) -> int:
        """Store runs in one transaction; returns how many were new."""
        if self.path.exists() and not is_writable(self.path):
            raise HistoryError(
                f"the history {self.path} may only be read by this user: nothing was added. Copy "
                "it to a folder of your own, or ask for the right to write there."
            )
        n_added = 0
        with self._open() as connection, schema.transaction(connection):
            for run, facts in runs:
                n_added += _insert(connection, run, facts, source)
        return n_added

    # --- reading -----------------------------------------------------------------------------

    def origins(self) -> list[tuple[str | None, str]]:
        """(task, source) of every run, in the order they were added."""
        with self._open() as connection:
            rows = connection.execute("SELECT task, source FROM runs ORDER BY id")
            return [(None if task is None else str(task), str(source)) for task, source in rows]

    def count(self) -> int:
        """Number of stored runs."""
        with self._open() as connection:
            return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])

    def read(
        self,
        *,
        task: str | None = None,
        metric: str | None = None,
        source: str | None = None,
        pulled: bool = True,
        latest: int | None = None,
    ) -> list[EncodedRun]:
        """Stored runs in the order they were added; a damaged row is reported and left out.

        With `latest`, at most that many of those added last.

        Raises:
            HistoryError: a `latest` below 0, or text that no database can hold.
        """
        if latest is not None and not 0 <= latest < 1 << 63:
            raise HistoryError(f"latest must be a number of runs, got {latest}")
        conditions = ["1"] if pulled else ["source NOT LIKE 'hub:%'"]
        values: list[str | int] = []
        for column, value in (("task", task), ("source", source)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        if metric is not None:
            conditions.append(
                "(EXISTS (SELECT 1 FROM columns WHERE run = id AND kind = 'eval' AND name = ?)"
                " OR EXISTS (SELECT 1 FROM final WHERE run = id AND metric = ?))"
            )
            values += [metric, metric]
        where = " AND ".join(conditions)
        runs: list[EncodedRun] = []
        with self._open() as connection:
            # One transaction, so that heads and columns are of the same moment.
            connection.execute("BEGIN")
            heads = connection.execute(
                f"SELECT id, fingerprint, head FROM runs WHERE {where} ORDER BY id DESC LIMIT ?",
                [*values, -1 if latest is None else latest],
            ).fetchall()[::-1]
            for number, fingerprint, head in heads:
                run = _whole_run(head, _columns_of(connection, number), fingerprint)
                if run is not None:
                    runs.append(run)
                else:
                    warnings.warn(
                        f"run {number} of the history {self.path} is damaged and left out",
                        DamagedHistoryWarning,
                        stacklevel=4,
                    )
            connection.execute("COMMIT")
        return runs


@contextmanager
def _connected(path: Path, seconds: float) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=seconds, isolation_level=None)) as connection:
        schema.set_up(connection)
        yield connection


def _columns_of(connection: sqlite3.Connection, number: int) -> Iterable[Any]:
    return connection.execute(
        "SELECT kind, name, data FROM columns WHERE run = ? ORDER BY kind, name", (number,)
    )


def _whole_run(head: object, columns: Iterable[Any], fingerprint: object) -> EncodedRun | None:
    """The run of these cells, None where one of them is not what was written."""
    rows = [Column(*row) for row in columns]
    whole = isinstance(head, str) and all(
        isinstance(c.kind, str) and isinstance(c.name, str) and isinstance(c.values, bytes)
        for c in rows
    )
    if not whole:
        return None
    run = EncodedRun(str(head), tuple(rows))
    return run if run.fingerprint == fingerprint else None


def _insert(connection: sqlite3.Connection, run: EncodedRun, facts: RunFacts, source: str) -> int:
    row = connection.execute(
        "SELECT id, head FROM runs WHERE fingerprint = ?", (run.fingerprint,)
    ).fetchone()
    if row is not None:
        number, head = row
        if _whole_run(head, _columns_of(connection, number), run.fingerprint) is not None:
            return 0
        # Damaged since: left as it is, it would stay lost, however often it is added again.
        connection.execute("DELETE FROM runs WHERE id = ?", (number,))
    cursor = connection.execute(
        "INSERT INTO runs (fingerprint, task, status, max_steps, seed, head, source, added_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run.fingerprint,
            facts.task,
            facts.status,
            facts.max_steps,
            facts.seed if facts.seed is None or abs(facts.seed) < 1 << 63 else None,
            run.head,
            source,
            time.time(),
        ),
    )
    number = cursor.lastrowid
    # A run that somebody removed with SQLite's own tools has left these behind: foreign keys are
    # off there, and its number is given again.
    for table in ("columns", "final"):
        connection.execute(f"DELETE FROM {table} WHERE run = ?", (number,))
    connection.executemany(
        "INSERT INTO columns (run, kind, name, data) VALUES (?, ?, ?, ?)",
        [(number, *column) for column in run.columns],
    )
    final = facts.final.items()
    connection.executemany(
        "INSERT INTO final (run, metric, value) VALUES (?, ?, ?)",
        # SQLite has no NaN among its numbers; what ended in one is looked up like any other.
        [(number, metric, "NaN" if value != value else value) for metric, value in final],
    )
    return 1


def _damage(problem: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(problem)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _is_damage(error: Exception) -> bool:
    if isinstance(error, UnicodeDecodeError):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _foreign(path: Path) -> HistoryError:
    return HistoryError(
        f"{path} is not a run history (file is not a database); nothing was changed. Choose "
        "another file, or move this one away."
    )


def is_database(path: Path) -> bool:
    """Whether a file begins as SQLite's databases do."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _may_be_ours(path: Path) -> bool:
    """Whether an unreadable file was a database: a person's text file is not renamed."""
    if path.stat().st_size == 0 or is_database(path):
        return True
    return path.suffix in _DATABASE_SUFFIXES or Path(f"{path}-wal").exists()
