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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.cases import ROOT, Outcome
from hf_ftrisk.trainers.ranks import WENT_AWAY

# What a rank is at -> for how many seconds of it, or so.
MOMENTS = {"preflight": 3.0, "look 5": 0.2, "look 10": 0.1, "stop": 0.1, "report": 0.5}
# Within which the other rank has ended, and said why (docs/guides/many-processes.md): seconds in
# which it ran or waited for something. Those in which it could have run and the machine's cores had
# other work are not counted: what frees a process's memory at its end takes 1.6 s of a core.
BOUND = 60.0
# After which a rank is called hanging, whatever it had to wait for.
_HANGS = 600.0


@dataclass(frozen=True)
class Survivor:
    """What became of the rank that was not killed.

    Args:
        seconds: until it ended; None if it did not.
        queued: seconds of these in which it was ready to run and was given no core.
        output: on standard error.
    """

    seconds: float | None
    queued: float
    output: str

    @property
    def own_seconds(self) -> float | None:
        """Seconds until it ended, without those in which it was given no core."""
        return None if self.seconds is None else self.seconds - self.queued


def killed_ranks(rng: random.Random, cases: int) -> Outcome:
    """One of two ranks killed at a random moment: the other ends soon, with the reason."""
    outcome = Outcome(cases)
    for case in range(cases):
        moment = list(MOMENTS)[case % len(MOMENTS)]
        victim, later = rng.randrange(2), rng.uniform(0.0, MOMENTS[moment])
        survivor = one_killed(moment, victim, later)
        where = f"rank {victim} killed {later:.2f} s after it began: {moment}"
        own = survivor.own_seconds
        if own is None or own > BOUND:
            took = "hangs" if own is None else f"took {own:.0f} s"
            outcome.lost.append(f"{where}: the other {took}: {survivor.output}")
        elif WENT_AWAY.split(":")[0] not in survivor.output:
            outcome.lost.append(f"{where}: the other says only: {survivor.output[-400:]}")
        else:
            outcome.became[_in_words(own)] += 1
    return outcome


def _in_words(seconds: float) -> str:
    within = next(limit for limit in (10, 20, 30, BOUND) if seconds <= limit)
    return f"ended in {within:.0f} s, told why"


def one_killed(moment: str, victim: int, later: float) -> Survivor:
    """Kill one of two ranks, and see what becomes of the other.

    Args:
        moment: what it is at, one of `MOMENTS`.
        victim: which rank is killed.
        later: seconds after that began.
    """
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        ranks = [_start(Path(folder), rank, port, heard=rank == victim) for rank in (0, 1)]
        try:
            heard = ranks[victim].stdout
            assert heard is not None
            for line in heard:
                if line.strip() == moment:
                    break
            time.sleep(later)
            seconds, queued = _until_ended(ranks[1 - victim], ranks[victim])
            if seconds is None:
                ranks[1 - victim].send_signal(signal.SIGABRT)
                time.sleep(1.0)
        finally:
            for rank in ranks:
                rank.kill()
                rank.communicate()
        output = (Path(folder) / f"stderr{1 - victim}").read_text(errors="replace")
        return Survivor(seconds, queued, output)


def _until_ended(
    other: subprocess.Popen[str], victim: subprocess.Popen[str]
) -> tuple[float | None, float]:
    """Seconds from the victim's end to the other's, None if it hangs; those of them in a queue."""
    before = after = _queued(other.pid)
    victim.kill()
    killed = time.monotonic()
    while time.monotonic() - killed < _HANGS:
        with suppress(subprocess.TimeoutExpired):
            other.wait(0.05)
            return time.monotonic() - killed, after - before
        after = max(after, _queued(other.pid))
    return None, after - before


def _queued(process: int) -> float:
    """Seconds in which a process's main thread has waited for a core; 0 where nobody counts them.

    https://docs.kernel.org/scheduler/sched-stats.html
    """
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


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
