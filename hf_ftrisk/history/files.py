"""What a history's file may be, who may write to it, and who is writing to it just now."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from hf_ftrisk.errors import HistoryError

LOCK_SECONDS = 60.0
# Of 255 that file systems allow; what lies beside the file has longer names.
_LONGEST_NAME = 200
# File systems that several machines mount at once: SQLite's write-ahead log needs memory that all
# its users share, and so one machine. https://www.sqlite.org/wal.html
_NETWORK = ("nfs", "cifs", "smb", "afs", "lustre", "gpfs", "beegfs", "ceph", "gluster", "9p",
            "fuse.sshfs", "fuse.gcsfuse", "fuse.s3fs", "fuse.rclone", "fuse.ceph", "pvfs", "ocfs",
            "davfs", "ncpfs", "orangefs", "wekafs", "panfs", "virtiofs")  # fmt: skip
# Bytes 18 and 19 of a database: 2 where it is written through a write-ahead log.
_FORMAT_AT, _FORMAT_WAL = 18, b"\x02\x02"


def checked_path(path: str | os.PathLike[str]) -> Path:
    """The file a path leads to, links followed: a lock, a log and a copy belong beside that one.

    Raises:
        HistoryError: a path that is, or can be, no file of a history.
    """
    text = os.fspath(path)
    if text.startswith((":", "file:")):
        raise HistoryError(
            f"{text!r} is SQLite's way of naming a database; a history is a file such as runs.db"
        )
    try:
        file = Path(os.path.realpath(Path(text).expanduser()))
        if len(os.fsencode(file.name)) > _LONGEST_NAME:
            raise ValueError(f"its name has more than {_LONGEST_NAME} bytes")
        mode = file.stat().st_mode
    except FileNotFoundError:
        return file
    except (OSError, ValueError) as error:
        raise HistoryError(
            f"{_short(text)} cannot be the file of a history: {_why(error)}"
        ) from None
    if stat.S_ISDIR(mode):
        raise HistoryError(f"{file} is a folder; a history is a file such as runs.db")
    if not stat.S_ISREG(mode):
        raise HistoryError(f"{file} is a pipe, socket or device; a history is a regular file")
    return file


def is_writable(path: Path) -> bool:
    """Whether this user may change a file that exists: SQLite needs to write beside it too."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def is_on_network(path: Path) -> bool:
    """Whether the file lies where several machines may open it at once."""
    mounts = [part for part in psutil.disk_partitions(all=True) if _is_below(path, part.mountpoint)]
    if not mounts:
        return False
    # The deepest one, and of several on one point the last one, is in use.
    mount = max(enumerate(mounts), key=lambda item: (len(item[1].mountpoint), item[0]))[1]
    return mount.fstype.lower().startswith(_NETWORK) or "remote" in mount.opts.split(",")


def _is_below(path: Path, folder: str) -> bool:
    return path.is_relative_to(folder)


# --- the lock --------------------------------------------------------------------------------


@contextmanager
def locked(path: Path, seconds: float | None = None) -> Iterator[bool]:
    """Hold the lock of a history's file; yields whether it could be had at all.

    It cannot where another user's lock file may not be opened, or the file system knows no locks.

    Args:
        path: the history's file.
        seconds: how long somebody else may hold it; None: `LOCK_SECONDS`.

    Raises:
        HistoryError: somebody else holds it for too long, or it cannot be made.
    """
    name = Path(f"{path}.lock")
    seconds = LOCK_SECONDS if seconds is None else seconds
    try:
        os.close(os.open(name, os.O_RDWR | os.O_CREAT, 0o666))
        lock = FileLock(name)
        lock.acquire(timeout=seconds)
    except Timeout:
        raise HistoryError(
            f"the history {path} is locked {held_by([name])}; waited {seconds:.0f} s. Wait "
            "until that has ended, or end it; a lock goes with the process that holds it."
        ) from None
    except NotImplementedError:
        yield False
        return
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM):
            raise HistoryError(f"cannot write to {path}: {_why(error)}") from None
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def held_by(files: Iterable[Path]) -> str:
    """Which process holds a lock on one of these files, in words."""
    paths: set[str] = set()
    for file in files:
        with suppress(OSError):
            paths.add(str(file.stat().st_ino))
    holders: set[int] = set()
    with suppress(OSError):
        # "1: FLOCK  ADVISORY  WRITE 4711 08:02:131077 0 EOF"; lines with "->" only wait for one.
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if "->" not in words and len(words) > 5 and words[5].split(":")[-1] in paths:
                holders.add(int(words[4]))
    processes = [_named(pid) for pid in sorted(holders - {0, -1, os.getpid()})]
    if not processes:
        return "by another process" if os.getpid() not in holders else "by this very process"
    return f"by {' and '.join(processes)}"


def _named(pid: int) -> str:
    try:
        return f"process {pid} ({' '.join(psutil.Process(pid).cmdline())[:80]})"
    except psutil.Error:
        return f"process {pid}"


# --- reading where nothing may be written ----------------------------------------------------


@contextmanager
def open_for_reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a history in a folder where nothing may be written, and no lock be taken.

    A database that is written through a log can be read there only while a writer keeps its shared
    memory beside it. Else it is read as it lies, or from a copy where a log lies beside it.

    Raises:
        HistoryError: not readable for this user.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_FORMAT_AT + 2)
    except OSError as error:
        raise HistoryError(f"cannot read the history {path}: {_why(error)}") from None
    log = Path(f"{path}-wal")
    if header[_FORMAT_AT:] != _FORMAT_WAL:
        with closing(_connect(path, "mode=ro")) as connection:
            yield connection
    elif not log.exists() or log.stat().st_size == 0:
        with closing(_connect(path, "mode=ro&immutable=1")) as connection:
            yield connection
    elif _has_writer(path):
        with closing(_connect(path, "mode=ro")) as connection:
            yield connection
    else:
        with copied(path) as copy, closing(_connect(copy, "mode=rw")) as connection:
            yield connection


def _has_writer(path: Path) -> bool:
    """Whether a log can be read through the shared memory that a writer keeps beside it."""
    try:
        with closing(_connect(path, "mode=ro")) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        return False
    return True


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """A history, with its log, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "runs.db"
        shutil.copyfile(path, copy)
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{path}-wal", f"{copy}-wal")
        yield copy


def _connect(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?{options}", uri=True, isolation_level=None)


def _short(text: str) -> str:
    return ascii(text if len(text) <= 120 else f"{text[:100]}...")


def _why(error: Exception) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
