"""The tables of a history's database, and how older ones become today's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

# "ftrk": marks the file as ours, so that no other application's database is ever written to.
APPLICATION_ID = 0x6674726B

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


def version() -> int:
    """The schema version that this release writes."""
    return len(MIGRATIONS)


def set_up(connection: sqlite3.Connection) -> None:
    """What every connection to a history needs before anything is read."""
    # A damaged text is damage to its row, not to the file: it does not have the row's fingerprint.
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    # What a stranger wrote into the schema of a file is not run.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA foreign_keys = ON")
    # FULL: a committed run survives a power failure too, not only a killed process.
    connection.execute("PRAGMA synchronous = FULL")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to today's schema: all the way, or not at all."""
    with transaction(connection):
        # Read again inside the transaction: another process may have migrated meanwhile.
        version_here = connection.execute("PRAGMA user_version").fetchone()[0]
        for statements in MIGRATIONS[version_here:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version()}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; takes the write lock at once, so that two writers queue up."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
