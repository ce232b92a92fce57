"""Record the reference runs: real fine-tunes, packaged as prior and calibration.

    python -m benchmarks.record_runs record --shards recordings   # resumable, interrupt at will
    python -m benchmarks.record_runs signals --shards recordings  # static signals where missing
    python -m benchmarks.record_runs merge --shards recordings    # into hf_ftrisk/reference
    python -m benchmarks.record_runs table                        # what is packaged, as Markdown

Run it from the repository root. Several workers share the plan with --worker 0/2, --worker 1/2.
Runs that are in the shards or in the packaged file are skipped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from benchmarks.recording.arguments import add_record, part_of
from benchmarks.recording.plan import RunSetting, plan
from benchmarks.recording.shards import merge, read_runs, recorded_ids, shard_file, write_shard
from benchmarks.recording.summary import goal_of, markdown, replace_block, write_provenance
from hf_ftrisk.reference.packaged import PROVENANCE_FILE, RUNS_FILE
from hf_ftrisk.reference.table import RecordedRun


def record(shards: Path, worker: tuple[int, int], model: str | None, minutes: float | None) -> int:
    """Record what is missing of this worker's part of the plan; returns the number of new runs."""
    from benchmarks.recording.train import record_run

    index, n_workers = worker
    part = [s for s in plan() if model in (None, s.model)][index::n_workers]
    recorded = recorded_ids(shards)
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    count = 0
    for position, setting in enumerate(part):
        # Another worker may have recorded it meanwhile.
        if setting.run_id in recorded or shard_file(shards, setting.run_id).exists():
            continue
        if deadline is not None and time.monotonic() > deadline:
            break
        run = record_run(setting)
        write_shard([run], shards)
        count += 1
        print(_line(position, len(part), setting, run), flush=True)
    return count


def signals(shards: Path, worker: tuple[int, int], model: str | None) -> int:
    """Add the untrained model's signals to runs recorded without them; returns their number.

    One run of every setting comes first.
    """
    from benchmarks.recording.train import untrained_signals

    index, n_workers = worker
    runs = {r.run_id: r for r in read_runs([RUNS_FILE, *sorted(shards.glob("*.parquet"))])}
    missing = [
        s
        for s in plan()
        if s.run_id in runs
        and model in (None, s.model)
        and "zero_shot_loss" not in runs[s.run_id].record.static
    ]
    met: Counter[str] = Counter()
    turn = {}
    for setting in missing:
        turn[setting.run_id] = met[setting.setting_id]
        met[setting.setting_id] += 1
    missing.sort(key=lambda s: turn[s.run_id])
    part = missing[index::n_workers]
    for position, setting in enumerate(part):
        run = runs[setting.run_id]
        record = replace(run.record, static=untrained_signals(setting))
        write_shard([replace(run, record=record)], shards)
        print(f"{position + 1}/{len(part)} {setting.run_id}: {len(record.static)}", flush=True)
    return len(part)


def _line(position: int, total: int, setting: RunSetting, run: RecordedRun) -> str:
    metric = goal_of(run.record).metric
    return (
        f"{position + 1}/{total} {setting.run_id} lr {setting.learning_rate:g}: {metric} "
        f"{run.record.evals[metric][-1]:.3f}, baseline {run.record.baselines[metric]:.3f}, "
        f"{run.cpu_seconds:.0f} s"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    add_record(commands).add_argument("--model", choices=("minilm", "smollm2"))
    measuring = commands.add_parser("signals", help="measure signals of runs that lack them")
    measuring.add_argument("--shards", type=Path, required=True)
    measuring.add_argument("--worker", type=part_of, default=(0, 1), help="part of them: 0/2")
    measuring.add_argument("--model", choices=("minilm", "smollm2"))
    merging = commands.add_parser("merge", help="put the shards into the package")
    merging.add_argument("--shards", type=Path, required=True)
    tables = commands.add_parser("table", help="what is packaged, as Markdown")
    tables.add_argument("--write", type=Path, metavar="PAGE", help="put it into this page")
    options = parser.parse_args(arguments)
    if options.command == "record":
        record(options.shards, options.worker, options.model, options.minutes)
    elif options.command == "signals":
        signals(options.shards, options.worker, options.model)
    elif options.command == "merge":
        planned = plan()
        runs = merge(options.shards, [setting.run_id for setting in planned])
        write_provenance(PROVENANCE_FILE, runs, planned)
        print(f"{len(runs)} runs, {RUNS_FILE.stat().st_size} bytes in {RUNS_FILE}")
    else:
        text = markdown(read_runs([RUNS_FILE]))
        print(text)
        if options.write is not None:
            replace_block(options.write, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
