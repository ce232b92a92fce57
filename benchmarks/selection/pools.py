"""Pools of recorded runs among which a best one is to be chosen.

A pool is what one person could have asked about: candidates for one task, judged by one metric.
Where a source has many runs of one task, pools of `POOL_SIZE` are drawn from it, disjoint where
seeds allow it (bert_seeds) and at random otherwise; pools of one source are not independent, and
sources are what bootstrap intervals are drawn over.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.decisions.sources import known_signals, short_key
from benchmarks.forecasting.held_out import fold_of
from benchmarks.run_tables import (
    Run,
    bert_seeds,
    data_folder,
    peft_metamath,
    recordings,
    rectified_law,
    reference,
)
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

POOL_SIZE = 12
DRAWN_POOLS = 12
MIN_POOL = 6
MIN_LONG_POOL = 4  # the long recordings have four or five runs of most data sets
BERT_SEEDS_PER_POOL = 4


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates for one task.

    Args:
        source: what pools are resampled by: a data set, a repository.
        runs: completed runs; their outcomes are the truth.
        fold: what forecasts are fitted without (`forecasting.held_out.fold_of`).
    """

    source: str
    runs: tuple[Run, ...]
    fold: str

    @property
    def goal(self) -> Goal:
        return self.runs[0].goal

    @property
    def outcomes(self) -> np.ndarray:
        """(n,) what each candidate came to."""
        return np.array([run.outcome for run in self.runs])

    @property
    def regrets(self) -> np.ndarray:
        """(n,) distance of each candidate from the best: points (1/100) or percent of a loss."""
        values = self.outcomes
        if self.goal.kind == "loss":
            return 100.0 * (values / values.min() - 1.0)
        sign = 1.0 if self.goal.greater_is_better else -1.0
        return 100.0 * ((sign * values).max() - sign * values)

    def knows(self, signals: Iterable[str]) -> bool:
        """Whether every candidate has these static signals."""
        names = set(signals)
        return all(names <= run.record.static.keys() for run in self.runs)


def _drawn(source: str, runs: Sequence[Run], fold: str, at_least: int = MIN_POOL) -> Iterator[Pool]:
    """The pool itself where it is small, else random parts of it."""
    runs = [run for run in runs if np.isfinite(run.outcome)]
    if len(runs) < at_least:
        return
    if len(runs) <= POOL_SIZE:
        yield Pool(source, tuple(runs), fold)
        return
    rng = np.random.default_rng(len(runs))
    for _ in range(DRAWN_POOLS):
        picked = rng.choice(len(runs), POOL_SIZE, replace=False)
        yield Pool(source, tuple(runs[int(i)] for i in sorted(picked)), fold)


def bert_pools() -> Iterator[Pool]:
    """Three recipes with four seeds each; every run is in one pool."""
    cells: dict[str, list[Run]] = {}
    for run in bert_seeds():
        cells.setdefault(str(run.record.task).split()[0], []).append(run)
    for task, runs in cells.items():
        by_seed: dict[int, list[Run]] = {}
        for run in runs:
            by_seed.setdefault(int(run.record.seed or 0), []).append(run)
        seeds = sorted(by_seed)
        for start in range(0, len(seeds) - BERT_SEEDS_PER_POOL + 1, BERT_SEEDS_PER_POOL):
            chunk = [run for s in seeds[start : start + BERT_SEEDS_PER_POOL] for run in by_seed[s]]
            yield Pool(f"bert_seeds {task}", tuple(chunk), fold_of(f"bert {task}"))


def _with_signals(runs: Iterable[Run]) -> Iterator[Run]:
    """Recordings of ours with what was measured of their untrained models later as well."""
    by_run = known_signals()
    for run in runs:
        settings = run.record.settings
        signals = by_run.get(f"{settings['setting_id']}-s{settings['seed']}", {})
        if settings["model"] == "minilm" and settings["method"] != "scratch":
            signals = {**by_run.get(short_key(run.record), {}), **signals}
        static = {**signals, **run.record.static}
        yield replace(run, record=replace(run.record, static=static))


