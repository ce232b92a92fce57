"""A stranger's Parquet file, read in a process of its own.

The library that reads Parquet is C++: over a damaged file it has been seen to end the process, and
no bound on what it allocates holds against every file. So it runs apart, with bounds on memory and
time and without this process's secrets; what comes back is plain bytes, checked once more here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from hf_ftrisk.errors import HistoryError
from hf_ftrisk.history.encoding import Column, EncodedRun
from hf_ftrisk.history.parquet import RunsRead, checked, index_of, rows_of

MAX_SECONDS = 300
MAX_MEMORY_BYTES = 6 << 30
# What the other process needs of the environment; no token is among it.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")


def read_apart(content: bytes) -> RunsRead:
    """Runs of a Parquet file that may come from anybody; each one is checked.

    Raises:
        HistoryError: no Parquet, another table, a newer format, too large a file, or one that its
            reader did not survive.
    """
    answer = _answer("rows", content)
    return checked(_unframed(answer))


def index_apart(content: bytes) -> dict[str, str | None]:
    """Fingerprint -> task of the runs in a file, without their trajectories.

    Raises:
        HistoryError: as `read_apart`.
    """
    index = json.loads(_answer("index", content))
    return {str(name): task for name, task in index.items()}


def _answer(what: str, content: bytes) -> bytes:
    if not sys.executable:
        raise HistoryError(
            "a Parquet file is read in a Python process of its own, and no interpreter is known"
        )
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")},
    }
    code = "from hf_ftrisk.history.apart import main; main()"
    try:
        process = subprocess.run(
            [sys.executable, "-c", code, what],
            input=content,
            capture_output=True,
            timeout=MAX_SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HistoryError(f"not readable within {MAX_SECONDS} s") from None
    if process.returncode == 0:
        return process.stdout
    if process.returncode == _REFUSED:
        raise HistoryError(process.stdout.decode(errors="replace"))
    raise HistoryError("not a readable Parquet file: its reader crashed")


# --- the other process -----------------------------------------------------------------------

_REFUSED = 3


def main() -> None:
    """Read a file from standard input; write what it holds, or why it was refused."""
    _bound()
    content = sys.stdin.buffer.read()
    out = sys.stdout.buffer
    try:
        if sys.argv[1] == "index":
            out.write(json.dumps(index_of(content)).encode())
        else:
            for run in rows_of(content):
                out.writelines(_framed(run))
    except HistoryError as error:
        out.write(str(error).encode(errors="replace"))
        out.flush()
        sys.exit(_REFUSED)


def _bound() -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))


def _framed(answer: EncodedRun | str) -> Iterator[bytes]:
    """A line of JSON, and after it the bytes of the columns it names."""
    if isinstance(answer, str):
        yield json.dumps({"refused": answer}).encode() + b"\n"
        return
    columns = [(column.kind, column.name, len(column.values)) for column in answer.columns]
    yield json.dumps({"head": answer.head, "columns": columns}).encode() + b"\n"
    for column in answer.columns:
        yield column.values


def _unframed(answer: bytes) -> Iterator[EncodedRun | str]:
    at = 0
    while at < len(answer):
        end = answer.index(b"\n", at)
        line: dict[str, Any] = json.loads(answer[at:end])
        at = end + 1
        if "refused" in line:
            yield str(line["refused"])
            continue
        columns = []
        for kind, name, length in line["columns"]:
            columns.append(Column(kind, name, answer[at : at + length]))
            at += length
        yield EncodedRun(line["head"], tuple(columns))
