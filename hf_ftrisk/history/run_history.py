"""Completed runs on disk, the ground every calibration stands on.

`RunHistory` keeps runs in one SQLite file; many processes and threads may add at once. It stores
records and knows nothing of forecasts. Runs come and go as Parquet, on disk or as a Hub dataset.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hf_ftrisk.atomic import write_atomically
from hf_ftrisk.errors import DamagedHistoryWarning, HistoryError
from hf_ftrisk.goal import Goal
from hf_ftrisk.history.encoding import EncodedRun, decode, encode, shared_form
from hf_ftrisk.history.storage import RunFacts, Storage
from hf_ftrisk.history.trainer_state import read_states
from hf_ftrisk.jsonfile import read_bytes
from hf_ftrisk.record import RunRecord

if TYPE_CHECKING:
    from hf_ftrisk.history.sharing import Pushed

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
        wait: seconds that another process may hold it locked; None: a minute.

    A file that this user may read but not write, in another user's folder say, is read as it is.

    Raises:
        HistoryError: no regular file, another application's database, a file that a newer release
            wrote, or that somebody has held locked for as long as that. A damaged history is
            renamed, reported with a `DamagedHistoryWarning`, and a new one begun; a damaged run is
            left out, with such a warning.

    Examples:
        >>> history = RunHistory("runs.db")
        >>> len(history.add(record).records(task="sst2", metric="eval_accuracy"))
        1
    """

    def __init__(self, path: str | os.PathLike[str], *, wait: float | None = None) -> None:
        self._storage = Storage(path, wait)

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
        self,
        task: str | None = None,
        metric: str | None = None,
        source: str | None = None,
        latest: int | None = None,
    ) -> tuple[RunRecord, ...]:
        """Stored runs, in the order they were added.

        Args:
            task: only runs of this task.
            metric: only runs that evaluated this metric or hold its final value; ``accuracy``
                and ``eval_accuracy`` are the same.
            source: only runs from there (``""``: recorded here).
            latest: of these at most so many, the ones added last; None: all.
        """
        name = _full_name(metric)
        runs = self._storage.read(task=task, metric=name, source=source, latest=latest)
        return tuple(record for _, record in self._whole(runs))

    def counts(self) -> dict[tuple[str | None, str], int]:
        """(task, source) -> number of runs, in the order they were first added."""
        return dict(Counter(self._storage.origins()))

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

        Returns:
            How many were added, known or refused; all three are 0 for a folder without a run.

        Raises:
            FileNotFoundError: no such file or folder.
        """
        states = read_states(path, task=task)
        n_added = sum(self.add_all([record], source=name) for name, record in states.records)
        return ImportSummary(n_added, len(states.records) - n_added, states.refused)

    # --- Parquet and the Hub -----------------------------------------------------------------

    def export_parquet(
        self, path: str | os.PathLike[str], *, task: str | None = None, metric: str | None = None
    ) -> int:
        """Write runs to a Parquet file, as they are: nothing is left out of them.

        Args:
            path: the file; replaced atomically when it exists.
            task: only runs of this task.
            metric: only runs with this metric.

        Returns:
            Number of runs written.
        """
        from hf_ftrisk.history.parquet import to_parquet

        rows = self._storage.read(task=task, metric=_full_name(metric))
        runs = [run for run, _ in self._whole(rows)]
        write_atomically(Path(path), to_parquet(runs))
        return len(runs)

    def import_parquet(self, path: str | os.PathLike[str]) -> ImportSummary:
        """Add the runs of a Parquet file that `export_parquet` wrote; each one is checked.

        Raises:
            FileNotFoundError: no such file.
            HistoryError: no Parquet file of runs, or one of a newer format.
        """
        from hf_ftrisk.history.apart import read_apart

        file = Path(path)
        table = read_apart(_content(file))
        refused = tuple((f"{file.name}, row {row}", reason) for row, reason in table.refused)
        return self._take(table.records, file.name, refused)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        task: str | None = None,
        metric: str | None = None,
        create_pr: bool = False,
        dry_run: bool = False,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
    ) -> Pushed:
        """Add these runs to a Hub dataset: new Parquet files, and its card.

        Runs that the dataset has already are not sent again, and nothing in it is changed or
        removed but the card's own section. Runs that were pulled from a dataset are not passed
        on. What leaves the machine is the cleaned run: no paths, no names, only settings
        that are declared as shared (`hf_ftrisk.record.settings`).

        Args:
            repo_id: ``owner/name`` of the dataset.
            task: only runs of this task.
            metric: only runs with this metric.
            create_pr: open a pull request instead of committing.
            dry_run: read and compare, send nothing.
            token: None for the stored one.
            revision: branch; None for main.
            private: None: the dataset must exist. True or False: created with this visibility if
                it does not.

        Raises:
            HubError: offline, a refused token, no such dataset, a failing Hub.
            CardError: a dataset card whose front matter is broken.
        """
        # huggingface_hub's client loads only when something is sent.
        from hf_ftrisk.history.sharing import push_runs

        runs = self._storage.read(task=task, metric=_full_name(metric), pulled=False)
        return push_runs(
            [run for run, _ in self._whole(runs)],
            repo_id,
            create_pr=create_pr,
            dry_run=dry_run,
            token=token,
            revision=revision,
            private=private,
        )

    def pull(
        self, repo_id: str, *, token: str | None = None, revision: str | None = None
    ) -> ImportSummary:
        """Add the runs of a Hub dataset that `push_to_hub` filled; each one is checked.

        Runs of this history that were pushed there do not come back as other runs.

        Args:
            repo_id: ``owner/name`` of the dataset.
            token: None for the stored one.
            revision: branch, tag or commit; None for main.

        Raises:
            HubError: offline, a refused token, no such dataset, a failing Hub.
        """
        from hf_ftrisk.history.sharing import pull_runs

        pulled = pull_runs(repo_id, token=token, revision=revision)
        return self._take(pulled.records, pulled.source, pulled.refused)

    def _take(
        self,
        records: Iterable[RunRecord],
        source: str,
        refused: tuple[tuple[str, str], ...],
    ) -> ImportSummary:
        """Add checked records that are not here yet, in their own or in their shared form."""
        mine = self._whole(self._storage.read(pulled=False))
        fingerprints = {shared_form(run).fingerprint for run, _ in mine}
        new: list[RunRecord] = []
        odd: list[tuple[str, str]] = []
        n_records = 0
        for record in records:
            try:
                fingerprint = encode(record).fingerprint
                _facts(record)
            except ValueError as error:
                odd.append((source, str(error)))
                continue
            n_records += 1
            if fingerprint not in fingerprints:
                new.append(record)
        n_added = self.add_all(new, source=source)
        return ImportSummary(n_added, n_records - n_added, (*refused, *odd))

    def _whole(self, runs: Iterable[EncodedRun]) -> Iterator[tuple[EncodedRun, RunRecord]]:
        """Stored runs with the records they hold; one that holds none is told and left out."""
        for run in runs:
            try:
                yield run, decode(run)
            except ValueError as error:
                warnings.warn(
                    f"a run of the history {self.path} is left out: {error}",
                    DamagedHistoryWarning,
                    stacklevel=3,
                )


def _content(file: Path) -> bytes:
    try:
        return read_bytes(file)
    except ValueError as error:
        raise HistoryError(f"no Parquet file of runs: {error}") from None


def _full_name(metric: str | None) -> str | None:
    return metric if metric is None or metric.startswith("eval_") else f"eval_{metric}"


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
