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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from hf_ftrisk.history.encoding import Column, EncodedRun
from hf_ftrisk.history.errors import DamagedHistoryWarning, HistoryError

# "ftrk": marks the file as ours, so that no other application's database is ever written to.
APPLICATION_ID = 0x6674726B
_BUSY_SECONDS = 60.0
_MAGIC = b"SQLite format 3\x00"
_DATABASE_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})

# One entry a schema version: the statements that lead to it from the version before. Entries are
# never changed once released; a new version is a new entry.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE runs (
            id INTEGER PRIMARY KEY,
            fingerprint TEXT NOT NULL UNIQUE,
            task TEXT,
            status TEXT NOT NULL,
            max_steps INTEGER NOT NULL,
            seed INTEGER,
            head TEXT NOT NULL
        )""",
        """CREATE TABLE columns (
            run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            data BLOB NOT NULL,
            PRIMARY KEY (run, kind, name)
        ) WITHOUT ROWID""",
        """CREATE TABLE final (
            run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
            metric TEXT NOT NULL,
            value REAL NOT NULL,
            PRIMARY KEY (run, metric)
        ) WITHOUT ROWID""",
        "CREATE INDEX runs_by_task ON runs(task)",
    ),
    (
        # Where a run came from: '' recorded here, a file's name, or 'hub:owner/name@commit'.
        "ALTER TABLE runs ADD COLUMN source TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE runs ADD COLUMN added_at REAL",
    ),
)
SCHEMA_VERSION = len(MIGRATIONS)


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

    Args:
        path: the file; it and its folder are created when missing.

    Raises:
        HistoryError: a folder, another application's file, or a newer release's schema.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()
        if self.path.is_dir():
            raise HistoryError(f"{self.path} is a folder; a history is a file such as runs.db")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(f"{self.path}.lock")
        with self._lock:
            self._prepare()

    # --- opening -----------------------------------------------------------------------------

    def _prepare(self) -> None:
        try:
            self._check_and_migrate()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise HistoryError(f"cannot open the history {self.path}: {error}") from error
            self._set_aside(error)
            self._check_and_migrate()

    def _check_and_migrate(self) -> None:
        with self._connect() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            owner = connection.execute("PRAGMA application_id").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if owner != APPLICATION_ID and (owner or version or tables):
                raise HistoryError(
                    f"{self.path} is a database of another application; nothing was changed. "
                    "Choose another file for the history."
                )
            if version > SCHEMA_VERSION:
                raise HistoryError(
                    f"{self.path} has schema version {version}, this release reads up to "
                    f"{SCHEMA_VERSION}; nothing was changed. Update hf-ftrisk."
                )
            problems = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problems != "ok":
                raise _damage(problems)
            if version < SCHEMA_VERSION:
                connection.execute("PRAGMA journal_mode = WAL")
                self._migrate(connection)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        with _transaction(connection):
            # Read again inside the transaction: another process may have migrated meanwhile.
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        with closing(
            sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        ) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            # FULL: a committed run survives a power failure too, not only a killed process.
            connection.execute("PRAGMA synchronous = FULL")
            yield connection

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connect() as connection:
                yield connection
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise HistoryError(f"cannot use the history {self.path}: {error}") from error
            with self._lock:
                self._prepare()
            raise HistoryError(
                f"the history {self.path} was found damaged ({error}); it was set aside and a new "
                "one begun. Repeat what you were doing."
            ) from error

    def _set_aside(self, error: Exception) -> None:
        """Rename the damaged file with its log; called with the lock held."""
        if not _may_be_ours(self.path):
            raise HistoryError(
                f"{self.path} is no run history ({error}); nothing was changed. "
                "Choose another file, or move this one away."
            )
        stamp = time.strftime("%Y%m%d-%H%M%S")
        kept = self.path.with_name(f"{self.path.name}.damaged-{stamp}-{os.getpid()}")
        number = 0
        while kept.exists():
            number += 1
            kept = kept.with_name(f"{self.path.name}.damaged-{stamp}-{os.getpid()}-{number}")
        # The log first: a database without its log can be looked at, a log that meets a new
        # database would be replayed into it.
        for suffix in ("-wal", "-shm", ""):
            part = Path(f"{self.path}{suffix}")
            if part.exists():
                part.rename(f"{kept}{suffix}")
        warnings.warn(
            f"the history {self.path} is damaged ({error}); it is kept as {kept} and a new one "
            "is begun",
            DamagedHistoryWarning,
            stacklevel=5,
        )

    # --- writing -----------------------------------------------------------------------------

    def add_all(self, runs: Sequence[tuple[EncodedRun, RunFacts]], source: str) -> int:
        """Store runs in one transaction; returns how many were new."""
        added = 0
        with self._open() as connection, _transaction(connection):
            for run, facts in runs:
                added += _insert(connection, run, facts, source)
        return added

    # --- reading -----------------------------------------------------------------------------

    def origins(self) -> list[tuple[str | None, str]]:
        """(task, source) of every run, in the order they were added."""
        with self._open() as connection:
            rows = connection.execute("SELECT task, source FROM runs ORDER BY id")
            return [(task, source) for task, source in rows]

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
        """
        conditions = ["1"] if pulled else ["source NOT LIKE 'hub:%'"]
        values: list[str | int] = []
        for column, wanted in (("task", task), ("source", source)):
            if wanted is not None:
                conditions.append(f"{column} = ?")
                values.append(wanted)
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
                rows = connection.execute(
                    "SELECT kind, name, data FROM columns WHERE run = ? ORDER BY kind, name",
                    (number,),
                )
                run = EncodedRun(head, tuple(Column(*row) for row in rows))
                if run.fingerprint == fingerprint:
                    runs.append(run)
                else:
                    warnings.warn(
                        f"run {number} of the history {self.path} is damaged and left out",
                        DamagedHistoryWarning,
                        stacklevel=4,
                    )
            connection.execute("COMMIT")
        return runs


def _insert(connection: sqlite3.Connection, run: EncodedRun, facts: RunFacts, source: str) -> int:
    cursor = connection.execute(
        "INSERT INTO runs (fingerprint, task, status, max_steps, seed, head, source, added_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (fingerprint) DO NOTHING",
        (
            run.fingerprint,
            facts.task,
            facts.status,
            facts.max_steps,
            facts.seed,
            run.head,
            source,
            time.time(),
        ),
    )
    if cursor.rowcount == 0:
        return 0
    number = cursor.lastrowid
    connection.executemany(
        "INSERT INTO columns (run, kind, name, data) VALUES (?, ?, ?, ?)",
        [(number, *column) for column in run.columns],
    )
    connection.executemany(
        "INSERT INTO final (run, metric, value) VALUES (?, ?, ?)",
        [(number, metric, value) for metric, value in facts.final.items()],
    )
    return 1


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; takes the write lock at once, so that two writers queue up."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _damage(problem: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(problem)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _may_be_ours(path: Path) -> bool:
    """Whether an unreadable file was a database: a person's text file is not renamed."""
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
    return magic == _MAGIC or path.suffix in _DATABASE_SUFFIXES or Path(f"{path}-wal").exists()
