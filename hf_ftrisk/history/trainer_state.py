"""Runs from the files every Trainer leaves: trainer_state.json, one by one or by the folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.state_file import STATE_FILE


class StatesRead(NamedTuple):
    """What was found.

    Args:
        records: (file name below the searched folder, completed run).
        refused: (file name, reason) of what is no completed run.
    """

    records: tuple[tuple[str, RunRecord], ...]
    refused: tuple[tuple[str, str], ...]


def has_states(path: str | os.PathLike[str]) -> bool:
    """False for a folder without a ``trainer_state.json`` in it or below it."""
    root = Path(path)
    return not root.is_dir() or any(root.rglob(STATE_FILE))


def read_states(path: str | os.PathLike[str], *, task: str | None = None) -> StatesRead:
    """Completed runs in a file, a checkpoint or everything below a folder.

    A run's folder often holds several checkpoints, each with the history so far: only the last
    one of a folder is read.

    Raises:
        FileNotFoundError: no such file or folder.
    """
    root = Path(path)
    if not root.exists():
        raise FileNotFoundError(f"no such file or folder: {root}")
    base = root if root.is_dir() else root.parent
    records: list[tuple[str, RunRecord]] = []
    refused: list[tuple[str, str]] = []
    for files in _runs(root).values():
        best: tuple[int, str, RunRecord] | None = None
        for file in files:
            name = file.relative_to(base).as_posix()
            try:
                record = RunRecord.from_trainer_state(file, task=task)
            except (ValueError, TypeError, OSError) as error:
                refused.append((name, str(error).replace(str(file), name)))
                continue
            if best is None or record.last_step >= best[0]:
                best = (record.last_step, name, record)
        if best is None:
            continue
        _, name, record = best
        if record.status == "running":
            refused.append((name, f"ends at step {record.last_step} of {record.max_steps}"))
        else:
            records.append((name, record))
    return StatesRead(tuple(records), tuple(refused))


def _runs(root: Path) -> dict[Path, list[Path]]:
    """Folder of a run -> its state files: those of its checkpoints and its own."""
    files = sorted(root.rglob(STATE_FILE)) if root.is_dir() else [root]
    runs: dict[Path, list[Path]] = {}
    for file in files:
        folder = file.parent
        run = folder.parent if folder.name.startswith("checkpoint-") else folder
        runs.setdefault(run, []).append(file)
    return runs
