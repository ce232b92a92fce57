"""What a large history costs `hf-ftrisk replay --history --task`, which reads one task of it.

    python -m benchmarks.history_size --runs 50000

Two histories: one of a task's runs alone, and one with the runs of many other tasks beside them,
which are copied inside the database. The same file is replayed against both, each in a process of
its own; printed are its processor time, which other work on the machine disturbs little, and its
largest resident memory.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.callback_overhead import completed
from hf_ftrisk.history import RunHistory

TASK = "mine"
TASK_RUNS = 25
OTHER_TASKS = 1000


def build(file: Path, runs: int) -> None:
    """A history of `TASK_RUNS` runs of the task, and others up to `runs` in all."""
    history = RunHistory(file)
    history.add_all([replace(completed(seed), task=TASK) for seed in range(TASK_RUNS)])
    history.add_all([replace(completed(seed), task="other") for seed in range(TASK_RUNS)])
    connection = sqlite3.connect(file)
    for copy in range(runs // TASK_RUNS - 2):
        _copy(connection, 1_000_000 + copy * TASK_RUNS, f"other {copy % OTHER_TASKS}")
    connection.commit()
    connection.close()


def _copy(connection: sqlite3.Connection, shift: int, task: str) -> None:
    """The runs of the other task once more, under another task and fingerprint."""
    chosen = "SELECT id FROM runs WHERE task = 'other'"
    connection.execute(
        "INSERT INTO runs (id, fingerprint, task, status, max_steps, seed, head) SELECT "
        "id + ?, fingerprint || ?, ?, status, max_steps, seed, head FROM runs WHERE task = 'other'",
        (shift, f"/{shift}", task),
    )
    connection.execute(
        "INSERT INTO columns SELECT run + ?, kind, name, data FROM columns "
        f"WHERE run IN ({chosen})",
        (shift,),
    )


def write_state(file: Path) -> None:
    """The trainer state of a run of the task that is half done."""
    run = completed(TASK_RUNS).prefix(200)
    log = [
        {"step": int(step), "loss": float(loss)}
        for step, loss in zip(run.train_step, run.train_loss, strict=True)
    ]
    values = zip(run.eval_step, run.evals["eval_accuracy"], strict=True)
    log += [{"step": int(step), "eval_accuracy": float(value)} for step, value in values]
    state = {"log_history": log, "max_steps": 400, "global_step": 200}
    file.write_text(json.dumps(state), encoding="utf-8")


def replayed(state: Path, history: Path) -> tuple[float, float]:
    """Processor seconds and largest resident MB of a replay in a process of its own."""
    code = (
        "import re, sys, time\n"
        "from hf_ftrisk.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]\n"
        "    print('used', time.process_time(), peak, file=sys.stderr)\n"
    )
    arguments = ["replay", str(state), "--goal", "eval_accuracy>=0.8"]
    arguments += ["--history", str(history), "--task", TASK]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    told = [line for line in done.stderr.splitlines() if line.startswith("used ")]
    if done.returncode != 0 or not told:
        raise RuntimeError(f"the replay ended with {done.returncode}: {done.stderr[-2000:]}")
    _, seconds, kilobytes = told[-1].split()
    return float(seconds), float(kilobytes) / 1000


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50_000)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    write_state(folder / "trainer_state.json")
    for runs in (2 * TASK_RUNS, options.runs):
        file = folder / f"{runs}.db"
        build(file, runs)
        seconds, memory = replayed(folder / "trainer_state.json", file)
        size = file.stat().st_size / 1e6
        print(
            f"{runs} runs ({size:.0f} MB), {TASK_RUNS} of the task: {seconds:.2f} s of processor "
            f"time, {memory:.0f} MB of memory"
        )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
