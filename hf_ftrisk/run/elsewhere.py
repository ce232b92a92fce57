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
from hf_ftrisk.goal import Goal
from hf_ftrisk.jsonfile import read_json
from hf_ftrisk.report import RiskReport
from hf_ftrisk.run.options import RunOptions
from hf_ftrisk.run.orders import Orders, followed_environment
from hf_ftrisk.trainers.ranks import Ranks

_LAST_WORDS = 600
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
        PreflightError: the program failed there.
    """
    port = ranks.from_main(_free_port())
    with tempfile.TemporaryDirectory(prefix="hf_ftrisk_", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        question = replace(options.for_elsewhere(), goals=(goal,))
        environment = followed_environment(os.environ, Orders(question, folder, probes=True))
        environment |= _QUIET
        if "MASTER_PORT" in environment:
            # A group of their own, beside the one that waits.
            environment |= {"MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "False"}
        log = folder / "log"
        _run(command, environment, log)
        reply = _reply(folder, log)
    reply = ranks.from_main(reply)
    if "report" in reply:
        return RiskReport.from_dict(reply["report"])
    if "reported" in reply:
        wrong = PreflightArgumentError(reply["fault"])
        wrong.reported = tuple(reply["reported"])
        raise wrong
    raise PreflightError(f"the program failed in the process that probes it: {reply['fault']}")


def _run(command: Sequence[str], environment: dict[str, str], log: Path) -> None:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            process.wait()
        finally:  # Ctrl-C: no probe outlives who asked for it
            if process.poll() is None:
                process.kill()
                process.wait()


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
