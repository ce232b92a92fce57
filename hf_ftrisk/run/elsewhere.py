"""A pre-flight in a process of its own: the program is loaded anew there and trains a little.

For what cannot be put back (DeepSpeed, FSDP, optimizers that step inside backward). The process
that asks is not touched; what the other needed is free again before the run starts. What the other
does is in `hf_ftrisk.run.followed`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hf_ftrisk.errors import PreflightArgumentError, PreflightError
from hf_ftrisk.failopen import fault_of
from hf_ftrisk.goal import Goal
from hf_ftrisk.jsonfile import read_json
from hf_ftrisk.report import RiskReport
from hf_ftrisk.run.options import RunOptions
from hf_ftrisk.run.orders import Orders, followed_environment
from hf_ftrisk.trainers.interrupts import terminations_unwound
from hf_ftrisk.trainers.ranks import Ranks, SharedWord

_LAST_WORDS = 600
# How often the others are asked whether one of them failed, and how long a process is left after
# that to end by itself, seconds.
_ASKED_EVERY = 1.0
_GRACE = 10.0
# Nothing that the other process trains belongs on a tracker.
_QUIET = {"WANDB_MODE": "disabled"}


def probe_elsewhere(
    command: Sequence[str], options: RunOptions, goal: Goal, ranks: Ranks
) -> RiskReport:
    """The report of a pre-flight in another process; of as many as train together.

    Args:
        command: starts the program anew.
        options: what the pre-flight is asked to do.
        goal: what the run is judged by.
        ranks: the processes that train together; each starts one.

    Raises:
        PreflightArgumentError: the evaluations do not report the goal's metric.
        PreflightError: the program failed there, for one of the ranks at least.
    """
    port = ranks.from_main(_free_port())
    failed = SharedWord(ranks, f"elsewhere/{port}")
    with (
        terminations_unwound(),
        tempfile.TemporaryDirectory(prefix="hf_ftrisk_", ignore_cleanup_errors=True) as name,
    ):
        folder = Path(name)
        question = replace(options.for_elsewhere(), goals=(goal,))
        environment = followed_environment(os.environ, Orders(question, folder, probes=True))
        environment |= _QUIET
        if "MASTER_PORT" in environment:
            # A group of their own, beside the one that waits.
            environment |= {"MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "False"}
        log = folder / "log"
        error = fault_of(_run, command, environment, log, failed)
        reply: dict[str, Any] = {"fault": str(error)}
        if error is None:
            reply = _reply(folder, log)
        # All find that a metric is missing; another fault may be one rank's alone.
        if "fault" in reply and "reported" not in reply and failed.found() is None:
            failed.leave(reply["fault"])
    reply = ranks.from_main(reply)
    word = ranks.from_main(failed.found())
    if "report" in reply:
        return RiskReport.from_dict(reply["report"])
    if "reported" in reply:
        wrong = PreflightArgumentError(reply["fault"])
        wrong.reported = tuple(reply["reported"])
        raise wrong
    fault = word or reply["fault"]
    raise PreflightError(f"the program failed in the process that probes it: {fault}")


def _run(
    command: Sequence[str], environment: dict[str, str], log: Path, failed: SharedWord
) -> None:
    """Until the process has ended; it is ended where another rank's has failed.

    Those that train together wait for one another, up to a half hour for one that is gone.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while not _ended(process, _ASKED_EVERY):
                if failed.found() is not None:
                    _ended(process, _GRACE)
                    break
        finally:  # Ctrl-C and SIGTERM: no probe outlives who asked for it
            if process.poll() is None:
                process.kill()
                process.wait()


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _reply(folder: Path, log: Path) -> dict[str, Any]:
    file = folder / "reply.json"
    if file.is_file():
        reply: dict[str, Any] = read_json(file)
        return reply
    words = log.read_text(encoding="utf-8", errors="replace").strip()
    return {"fault": words[-_LAST_WORDS:] or "it reached no training"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
