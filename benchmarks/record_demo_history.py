"""Record the demo's history: completed runs of its tasks, as a team has them that trained before.

    python -m benchmarks.record_demo_history record text --file demo.db   # resumable
    python -m benchmarks.record_demo_history record lm --file demo.db
    python -m benchmarks.record_demo_history export --file demo.db        # into hf_ftrisk/demo

Sound settings with several learning rates and seeds, none of them the demo's own, and a few that
fail. Two workers may share the work: --worker 0/2 and --worker 1/2.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from hf_ftrisk.demo.history import HISTORY_FILE
from hf_ftrisk.demo.setting import DemoSetting
from hf_ftrisk.demo.tasks import TaskName, task_of
from hf_ftrisk.history import RunHistory
from hf_ftrisk.watch.callback import FineTuneRiskCallback

# Learning rate -> seeds. The good ones are what the stopping rule is calibrated on: 9 of them are
# needed for a rate of 10 %.
PLANS: dict[TaskName, dict[float, range]] = {
    "text": {
        5e-5: range(101, 105),
        1e-4: range(111, 115),
        2e-4: range(121, 125),
        1e-6: range(131, 133),
        5e-3: range(141, 143),
    },
    "lm": {
        5e-4: range(101, 104),
        1e-3: range(111, 115),
        2e-3: range(121, 124),
        1e-6: range(131, 132),
    },
}


def planned(name: TaskName) -> list[DemoSetting]:
    """The runs of a task, learning rates in turn."""
    rates = PLANS[name]
    longest = max(len(seeds) for seeds in rates.values())
    return [
        DemoSetting(f"lr-{rate:g}-s{seeds[k]}", "", rate, seed=seeds[k])
        for k in range(longest)
        for rate, seeds in rates.items()
        if k < len(seeds)
    ]


def record(name: TaskName, file: Path, worker: tuple[int, int]) -> None:
    """Train what is missing of this worker's part, into the history at `file`."""
    task, history = task_of(name), RunHistory(file)
    recorded = {run.seed for run in history.records(task=task.name)}
    index, count = worker
    for setting in planned(name)[index::count]:
        if setting.seed in recorded:
            continue
        folder = Path(tempfile.mkdtemp(prefix="demo-history-"))
        trainer = task.trainer(setting, folder)
        trainer.args.save_strategy = "no"
        trainer.add_callback(
            FineTuneRiskCallback(task.goal, action="warn", history=history, task=task.name)
        )
        trainer.train()
        shutil.rmtree(folder)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="train and record what is missing")
    recording.add_argument("task", choices=("text", "lm"))
    recording.add_argument("--worker", default="0/1", help="part of the work: 0/2")
    exporting = commands.add_parser("export", help="put the runs into the package")
    for command in (recording, exporting):
        command.add_argument("--file", type=Path, required=True)
    options = parser.parse_args(arguments)
    if options.command == "record":
        index, _, count = options.worker.partition("/")
        record(options.task, options.file, (int(index), int(count)))
    else:
        history = RunHistory(options.file)
        history.export_parquet(HISTORY_FILE)
        print(f"{len(history)} runs, {HISTORY_FILE.stat().st_size} bytes in {HISTORY_FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
