"""The history that is kept by default: opened when it is needed, and never in a run's way.

Nobody asked for it, so nothing about it may cost a run anything: what cannot be read is not known,
what cannot be written is not kept, either is told in a sentence, and nobody waits long for a lock.
It holds runs as they may leave the machine (`hf_ftrisk.privacy`), and its runs are compared with
those of the very same task alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from hf_ftrisk.failopen import attempt
from hf_ftrisk.history.run_history import RunHistory
from hf_ftrisk.privacy import clean_record, clean_task
from hf_ftrisk.record import RunRecord

T = TypeVar("T")

# Names another file, or with "off" none.
VARIABLE = "HF_FTRISK_HISTORY"
_WAIT_SECONDS = 2.0


def is_off(setting: str | os.PathLike[str]) -> bool:
    """Whether a history is said to be none, as the variable and every ``history`` say it."""
    return os.fspath(setting).strip().lower() == "off"


def default_file() -> Path | None:
    """Where completed runs are remembered by default; None where that is switched off."""
    setting = os.environ.get(VARIABLE, "").strip()
    if is_off(setting):
        return None
    if setting:
        return Path(setting).expanduser()
    # huggingface_hub is loaded only where the place is its own.
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "ftrisk" / "runs.db"


class Remembered:
    """Completed runs that are remembered without being asked for.

    Args:
        file: the history's file, made with the first run that is remembered.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._problems: list[str] = []

    def runs(self, task: str | None, metric: str, latest: int) -> tuple[RunRecord, ...]:
        """Runs of the very same task that evaluated a metric, at most so many of the latest.

        Args:
            task: name of the task; None: it is not known, and no run is of it.
            metric: name of the goal's metric.
            latest: how many at most.
        """
        if task is None:
            return ()
        name = _kept_name(task)
        records = self._tried(
            lambda: (
                self._open().records(task=name, metric=metric, latest=latest)
                if self.file.exists()
                else ()
            )
        )
        return tuple(replace(run, task=task) for run in records or ())

    def add(self, run: RunRecord) -> bool:
        """Remember a completed run; whether it is the first one that is."""
        name = None if run.task is None else _kept_name(run.task)
        record = replace(clean_record(run), task=name)

        def added() -> bool:
            first = not self.file.exists()
            self._open().add(record)
            return first

        return bool(self._tried(added))

    def problems(self) -> tuple[str, ...]:
        """What has gone wrong since the last call, in sentences."""
        problems, self._problems = tuple(self._problems), []
        return problems

    def _open(self) -> RunHistory:
        return RunHistory(self.file, wait=_WAIT_SECONDS)

    def _tried(self, work: Callable[[], T]) -> T | None:
        return attempt(work, lambda error: self._problems.append(_sentence(error)))


def _sentence(error: Exception) -> str:
    return f"the runs remembered by default are left out here: {error}"


def _kept_name(task: str) -> str:
    """A task's name without paths; where that took something out, tasks stay apart by a hash."""
    clean = clean_task(task)
    return task if clean == task else f"{clean} #{hashlib.sha256(task.encode()).hexdigest()[:8]}"
