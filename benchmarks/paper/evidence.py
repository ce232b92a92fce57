"""All that is measured on one task by itself: tasks share no random numbers, so each may be alone.

A task's random numbers follow from its name: a task that joins later changes no other one.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.forecasting.held_out import fit_without, fold_of, source_of
from benchmarks.in_parallel import in_parallel
from benchmarks.paper.bound import Bound, against_envelope
from benchmarks.paper.depth import is_probed_early, regrets
from benchmarks.paper.forms import HeldOut, compared
from benchmarks.paper.regimes import Naming, Place, naming, place
from benchmarks.paper.risks import Replay, has_many_seeds, replay
from benchmarks.paper.signals import ProbeSeeds, probe_seeds
from benchmarks.paper.tasks import Task
from hf_ftrisk.risk import Regime


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one task says of each claim.

    Args:
        replay: its forecasts.
        forms: forms of the decay on depths left out.
        place: where it lies in the phase diagram.
        bound: predictor -> how it stands to the envelope; None with few seeds.
        named: the regime of all seeds, and what subsets say that know the best predictor; None
            with few seeds.
        alone: the same of subsets that are all that is known.
        regret: rule -> (n_prices,) regret; None where the first evaluation comes late.
        seeds: what several probes are worth; None for losses.
    """

    replay: Replay
    forms: Mapping[str, Mapping[str, HeldOut]]
    place: Place
    bound: Mapping[str, Bound] | None
    named: tuple[Regime, Sequence[Naming]] | None
    alone: tuple[Regime, Sequence[Naming]] | None
    regret: Mapping[str, np.ndarray] | None
    seeds: ProbeSeeds | None

    @property
    def task(self) -> Task:
        return self.replay.task


def evidence(task: Task) -> Evidence:
    """Forecast the runs of a task, each without itself, and measure."""
    return measured(replay(task))


def measured(one: Replay) -> Evidence:
    """Everything that follows from the forecasts."""
    rng = np.random.default_rng(zlib.crc32(one.task.name.encode()))
    many = has_many_seeds(one.task)
    return Evidence(
        replay=one,
        forms=compared(one, one.best),
        place=place(one, rng),
        bound=against_envelope(one, rng) if many else None,
        named=naming(one, rng, alone=False) if many else None,
        alone=naming(one, rng, alone=True) if many else None,
        regret=regrets(one, rng) if is_probed_early(one) else None,
        seeds=probe_seeds(one, rng) if one.task.goal.kind != "loss" else None,
    )


def all_evidence(tasks: Sequence[Task], workers: int | None = None) -> list[Evidence]:
    """Evidence of each task, in their order; the largest tasks are begun first."""
    fit_without(fold_of(source_of(task.table, task.runs[0].group)) for task in tasks)
    largest = sorted(range(len(tasks)), key=lambda i: -len(tasks[i].runs) * tasks[i].depths.size)
    found = in_parallel(evidence, [tasks[i] for i in largest], workers)
    by_number = dict(zip(largest, found, strict=True))
    return [by_number[i] for i in range(len(tasks))]
