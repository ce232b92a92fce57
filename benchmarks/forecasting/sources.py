"""Every completed run with evaluations, and the source it counts for.

Runs of one source say nearly the same about a new one: a repository, or all repositories that ran
one exercise (``family`` of public_runs); a data set of the reference runs and recordings; a task
of the protein models or of BERT. Sources weigh alike, and are held out whole.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks import run_tables
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import metric_facts
from hf_ftrisk.record import RunRecord

# The protein models' own table has these runs whole.
_TWICE = "RSchmirler/data-repo_plm-finetune-eval"
_TABLES = {
    "bert_seeds": lambda run: f"bert {run.group.split()[0]}",
    "peft_metamath": lambda run: "huggingface/peft",
    "mlperf": lambda run: "mlperf",
    "rectified_law": lambda run: "rectified_law",
    "reference": lambda run: f"own {run.group}",
    "recordings": lambda run: f"own {run.group}",
}
# The table that nothing is fitted on.
UNFITTED = "kinds"
MAX_RUNS = 40
# Every third of several hundred runs of one task on many machines.
_EVERY = {"mlperf": 3}


@dataclass(frozen=True, eq=False)
class Completed:
    """One completed run and one metric of it.

    Args:
        table: where it comes from.
        source: what it counts for.
        run: name of the run.
        record: the run; its outcome is the last evaluation.
        goal: the metric.
    """

    table: str
    source: str
    run: str
    record: RunRecord
    goal: Goal


def completed() -> list[Completed]:
    """Runs of all tables, once for each metric whose direction is known.

    Of a source with more than `MAX_RUNS` runs as many, evenly spread over it.
    """
    of_source: dict[str, list[Completed]] = {}
    for run in _everything():
        of_source.setdefault(run.source, []).append(run)
    chosen = []
    for runs in of_source.values():
        names = list(dict.fromkeys(run.run for run in runs))
        picked = np.unique(np.linspace(0, len(names) - 1, min(MAX_RUNS, len(names))).round())
        kept = {names[int(i)] for i in picked}
        chosen += [run for run in runs if run.run in kept]
    return chosen


def unfitted() -> list[Completed]:
    """Recordings that no forecast is fitted on, of tasks beyond the class of a text.

    Their sources are their data sets: they are forecast by models that know none of those.
    """
    return [
        one
        for number, run in enumerate(run_tables.kind_recordings())
        for one in _each(UNFITTED, f"own {run.group}", f"{UNFITTED} {number}", run.record)
    ]


def _everything() -> Iterator[Completed]:
    yield from _public()
    yield from _plm()
    for table, source in _TABLES.items():
        for number, run in enumerate(run_tables.TABLES[table]()):
            if number % _EVERY.get(table, 1) == 0:
                yield from _each(table, source(run), f"{table} {number}", run.record)


def _each(table: str, source: str, run: str, record: RunRecord) -> Iterator[Completed]:
    plain = replace(record, final={}, load_best=False, status="finished")
    for metric in sorted(plain.evals):
        if metric_facts(metric) is not None:
            yield Completed(table, source, run, plain, Goal(metric))


def _public() -> Iterator[Completed]:
    """Public Trainer runs that reached their planned end."""
    families = {}
    with gzip.open(run_tables.data_folder() / "public_runs.jsonl.gz") as file:
        for line in file:
            row = json.loads(line)
            families[row["repo"]] = row["family"]
            if str(row["finished"]) != "1" or row["family"] == _TWICE:
                continue
            steps = int(row["max_steps"] or row["global_step"])
            record = RunRecord.from_log_history(row["log_history"], max_steps=steps)
            yield from _each("public", row["family"], row["file"], record)
    for path in sorted((run_tables.data_folder() / "curves").glob("*.json")):
        state = json.loads(path.read_text())
        record = RunRecord.from_trainer_state(state)
        if record.last_step >= 0.9 * record.max_steps:
            source = families.get(state["repo"], state["repo"])
            yield from _each("public", source, path.stem, record)


def _plm() -> Iterator[Completed]:
    """Protein language models: evenly spaced evaluations, several an epoch in some tasks."""
    import pandas as pd

    table = pd.read_parquet(run_tables.data_folder() / "plm_finetunes.parquet")
    for name, rows in table.groupby("run"):
        epochs = max(int(rows.epoch.max()), 1)
        steps = (np.arange(len(rows)) + 1.0) * (100.0 * epochs / len(rows))
        record = RunRecord(
            max_steps=100 * epochs,
            train_step=steps,
            train_loss=rows.train_loss.to_numpy(float),
            eval_step=steps,
            evals={
                f"eval_{rows.metric_name.iloc[0]}": rows.metric.to_numpy(float),
                "eval_loss": rows.eval_loss.to_numpy(float),
            },
            steps_per_epoch=100.0,
        )
        yield from _each("plm", f"plm {rows.task.iloc[0]}", str(name), record)
