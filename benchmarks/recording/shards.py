"""Where recorded runs lie: one shard file per run while recording, one packaged file after."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from hf_ftrisk.reference import table
from hf_ftrisk.reference.packaged import RUNS_FILE
from hf_ftrisk.reference.table import RecordedRun

SIZE_LIMIT = 3_000_000


def shard_file(folder: Path, run_id: str) -> Path:
    """Where the shard of a run lies."""
    return folder / f"{run_id}.parquet"


def write_shard(runs: Sequence[RecordedRun], folder: Path) -> Path:
    """One run, with its probes, as one file; an interruption leaves no half of it behind."""
    folder.mkdir(parents=True, exist_ok=True)
    file = shard_file(folder, runs[0].run_id)
    table.write_runs(runs, file)
    return file


def recorded_ids(folder: Path, packaged: Path = RUNS_FILE) -> set[str]:
    """Ids of the runs that are recorded already, in shards or in the packaged file."""
    ids = {file.stem for file in folder.glob("*.parquet")}
    if packaged.is_file():
        ids.update(pq.read_table(packaged, columns=["run_id"])["run_id"].to_pylist())
    return ids


def read_runs(files: Iterable[Path]) -> list[RecordedRun]:
    """All runs of these files, the later file's where an id comes twice."""
    runs: dict[str, RecordedRun] = {}
    for file in files:
        runs.update((run.run_id, run) for run in table.read_runs(file))
    return list(runs.values())


def merge(folder: Path, order: list[str], packaged: Path = RUNS_FILE) -> list[RecordedRun]:
    """Put packaged runs and shards together into `packaged`, in the plan's order.

    Args:
        folder: folder of the shards.
        order: run ids in the plan's order; runs that are no longer planned come last.
        packaged: the file to read first and to write.

    Raises:
        ValueError: the file would be larger than what the package may carry.
    """
    existing = [packaged] if packaged.is_file() else []
    place = {run_id: i for i, run_id in enumerate(order)}
    runs = read_runs([*existing, *sorted(folder.glob("*.parquet"))])
    runs.sort(key=lambda run: (place.get(run.run_id, len(order)), run.run_id))
    staged = packaged.with_suffix(".merged")
    table.write_runs(runs, staged)
    if staged.stat().st_size > SIZE_LIMIT:
        size = staged.stat().st_size
        staged.unlink()
        raise ValueError(f"{len(runs)} runs take {size} bytes, the limit is {SIZE_LIMIT}")
    os.replace(staged, packaged)
    return runs
