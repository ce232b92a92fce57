"""Record many seeds of a few settings, for the page that holds the paper's claims against them.

    python -m benchmarks.record_seeds record --shards recordings/seeds  # resumable
    python -m benchmarks.record_seeds pack --shards recordings/seeds    # into the repository
    python -m benchmarks.record_seeds plan [--write docs/evidence/paper.md]  # table of settings

Run it from the repository root. Several workers share the plan with --worker 0/2, --worker 1/2.
Runs that are in the shards or packed already are skipped. Packed runs lie apart from the long runs:
they are neither shipped with the package nor fitted on. They have no probes: the page replays the
beginnings of the runs themselves.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from benchmarks.longruns import store
from benchmarks.longruns.seeds import TASKS, seed_plan
from benchmarks.paper.tables import table
from benchmarks.record_long import record
from benchmarks.recording.arguments import add_pack, add_record
from benchmarks.watched import write_table
from hf_ftrisk.text import percent

PACKED = store.PACKED / "seeds"


def settings_table() -> str:
    """Settings, seeds planned and recorded, processor time of one run."""
    runs = store.read_all(PACKED / "none", PACKED)
    recorded = Counter(runs_of[0].setting_id for runs_of in runs.values())
    seconds: dict[str, list[float]] = {}
    for runs_of in runs.values():
        seconds.setdefault(runs_of[0].setting_id, []).append(sum(r.cpu_seconds for r in runs_of))
    rows = []
    for task in TASKS:
        s, times = task.setting, seconds.get(task.setting.setting_id, [])
        rows.append(
            (
                task.name,
                f"{s.dataset}, {s.model}, {s.method}",
                f"{s.learning_rate:g}",
                f"{s.scheduler}, {percent(s.warmup)}",
                str(s.max_steps),
                str(s.train_rows),
                task.expected,
                str(task.seeds),
                str(recorded[s.setting_id]),
                f"{sum(times) / len(times):.0f} s" if times else "-",
            )
        )
    head = ["task", "data, model, method", "rate", "schedule, warm-up", "steps", "rows"]
    head += ["expected", "seeds planned", "recorded", "a run takes"]
    return table(head, rows, left=2)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    add_record(commands)
    add_pack(commands)
    planned = commands.add_parser("plan", help="what is planned and what is recorded")
    planned.add_argument("--write", type=Path, metavar="PAGE", help="put it into this page")
    options = parser.parse_args(arguments)
    if options.command == "record":
        record(options.shards, options.worker, options.minutes, seed_plan(), PACKED, probes=False)
    elif options.command == "pack":
        print(f"{store.pack(options.shards, PACKED)} runs packed")
    else:
        text = settings_table()
        print(text)
        if options.write is not None:
            write_table(options.write, "plan", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
