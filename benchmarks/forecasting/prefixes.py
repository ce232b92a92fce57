"""Prefixes of the completed runs of every table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks import run_tables
from benchmarks.run_tables import Run
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference import load_reference

DEPTHS = (0.1, 0.2, 0.3, 0.5, 0.7)


@dataclass(frozen=True, eq=False)
class Prefix:
    """What was known of one run at one depth, and how the run ended.

    Args:
        table: name of the table.
        group: cell, repository or data set.
        run: number of the run within its table.
        depth: share of the planned steps.
        record: the prefix.
        goal: what is forecast.
        outcome: the completed run's value.
    """

    table: str
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


def prefixes(table: str, runs: list[Run], depths: tuple[float, ...] = DEPTHS) -> Iterator[Prefix]:
    """Prefixes that have at least one evaluation of the goal's metric."""
    for number, run in enumerate(runs):
        for depth in depths:
            record = run.record.prefix(depth * run.record.max_steps + 1e-6)
            if record.curve(run.goal.metric)[0].size:
                yield Prefix(
                    table,
                    run.group,
                    number,
                    depth,
                    record,
                    run.goal,
                    run.outcome,
                )
