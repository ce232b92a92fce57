"""Record the long reference runs, each with what a pre-flight would have seen of it.

    python -m benchmarks.record_long record --shards recordings   # resumable, interrupt at will
    python -m benchmarks.record_long signals --shards recordings  # static signals that are missing
    python -m benchmarks.record_long pack --shards recordings     # into benchmarks/recordings
    python -m benchmarks.record_long package                      # into hf_ftrisk/reference
    python -m benchmarks.record_long table                        # what is recorded, as Markdown
    python -m benchmarks.record_long plan                         # what is planned, one run a line

Run it from the repository root. Several workers share the plan with --worker 0/2, --worker 1/2.
Runs that are in the shards or in benchmarks/recordings are skipped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.longruns import store
from benchmarks.longruns.plan import plan
from benchmarks.longruns.setting import LongSetting
from benchmarks.longruns.summary import markdown, provenance
from benchmarks.recording.arguments import add_pack, add_record, part_of
from benchmarks.recording.shards import shard_file, write_shard
from benchmarks.recording.summary import replace_block
from hf_ftrisk.reference.packaged import LONG_PROVENANCE_FILE
from hf_ftrisk.reference.table import RecordedRun


def record(
    shards: Path,
    worker: tuple[int, int],
    minutes: float | None,
    settings: Sequence[LongSetting] | None = None,
    packed_in: Path = store.PACKED,
    *,
    probes: bool = True,
) -> int:
    """Record what is missing of this worker's part of a plan; returns the number of new runs.

    Args:
        shards: folder of the runs that are not packed yet.
        worker: this worker's number and the number of workers.
        minutes: start no run after this time.
        settings: the plan; None: that of the long runs.
        packed_in: folder of the packed files.
        probes: record what a pre-flight would have seen as well; more than half of the time.
    """
    import torch

    from benchmarks.longruns.train import record_run

    torch.set_num_threads(1)
    index, n_workers = worker
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    packed = store.packed_ids(packed_in)
    count = 0
    for position, setting in list(enumerate(settings or plan()))[index::n_workers]:
        if deadline is not None and time.monotonic() > deadline:
            break
        if setting.run_id in packed or shard_file(shards, setting.run_id).exists():
            continue
        runs = record_run(setting, probes=probes)
        write_shard(runs, shards)
        count += 1
        print(_line(position, setting, runs), flush=True)
    return count


def signals(shards: Path, worker: tuple[int, int], lacking: str) -> int:
    """Measure the untrained model's signals again, of the runs that lack the one named.

    The untrained model is built again from its setting. Packed runs come back as shards, which
    ``pack --anew`` takes over the packed ones.

    Returns:
        Number of the runs whose signals were measured.
    """
    import torch

    from benchmarks.longruns.train import untrained_signals

    torch.set_num_threads(1)
    index, n_workers = worker
    recorded = store.read_all(shards)
    missing = [
        setting
        for setting in plan()
        if setting.run_id in recorded and lacking not in recorded[setting.run_id][0].record.static
    ][index::n_workers]
    for setting in missing:
        full, *probes = recorded[setting.run_id]
        static = {**full.record.static, **untrained_signals(setting)}
        write_shard([replace(full, record=replace(full.record, static=static)), *probes], shards)
        print(f"{setting.run_id}: {len(static)} signals", flush=True)
    return len(missing)


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
    add_record(commands)
    measuring = commands.add_parser("signals", help="measure signals that recorded runs lack")
    measuring.add_argument("--shards", type=Path, required=True)
    measuring.add_argument("--worker", type=part_of, default=(0, 1), help="part of them: 0/2")
    measuring.add_argument(
        "--lacking", default="schedule_gain", help="measure the runs that lack this signal"
    )
    packing = add_pack(commands)
    packing.add_argument("--anew", action="store_true", help="write the packed files from scratch")
    commands.add_parser("package", help="put the packed runs into the package")
    tables = commands.add_parser("table", help="what is recorded, as Markdown")
    tables.add_argument("--write", type=Path, metavar="PAGE", help="put it into this page")
    commands.add_parser("plan", help="what is planned, one run a line")
    options = parser.parse_args(arguments)
    if options.command == "record":
        record(options.shards, options.worker, options.minutes)
    elif options.command == "signals":
        print(f"{signals(options.shards, options.worker, options.lacking)} runs have new signals")
    elif options.command == "pack":
        print(f"{store.pack(options.shards, anew=options.anew)} runs packed")
    elif options.command == "package":
        planned = [setting.run_id for setting in plan()]
        runs = store.read_packed(planned)
        print(f"{len(runs)} runs and probes, {store.package(runs)} bytes")
        content = json.dumps(provenance(runs, planned), indent=2)
        LONG_PROVENANCE_FILE.write_text(content + "\n", encoding="utf-8")
    elif options.command == "table":
        text = markdown(store.read_packed([setting.run_id for setting in plan()]))
        print(text)
        if options.write is not None:
            replace_block(options.write, text, "long runs")
    else:
        for setting in plan():
            print(setting)
    return 0


if __name__ == "__main__":
    sys.exit(main())
