"""Histories whose writers are killed, or whose bytes somebody wrote over."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.cases import Outcome, changed, run_of, started
from hf_ftrisk.errors import DamagedHistoryWarning, HistoryError
from hf_ftrisk.history import RunHistory
from hf_ftrisk.history.encoding import encode
from hf_ftrisk.history.parquet import index_of, read_parquet, to_parquet

_WRITER = """
import sys
from benchmarks.faults.cases import run_of
from hf_ftrisk.history import RunHistory
history = RunHistory(sys.argv[1])
for seed in range(int(sys.argv[2]), int(sys.argv[2]) + 100_000):
    history.add(run_of(seed))
    print(seed, flush=True)
"""


def killed_writers(rng: random.Random, cases: int) -> Outcome:
    """Two writers at once, killed at a random moment; a run is acknowledged when `add` returns."""
    outcome = Outcome(cases)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        acknowledged: set[int] = set()
        for case in range(0, cases, 2):
            writers = [started(_WRITER, path, 200_000 * (case + k)) for k in range(2)]
            first = [writer.stdout.readline() for writer in writers if writer.stdout]
            time.sleep(rng.uniform(0.0, 1.0))
            for writer in writers:
                writer.send_signal(signal.SIGKILL)
            answers = first + [
                line for writer in writers for line in writer.communicate()[0].split()
            ]
            acknowledged |= {int(line) for line in answers}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            stored = {record.seed for record in RunHistory(path)}
    outcome.became["runs acknowledged and there"] = len(acknowledged & stored)
    outcome.lost += [f"run {seed}" for seed in sorted(acknowledged - stored)]
    return outcome


def damaged_histories(rng: random.Random, cases: int) -> Outcome:
    """A history with bytes written over: read without the damaged runs, or kept and begun anew."""
    outcome = Outcome(cases)
    stored = {encode(record).fingerprint for record in map(run_of, range(6))}
    for _ in range(cases):
        with (
            tempfile.TemporaryDirectory() as folder,
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("always")
            path = Path(folder) / "runs.db"
            RunHistory(path).add_all(map(run_of, range(6)))
            content = changed(path.read_bytes(), rng)
            path.write_bytes(content)
            try:
                read = {encode(record).fingerprint for record in RunHistory(path)}
            except HistoryError:
                read = set()
            heard = any(issubclass(item.category, DamagedHistoryWarning) for item in warned)
            file_kept = any(part.read_bytes() == content for part in Path(folder).glob("runs.db*"))
            if read == stored:
                outcome.became["read whole"] += 1
            elif read <= stored and (heard or file_kept):
                outcome.became["told; the rest read" if read else "told; the file kept"] += 1
            else:
                outcome.lost.append("a run that was changed, or gone without a word")
    return outcome


def changed_parquet(rng: random.Random, cases: int) -> Outcome:
    """A Parquet file with bytes changed, read in a process of its own, as strangers' files are."""
    outcome = Outcome(cases)
    good = to_parquet(encode(run_of(seed)) for seed in range(3))
    right = {encode(run_of(seed)).fingerprint for seed in range(3)}
    for _ in range(cases):
        content = changed(good, rng)
        status = _in_a_fork(lambda content=content: _parquet_status(content, right))  # type: ignore[misc]
        if status == 8:
            outcome.lost.append("a run was taken that nobody wrote")
        elif status == 9:
            outcome.lost.append("an exception that is no refusal")
        else:
            word = "its reader ended, told" if status < 0 else "refused" if status else "read"
            outcome.became[word] += 1
    return outcome


def _parquet_status(content: bytes, right: set[str]) -> int:
    try:
        read = {encode(record).fingerprint for record in read_parquet(content).records}
        index_of(content)
    except HistoryError:
        return 1
    return 0 if read <= right else 8


def _in_a_fork(work: Callable[[], int]) -> int:
    child = os.fork()
    if child == 0:
        status = 9
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            status = work()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
