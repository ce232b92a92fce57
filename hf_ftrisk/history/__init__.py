"""Completed runs on disk, the ground every calibration stands on.

`RunHistory` keeps runs in one SQLite file; many processes and threads may add at once. It stores
records and knows nothing of forecasts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hf_ftrisk.goal import Goal
from hf_ftrisk.history.encoding import decode, encode
from hf_ftrisk.history.errors import DamagedHistoryWarning, HistoryError
from hf_ftrisk.history.storage import RunFacts, Storage
from hf_ftrisk.history.trainer_state import read_states
from hf_ftrisk.record import RunRecord

__all__ = ["DamagedHistoryWarning", "HistoryError", "ImportSummary", "RunHistory"]


@dataclass(frozen=True)
class ImportSummary:
    """What an import did.

    Args:
        added: runs that are new in the history.
        known: runs that were there already.
        refused: (where, why) of what could not be taken.
    """

    added: int
    known: int
    refused: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.added} added", f"{self.known} known already"]
        if self.refused:
            parts.append(f"{len(self.refused)} refused")
        return ", ".join(parts)


class RunHistory:
    """Completed runs in one SQLite file.

    Args:
        path: the file; created, with its folder, when missing.

    Raises:
        HistoryError: a folder, another application's database, or a file that a newer release
            wrote. A damaged history is renamed, reported with a `DamagedHistoryWarning`, and a
            new one begun.

    Example:
        >>> history = RunHistory("runs.db")
        >>> history.add(record).records(task="sst2", metric="eval_accuracy")
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._storage = Storage(path)

    @property
    def path(self) -> Path:
        """The history's file."""
        return self._storage.path

    def add(self, record: RunRecord) -> RunHistory:
        """Store one completed run; the same run twice is stored once.

        Returns:
            The history itself, for chaining.

        Raises:
            HistoryError: a run that is still running, or settings that are no JSON.
        """
        self.add_all([record])
        return self

    def add_all(self, records: Iterable[RunRecord], *, source: str = "") -> int:
        """Store completed runs in one transaction: all of them, or none when one is refused.

        Args:
            records: the runs.
            source: where they came from, kept beside them.

        Returns:
            Number of runs that were new.

        Raises:
            HistoryError: a run that is still running, or settings that are no JSON.
        """
        return self._storage.add_all([(encode(r), _facts(r)) for r in records], source)

    def records(
        self, task: str | None = None, metric: str | None = None, source: str | None = None
    ) -> tuple[RunRecord, ...]:
        """Stored runs, in the order they were added.

        Args:
            task: only runs of this task.
            metric: only runs that evaluated this metric or hold its final value; ``accuracy``
                and ``eval_accuracy`` are the same.
            source: only runs from there (``""``: recorded here).
        """
        if metric is not None and not metric.startswith("eval_"):
            metric = f"eval_{metric}"
        runs = self._storage.read(task=task, metric=metric, source=source)
        return tuple(decode(run) for run in runs)

    def __iter__(self) -> Iterator[RunRecord]:
        return iter(self.records())

    def __len__(self) -> int:
        return self._storage.count()

    def __repr__(self) -> str:
        return f"RunHistory({str(self.path)!r})"

    def import_trainer_states(
        self, path: str | os.PathLike[str], *, task: str | None = None
    ) -> ImportSummary:
        """Add runs from Trainer's own files.

        Args:
            path: a ``trainer_state.json``, a checkpoint, or a folder searched with everything
                below it; of the checkpoints of one run the last is taken.
            task: name under which these runs are comparable; None: left open.

        Raises:
            FileNotFoundError: no such file or folder.
        """
        states = read_states(path, task=task)
        added = sum(self.add_all([record], source=name) for name, record in states.records)
        return ImportSummary(added, len(states.records) - added, states.refused)


def _facts(record: RunRecord) -> RunFacts:
    if record.status == "running":
        raise HistoryError(
            f"a history holds completed runs; this one is running at step {record.last_step} of "
            f"{record.max_steps}. Add it when it has finished or was stopped."
        )
    final = {
        Goal(name, greater_is_better=True, kind="real").metric: float(value)
        for name, value in record.final.items()
    }
    return RunFacts(record.task, record.status, record.max_steps, record.seed, final)
