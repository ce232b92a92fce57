"""Record the long reference runs, each with what a pre-flight would have seen of it.

    python -m benchmarks.record_long record --shards recordings   # resumable, interrupt at will
    python -m benchmarks.record_long plan                         # what is planned, one run a line

Run it from the repository root. Several workers share the plan with --worker 0/2, --worker 1/2.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.longruns.plan import plan
from benchmarks.longruns.setting import LongSetting
from benchmarks.record_runs import _worker
from benchmarks.recording.shards import shard_file, write_shard
from hf_ftrisk.reference.table import RecordedRun


def record(shards: Path, worker: tuple[int, int], minutes: float | None) -> int:
    """Record what is missing of this worker's part of the plan; returns the number of new runs."""
    import torch

    from benchmarks.longruns.train import record_run

    torch.set_num_threads(1)
    index, n_workers = worker
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    count = 0
    for position, setting in list(enumerate(plan()))[index::n_workers]:
        if deadline is not None and time.monotonic() > deadline:
            break
        if shard_file(shards, setting.run_id).exists():
            continue
        runs = record_run(setting)
        write_shard(runs, shards)
        count += 1
        print(_line(position, setting, runs), flush=True)
    return count


def _line(position: int, setting: LongSetting, runs: list[RecordedRun]) -> str:
    record = runs[0].record
    metric = next(name for name in (*record.evals, "eval_loss") if name in record.baselines)
    seconds = sum(run.cpu_seconds for run in runs)
    return (
        f"{position} {setting.run_id} {setting.recipe}, rate {setting.learning_rate:g}, "
        f"{setting.max_steps} steps: {metric} {record.evals[metric][-1]:.3f}, baseline "
        f"{record.baselines[metric]:.3f}, {seconds:.0f} s, {time.strftime('%H:%M:%S')}"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="train and record what is missing")
    recording.add_argument("--shards", type=Path, required=True)
    recording.add_argument("--worker", type=_worker, default=(0, 1), help="part of the plan: 0/2")
    recording.add_argument("--minutes", type=float, help="start no run after this time")
    commands.add_parser("plan", help="what is planned, one run a line")
    options = parser.parse_args(arguments)
    if options.command == "record":
        record(options.shards, options.worker, options.minutes)
    else:
        for setting in plan():
            print(setting)
    return 0


if __name__ == "__main__":
    sys.exit(main())
