"""Which files of a folder are runs to replay."""

from __future__ import annotations

import math
from pathlib import Path

from hf_ftrisk.record.other_logs import EVENT_MARK
from hf_ftrisk.record.state_file import STATE_FILE


def find_states(path: Path) -> list[Path]:
    """State files below a folder, the latest of each run; a file is itself.

    A run's folder holds one file for every checkpoint, each with the history so far. At the top of
    a folder that is not itself a run's, JSON files of other names count too, as do CSV files: what
    is no run is told when it is read. TensorBoard event files count where a run has no state file.

    Raises:
        FileNotFoundError: no such file or folder.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    if path.is_file():
        return [path]
    runs: dict[Path, Path] = {}
    for file in sorted(path.rglob("*.json")):
        if file.name != STATE_FILE:
            if file.parent == path:
                runs[file] = file
            continue
        checkpoint = file.parent.name.startswith("checkpoint-") and file.parent != path
        run = file.parent.parent if checkpoint else file.parent
        if run not in runs or _checkpoint_step(file) > _checkpoint_step(runs[run]):
            runs[run] = file
    if path in runs:  # its own: what else lies beside the state, such as config.json, is no run
        runs = {run: file for run, file in runs.items() if file.name == STATE_FILE}
    else:
        runs.update((file, file) for file in path.glob("*.csv"))
    for file in sorted(path.rglob(f"*{EVENT_MARK}*")):
        if not any(parent in runs for parent in file.parents):
            runs[file.parent] = file
    return sorted(runs.values())


def _checkpoint_step(file: Path) -> float:
    """Step in the name of a checkpoint's folder; what lies above all checkpoints is the latest."""
    tail = file.parent.name.removeprefix("checkpoint-")
    return float(tail) if tail.isdigit() else math.inf
