"""Pools of candidate runs, each judged by its goals and watched by a held-out forecaster.

A source is what a person would not have seen before: a data set, a repository's sweep, a task of
somebody else. Forecasts are fitted without it, thresholds are set without it, and intervals are
drawn over sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from benchmarks.forecasting.held_out import fit_without, fold_of, forecaster_without
from benchmarks.in_parallel import in_parallel
from benchmarks.other_tasks import TARGET_SHARES, goals_of
from benchmarks.run_tables import Run, bert_seeds, peft_metamath, recordings, reference
from benchmarks.selection.pools import public_pools
from benchmarks.watched import Watched, watch
from hf_ftrisk.goal import Goal

OWN, PUBLIC = "own recordings", "other people's runs"
LONG = 500  # steps from which on own recordings are a pool of their own
HISTORY_FOLDS = 10  # of a pool whose runs are each forecast with the others known


@dataclass(frozen=True, eq=False)
class Candidate:
    """One completed run, judged by one goal.

    Args:
        kind: `OWN` or `PUBLIC`.
        source: what is held out together.
        fold: fold of the source: forecasts and thresholds know none of its runs.
        number: of the run within its source.
        pool: what competes: runs of one source judged by one kind of goal.
        goal: what the run is judged by.
        watched: the run as the stopping rule sees it.
        known: the same looks, forecast with a history of nine tenths of the runs of its source
            that are as long; None: that was not forecast.
        at: (n,) share of the run at each evaluation, those before the first step left out.
        values: (n,) the goal metric there, greater is better.
        level: value that the goal asks for, greater is better.
        baseline: the trivial value likewise; None if unknown.
    """

    kind: str
    source: str
    fold: str
    number: int
    pool: str
    goal: Goal
    watched: Watched
    at: np.ndarray
    values: np.ndarray
    level: float
    baseline: float | None
    known: Watched | None = None

    @property
    def good(self) -> bool:
        return self.watched.good

    def reached(self, share: float) -> bool:
        """Whether an evaluation up to a share of the run met the goal already."""
        values = self.values[self.at <= share + 1e-9]
        return bool(values.size and np.nanmax(values) >= self.level)


@cache
def candidates() -> tuple[Candidate, ...]:
    """All candidates of all sources, in the order of sources and runs."""
    fit_without(fold for _, _, fold, _ in _sources())
    every = [one for part in in_parallel(_of_part, _parts()) for one in part]
    names = [source for _, source, _, _ in _sources()]
    return tuple(sorted(every, key=lambda one: (names.index(one.source), one.number)))


def _parts() -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """Number of a source, numbers of some of its runs, and of those that are their history."""
    parts = []
    for i, (*_, runs) in enumerate(_sources()):
        alike: dict[tuple[str, str], list[int]] = {}
        for k, run in enumerate(runs):
            alike.setdefault((_length(run), run.goal.metric), []).append(k)
        for members in alike.values():
            for fold in range(min(HISTORY_FOLDS, len(members))):
                mine = tuple(members[fold::HISTORY_FOLDS])
                parts.append((i, mine, tuple(k for k in members if k not in mine)))
    return parts


def _of_part(part: tuple[int, tuple[int, ...], tuple[int, ...]]) -> list[Candidate]:
    """Some runs of a source by all their goals, with and without a history."""
    kind, source, fold, runs = _sources()[part[0]]
    cold = forecaster_without(fold)
    warm = cold.refit([runs[k].record for k in part[2]])
    return [
        candidate(kind, source, fold, k, runs[k], goal, one, known)
        for k in part[1]
        for goals in [pool_goals(runs[k], runs)]
        for (_, goal), one, known in zip(
            goals, watch(runs[k], cold, goals), watch(runs[k], warm, goals), strict=True
        )
    ]


def _length(run: Run) -> str:
    return "long" if run.record.max_steps >= LONG else "short"


def pool_goals(run: Run, runs: Sequence[Run]) -> list[tuple[str, Goal]]:
    """Its baseline and targets that good runs reach; without a baseline, targets that runs reach.

    Targets are what a share of the runs of the same source and metric came to.
    """
    alike = [other for other in runs if other.goal.metric == run.goal.metric]
    if run.record.baseline(run.goal) is not None:
        return goals_of(run, alike)
    ends = [other.outcome for other in alike]
    goal = run.goal
    levels = {s: (1.0 - s if goal.greater_is_better else s) for s in TARGET_SHARES}
    return [
        (f"{share:.0%}", goal.with_target(float(np.quantile(ends, level))))
        for share, level in levels.items()
    ]


def candidate(
    kind: str,
    source: str,
    fold: str,
    number: int,
    run: Run,
    goal: Goal,
    watched: Watched,
    known: Watched | None = None,
) -> Candidate:
    """A watched run with its evaluations."""
    sign = 1.0 if goal.greater_is_better else -1.0
    steps, values = run.record.curve(run.goal.metric)
    trained = steps > 0
    baseline = run.record.baseline(run.goal)
    level = goal.threshold(baseline)
    assert level is not None
    # A baseline has to be beaten, a target met.
    beaten = np.nextafter(sign * level, np.inf) if goal.target is None else sign * level
    return Candidate(
        kind=kind,
        source=source,
        fold=fold,
        number=number,
        pool=f"{source} {_length(run)} {run.goal.metric} {watched.judged}",
        goal=goal,
        watched=watched,
        at=steps[trained] / run.record.max_steps,
        values=sign * values[trained],
        level=float(beaten),
        baseline=None if baseline is None else sign * baseline,
        known=known,
    )


@cache
def _sources() -> tuple[tuple[str, str, str, list[Run]], ...]:
    """Kind, source, fold of its forecaster, runs."""
    return tuple(_each_source())


def _each_source() -> Iterator[tuple[str, str, str, list[Run]]]:
    own: dict[str, list[Run]] = {}
    for run in [*reference(), *recordings()]:
        own.setdefault(run.group, []).append(run)
    for dataset, runs in sorted(own.items()):
        yield OWN, dataset, fold_of(f"own {dataset}"), _ended(runs)
    bert: dict[str, list[Run]] = {}
    for run in bert_seeds():
        bert.setdefault(run.group.split()[0], []).append(run)
    for task, runs in bert.items():
        yield PUBLIC, f"BERT-large, {task}", fold_of(f"bert {task}"), _ended(runs)
    yield PUBLIC, "Llama-3.2-3B, PEFT methods", fold_of("huggingface/peft"), _ended(peft_metamath())
    public: dict[tuple[str, str], dict[int, Run]] = {}
    for pool in public_pools():
        name = pool.source.replace("_", " ")
        # Sweeps of one repository over several tasks are one source.
        name = "peft glue" if name.startswith("peft glue") else name
        runs_of = public.setdefault((name, pool.fold), {})
        group = pool.source
        runs_of.update({id(run.record): replace(run, group=group) for run in pool.runs})
    for (name, fold), runs_by_id in public.items():
        yield PUBLIC, name, fold, _ended(list(runs_by_id.values()))


def _ended(runs: Iterable[Run]) -> list[Run]:
    """Runs with an outcome and with three evaluations to look at on the way."""
    return [
        run
        for run in runs
        if np.isfinite(run.outcome) and run.record.finite(run.goal.metric)[0].size >= 3
    ]
