"""Prefixes of the completed runs of every table, and which of them are left out together."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks import run_tables
from benchmarks.run_tables import Run
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference import load_reference

DEPTHS = (0.1, 0.2, 0.3, 0.5, 0.7)
FOLDS = 6  # of the tables that are cross-validated within: repositories, data sets


@dataclass(frozen=True, eq=False)
class Prefix:
    """What was known of one run at one depth, and how the run ended.

    Args:
        table: name of the table.
        unit: what is left out together with it when anything is fitted.
        group: cell, repository or data set.
        run: number of the run within its table.
        depth: share of the planned steps.
        record: the prefix.
        goal: what is forecast.
        outcome: the completed run's value.
    """

    table: str
    unit: str
    group: str
    run: int
    depth: float
    record: RunRecord
    goal: Goal
    outcome: float


def all_tables() -> dict[str, list[Run]]:
    """Name -> runs. BERT's eval_loss and the reference's eval_loss count as goals too."""
    tables = {name: load() for name, load in run_tables.TABLES.items() if name != "reference"}
    tables["bert_seeds_loss"] = [replace(r, goal=Goal("loss")) for r in tables["bert_seeds"]]
    for metric in ("accuracy", "loss"):
        goal = Goal(metric)
        tables[f"reference_{metric}"] = [
            Run(str(record.settings.get("dataset")), record, goal)
            for record in load_reference()
            if record.has_outcome(goal)
        ]
    return {name: [r for r in runs if np.isfinite(r.outcome)] for name, runs in tables.items()}


def unit_of(table: str, group: str) -> str:
    """What is left out together: a whole table, or a fold of its repositories or data sets."""
    source = table.removesuffix("_loss").removesuffix("_accuracy")
    if source in ("curves", "reference"):
        return f"{source} {zlib.crc32(group.encode()) % FOLDS}"
    return source


def source_of(table: str, group: str) -> str:
    """What counts as one source of experience: runs of it say nearly the same about a new task.

    A repository, a data set; the models of the scaling law and the machines of MLPerf share one
    task, the recipes of BERT two.
    """
    if table in ("mlperf", "rectified_law", "peft_metamath"):
        return table
    if table.startswith("bert_seeds"):
        return f"bert_seeds {group.split()[0]}"
    return f"{table.partition('_')[0]} {group}"


def prefixes(table: str, runs: list[Run], depths: tuple[float, ...] = DEPTHS) -> Iterator[Prefix]:
    """Prefixes that have at least one evaluation of the goal's metric."""
    for number, run in enumerate(runs):
        for depth in depths:
            record = run.record.prefix(depth * run.record.max_steps + 1e-6)
            if record.curve(run.goal.metric)[0].size:
                yield Prefix(
                    table,
                    unit_of(table, run.group),
                    run.group,
                    number,
                    depth,
                    record,
                    run.goal,
                    run.outcome,
                )
