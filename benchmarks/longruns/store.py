"""Where the long runs lie: a file a run while recording, packed files in the repository after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hf_ftrisk.reference import table
from hf_ftrisk.reference.packaged import LONG_RUNS_FILE
from hf_ftrisk.reference.table import RecordedRun

PACKED = Path("benchmarks/recordings")
KINDS = PACKED / "kinds"  # of tasks beyond the class of a text, apart from the long runs
SIZE_LIMIT = 4_000_000


def packed_files(folder: Path = PACKED) -> list[Path]:
    """The packed files, oldest first."""
    return sorted(folder.glob("long-*.parquet"))


def packed_ids(folder: Path = PACKED) -> set[str]:
    """Ids of the runs in the packed files."""
    return {run.run_id for file in packed_files(folder) for run in table.read_runs(file)}


def read_all(shards: Path, folder: Path = PACKED) -> dict[str, list[RecordedRun]]:
    """Run id -> the full run and its probes, from packed files and shards; shards win."""
    files = [*packed_files(folder), *sorted(shards.glob("*.parquet"))]
    by_id: dict[str, list[RecordedRun]] = {}
    for file in files:
        in_file: dict[str, list[RecordedRun]] = {}
        for run in table.read_runs(file):
            in_file.setdefault(run.run_id, []).append(run)
        by_id.update(in_file)
    return by_id


def pack(shards: Path, folder: Path = PACKED, *, anew: bool = False) -> int:
    """Put the shards that are in no packed file yet into a new one.

    A packed file never changes, but with `anew` all are written from scratch, as one.

    Returns:
        Number of runs in the new file.
    """
    runs = read_all(shards, folder)
    old = packed_files(folder) if anew else []
    missing = sorted(runs if anew else runs.keys() - packed_ids(folder))
    if not missing:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [int(file.stem.removeprefix("long-")) for file in packed_files(folder)]
    name = f"long-{max(numbers, default=0) + 1:03d}.parquet"
    table.write_runs([run for run_id in missing for run in runs[run_id]], folder / name)
    for file in old:
        file.unlink()
    return len(missing)


def read_packed(order: Sequence[str], folder: Path = PACKED) -> list[RecordedRun]:
    """Runs and probes of all packed files, in the plan's order, those no longer planned last."""
    place = {run_id: i for i, run_id in enumerate(order)}
    runs = [run for file in packed_files(folder) for run in table.read_runs(file)]
    return sorted(runs, key=lambda run: place.get(run.run_id, len(place)))


def package(runs: Sequence[RecordedRun], file: Path = LONG_RUNS_FILE) -> int:
    """Write what the package carries; returns its bytes.

    Raises:
        ValueError: the file would be larger than what the package may carry.
    """
    staged = file.with_suffix(".staged")
    table.write_runs(runs, staged)
    size = staged.stat().st_size
    if size > SIZE_LIMIT:
        staged.unlink()
        raise ValueError(f"{len(runs)} runs and probes take {size} bytes, limit {SIZE_LIMIT}")
    staged.replace(file)
    return size
