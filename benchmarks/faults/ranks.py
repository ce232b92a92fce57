"""One of two ranks killed, and what the other one makes of it."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.faults.cases import ROOT, Outcome
from hf_ftrisk.trainers.ranks import WENT_AWAY

# What a rank is at -> for how many seconds of it, or so.
MOMENTS = {"preflight": 3.0, "look 5": 0.2, "look 10": 0.1, "stop": 0.1, "report": 0.5}
# Within which the other rank has ended, and said why (docs/preflight.md).
BOUND = 60.0


def killed_ranks(rng: random.Random, cases: int) -> Outcome:
    """One of two ranks killed at a random moment: the other ends soon, with the reason."""
    outcome = Outcome(cases)
    for case in range(cases):
        moment = list(MOMENTS)[case % len(MOMENTS)]
        victim, later = rng.randrange(2), rng.uniform(0.0, MOMENTS[moment])
        seconds, output = one_killed(moment, victim, later)
        where = f"rank {victim} killed {later:.2f} s after it began: {moment}"
        if seconds is None:
            outcome.lost.append(f"{where}: the other hangs: {output}")
        elif WENT_AWAY.split(":")[0] not in output:
            outcome.lost.append(f"{where}: the other says only: {output[-400:]}")
        else:
            outcome.became[_in_words(seconds)] += 1
    return outcome


def _in_words(seconds: float) -> str:
    within = next(limit for limit in (10, 20, 30, BOUND) if seconds <= limit)
    return f"ended in {within:.0f} s, told why"


def one_killed(moment: str, victim: int, later: float) -> tuple[float | None, str]:
    """Kill one of two ranks.

    Args:
        moment: what it is at, one of `MOMENTS`.
        victim: which rank is killed.
        later: seconds after that began.

    Returns:
        Seconds until the other rank ended, None if it did not; what it said on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        ranks = [_start(Path(folder), rank, port, heard=rank == victim) for rank in (0, 1)]
        try:
            output = ranks[victim].stdout
            assert output is not None
            for line in output:
                if line.strip() == moment:
                    break
            time.sleep(later)
            ranks[victim].kill()
            killed = time.monotonic()
            try:
                ranks[1 - victim].wait(BOUND)
                seconds = time.monotonic() - killed
            except subprocess.TimeoutExpired:
                seconds = None
                ranks[1 - victim].send_signal(signal.SIGABRT)
                time.sleep(1.0)
        finally:
            for rank in ranks:
                rank.kill()
                rank.communicate()
        return seconds, (Path(folder) / f"stderr{1 - victim}").read_text(errors="replace")


def _start(folder: Path, rank: int, port: int, *, heard: bool) -> subprocess.Popen[str]:
    distributed = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    with (folder / f"stderr{rank}").open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.faults.ranked", str(folder)],
            cwd=ROOT,
            env=os.environ
            | {name: str(value) for name, value in distributed.items()}
            | {"MASTER_ADDR": "127.0.0.1", "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
            | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE if heard else subprocess.DEVNULL,
            stderr=errors,
            text=True,
        )


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
