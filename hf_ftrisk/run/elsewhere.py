"""A pre-flight in a process of its own: the program is loaded anew there and trains a little.

For what cannot be put back (DeepSpeed, FSDP, optimizers that step inside backward). The process
that asks is not touched; what the other needed is free again before the run starts.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hf_ftrisk.atomic import write_atomically
from hf_ftrisk.errors import PreflightArgumentError, PreflightError
from hf_ftrisk.failopen import fault_of
from hf_ftrisk.goal import Goal
from hf_ftrisk.jsonfile import read_json
from hf_ftrisk.probing.options import Options
from hf_ftrisk.report import RiskReport
from hf_ftrisk.run.options import Refusal, RunOptions
from hf_ftrisk.run.orders import Orders, followed_environment
from hf_ftrisk.trainers.ranks import Ranks

_LAST_WORDS = 600
# Nothing that the other process trains belongs on a tracker.
_QUIET = {"WANDB_MODE": "disabled", "MLFLOW_TRACKING_URI": "", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


class Done(Refusal):
    """The probe is made: the rest of the program is not wanted."""

    status = 0


# --- the process that asks -----------------------------------------------------------------------


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
        asked = replace(options.for_elsewhere(), goals=(goal,))
        environment = followed_environment(os.environ, Orders(asked, folder, probes=True))
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
    raise PreflightError(f"the program failed in a process of its own: {reply['fault']}")


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
    return {"fault": words[-_LAST_WORDS:] or "it came to no training"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- the process that is asked -------------------------------------------------------------------


def answer(orders: Orders, original: Any, trainer: Any) -> None:
    """Make the probe with the program's first training, and leave the program.

    Raises:
        Done: always.
    """
    from hf_ftrisk.history.given import history_of
    from hf_ftrisk.policy import rule_maker
    from hf_ftrisk.probing.live import preflight_by_training
    from hf_ftrisk.run.script import leave_process_group

    options = orders.options
    reply: dict[str, Any] = {}

    def work() -> None:
        asked = Options(
            goal=options.goals[0],
            budget=options.budget,
            seeds=1,
            history=history_of(options.open_history()),
            make_rule=rule_maker(options.rule),
        )
        scratch = str(orders.folder / "out")
        reply["report"] = preflight_by_training(trainer, original, asked, scratch).to_dict()

    fault = fault_of(work)
    if fault is not None:
        reply["fault"] = f"{type(fault).__name__}: {fault}"
    if isinstance(fault, PreflightArgumentError):
        reply |= {"fault": str(fault), "reported": list(fault.reported)}
    write_atomically(orders.folder / "reply.json", json.dumps(reply).encode())
    leave_process_group()
    raise Done
