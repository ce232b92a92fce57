"""Run a command with every Trainer judged in every Python process that it starts.

A folder with a ``sitecustomize`` stands first on the processes' ``PYTHONPATH``, and what is asked
of them in an environment variable, as tracing agents do it. A process that never imports
transformers' Trainer pays nothing for it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from hf_ftrisk.errors import ScriptNotFoundError
from hf_ftrisk.run.journal import outcome_of_all, reports_of_all
from hf_ftrisk.run.options import RunOptions
from hf_ftrisk.run.orders import Orders, followed_environment
from hf_ftrisk.run.outcome import Ended, Outcome, tell_if_not_judged
from hf_ftrisk.run.terminal import say

FAILED = 1
INTERRUPTED = 130


def find_command(target: str) -> str | None:
    """The program that `target` names; None where it is a script for this interpreter.

    A file is a script unless it is executable and has no Python file's name; any other name is
    looked up on the ``PATH``, then beside this interpreter.
    """
    path = Path(target)
    if path.suffix in (".py", ".pyw"):
        return None
    if path.is_file():
        # Without a folder in it a name would be looked up on the PATH.
        return os.path.abspath(target) if os.access(target, os.X_OK) else None
    return shutil.which(target) or shutil.which(target, path=str(Path(sys.executable).parent))


def run_command(command: Sequence[str], options: RunOptions) -> Ended:
    """Run a command, and follow the processes that it starts.

    Args:
        command: the program, as `find_command` found it, and its arguments.
        options: what to put into the Trainers.

    Returns:
        What was found, and the exit status: 0 finished, 1 the command failed by itself, 2 the
        goals cannot be measured on the first Trainer or the training was done in a loop without
        one, 3 a run was refused or stopped as poor, 130 interrupted.

    Raises:
        ScriptNotFoundError: the program cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="hf_ftrisk_run_", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        environment = followed_environment(os.environ, Orders(options.for_elsewhere(), folder))
        with _passing_on() as started:
            try:
                process = subprocess.Popen(command, env=environment)
            except OSError as error:
                raise ScriptNotFoundError(f"cannot start {command[0]!r}: {error}") from error
            started(process)
            code, interrupted = _wait(process)
        outcome, trainings = outcome_of_all(folder), reports_of_all(folder)
    return Ended(INTERRUPTED if interrupted else _status(code, outcome), trainings)


def _status(code: int, outcome: Outcome) -> int:
    """The command's exit status: a refusal is ours, whatever a launcher made of it."""
    if outcome.refused is not None:
        return outcome.refused
    if code:
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        if code != FAILED:
            say(f"the command ended {how}")
        return FAILED
    tell_if_not_judged(outcome)
    return outcome.status


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, bool]:
    """The command's own status, and whether it was interrupted.

    A terminal interrupts both; so the command ends by its own rules, and by a second Ctrl-C at
    the latest it is told by us.
    """
    interrupted = False
    while True:
        try:
            return process.wait(), interrupted
        except KeyboardInterrupt:
            if interrupted:
                process.send_signal(signal.SIGINT)
            interrupted = True


@contextmanager
def _passing_on() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Pass on to the command what asks us to end; yields what to call when it has started.

    What comes before that is kept for it: ended by it, we would leave the command to itself.
    """
    processes: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if processes:
            processes[0].send_signal(number)
        else:
            early.append(number)

    def started(process: subprocess.Popen[bytes]) -> None:
        processes.append(process)
        for number in early:
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield started
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