def reference_pools() -> Iterator[Pool]:
    """The project's own short recordings, by data set."""
    cells: dict[tuple[str, str], list[Run]] = {}
    for run in _with_signals(reference()):
        cells.setdefault((run.group, run.goal.metric), []).append(run)
    for (group, _), runs in cells.items():
        yield from _drawn(f"own {group}", runs, fold_of(f"own {group}"))


def long_pools() -> Iterator[Pool]:
    """The project's recordings of real length, by data set and metric."""
    cells: dict[tuple[str, str], list[Run]] = {}
    for run in _with_signals(recordings()):
        cells.setdefault((run.group, run.goal.metric), []).append(run)
    for (group, metric), runs in cells.items():
        source = f"long {group}" + (" loss" if metric == "eval_loss" else "")
        yield from _drawn(source, runs, fold_of(f"own {group}"), MIN_LONG_POOL)


def _public() -> dict[str, list[dict]]:
    with gzip.open(data_folder() / "public_runs.jsonl.gz") as file:
        rows = [json.loads(line) for line in file]
    by_repo: dict[str, list[dict]] = {}
    for row in rows:
        if row["finished"]:
            by_repo.setdefault(row["repo"], []).append(row)
    return by_repo


def _records(rows: Sequence[dict], goal: Goal, task: str) -> list[Run]:
    runs = []
    for row in rows:
        log = [entry for entry in row["log_history"] if "step" in entry]
        record = RunRecord.from_trainer_state(
            {"log_history": log, "max_steps": row["max_steps"], "global_step": row["global_step"]},
            task=task,
        )
        steps, values = record.curve(goal.metric)
        if steps.size < 3 or not np.isfinite(values).all():
            continue
        length = int(max(steps[-1], 1))
        record = replace(record, status="finished", max_steps=length, schedule=None)
        runs.append(Run(row["path"], record, goal))
    return runs


def public_pools() -> Iterator[Pool]:
    """Sweeps that one person ran on one task, of public repositories."""
    rows = _public()
    image = Goal("dino_similarity", greater_is_better=True, kind="rate")
    named = {
        "huggingface/peft": ("peft_image", image),
        "VinMoeMac/CSE234_proj2": ("course_sweep_a", Goal("loss")),
        "yangwestyyy21/cse234p2": ("course_sweep_b", Goal("loss")),
        "su0315/SemEval23_Human_Values_Detection": (
            "semeval_sweep",
            Goal("macro-avg-f1score", greater_is_better=True, kind="rate"),
        ),
    }
    for repo, (source, goal) in named.items():
        fold = fold_of(rows[repo][0]["family"])
        yield from _drawn(source, _records(rows[repo], goal, source), fold)
    cells: dict[str, list[dict]] = {}
    for row in rows["Satyanshgaur/PEFT-Benchmarking"]:
        _, model, data, *_ = row["path"].split("/")
        cells.setdefault(f"{model} {data}", []).append(row)
    for cell, members in cells.items():
        fold = fold_of(members[0]["family"])
        yield from _drawn(f"peft_glue {cell}", _records(members, Goal("loss"), cell), fold)


def law_pools() -> Iterator[Pool]:
    """Models of the scaling law; a step is 100 examples."""
    yield from _drawn("rectified_law", rectified_law(), fold_of("rectified_law"))


def metamath_pools() -> Iterator[Pool]:
    yield from _drawn("peft_metamath", peft_metamath(), fold_of("huggingface/peft"))


# Held out: nothing of `hf_ftrisk.choosing` was chosen on them.
HELD_OUT: dict[str, Callable[[], Iterator[Pool]]] = {
    "bert_seeds": bert_pools,
    "peft_metamath": metamath_pools,
    "public_sweeps": public_pools,
    "rectified_law": law_pools,
}
# The constants of `hf_ftrisk.choosing` were chosen on these (`selection.variants`).
OWN: dict[str, Callable[[], Iterator[Pool]]] = {
    "own_recordings": reference_pools,
    "long_recordings": long_pools,
}
