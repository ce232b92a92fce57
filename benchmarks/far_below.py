"""Runs that began far below their trivial predictor: what those that ended above it had made up.

Behind `python -m benchmarks.stopping`: one table. Packaged runs and recordings of real length, as
they were logged and as Trainers would have logged them that evaluate later or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.run_tables import Run, recordings, reference
from hf_ftrisk.forecast.features import began_far_below
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.bad_start import judged_here, loss_falls, way_up
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent

# From which share of the run on evaluations are known.
LOGGED_FROM = {
    "the untrained model": 0.0,
    "the first in training": 0.001,
    "6 %": 0.06,
    "10 %": 0.1,
    "15 %": 0.15,
    "20 %": 0.2,
    "30 %": 0.3,
}


@dataclass(frozen=True)
class Slowest:
    """One run as it was logged in one way.

    Args:
        group: data set.
        good: whether it ended better than its trivial predictor.
        way: the least share of the way up at any look that judges it, whatever its loss.
        looks: share of the run and of the way up at each such look at which no loss falls.
    """

    group: str
    good: bool
    way: float
    looks: tuple[tuple[float, float], ...]

    def stopped_at(self, limit: float) -> float | None:
        """Share of the run at the first look below a limit, None without one."""
        return next((at for at, way in self.looks if way < limit), None)


def logged_from(record: RunRecord, share: float) -> RunRecord:
    """The run without the evaluations before a share of it."""
    late = record.eval_step >= share * record.max_steps
    evals = {name: values[late] for name, values in record.evals.items()}
    return replace(record, eval_step=record.eval_step[late], evals=evals)


def slowest(runs: Sequence[Run], first: float) -> list[Slowest]:
    """The runs that began far below their trivial predictor and can be judged by it."""
    slow = []
    for run in runs:
        goal = Goal(run.goal.metric)
        record, trivial = logged_from(run.record, first), run.record.baseline(goal)
        if trivial is None or not began_far_below(record, goal):
            continue
        prefixes = [record.prefix(s) for s in record.eval_step if s < record.max_steps]
        ways = [(p, float(way_up(p, goal)[-1])) for p in prefixes if judged_here(p, goal)]
        if ways:
            looks = tuple((p.progress, way) for p, way in ways if not loss_falls(p))
            good = goal.meets(run.outcome, trivial)
            slow.append(Slowest(run.group, good, min(way for _, way in ways), looks))
    return slow


def left_out(runs: Sequence[Slowest]) -> str:
    """Share of good runs below half of what the slowest good run of the other data sets made up."""
    good = [run for run in runs if run.good]
    stopped = []
    for run in good:
        others = [other.way for other in good if other.group != run.group]
        if others:
            stopped.append(run.stopped_at(min(others) / 2) is not None)
    return percent(np.mean(stopped), ".1f") if stopped else "-"


def far_below_table() -> str:
    runs = [*reference(), *recordings()]
    every = {name: slowest(runs, share) for name, share in LOGGED_FROM.items()}
    least = min(run.way for slow in every.values() for run in slow if run.good)
    lines = [
        f"The least share of its way that a good run had made: {least:.2f}; the limit: half of it.",
        "",
        "| evaluations known from | good | data sets | least way up | stopped | stopped, data sets "
        "left out | poor | stopped | at, median |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, slow in every.items():
        good, poor = ([run for run in slow if run.good is kind] for kind in (True, False))
        ends = [at for run in poor if (at := run.stopped_at(least / 2)) is not None]
        wrong = sum(run.stopped_at(least / 2) is not None for run in good)
        lines.append(
            f"| {name} | {len(good)} | {len({run.group for run in good})} "
            f"| {min(run.way for run in good):.2f} | {wrong} | {left_out(slow)} "
            f"| {len(poor)} | {len(ends)} | {percent(np.median(ends))} |"
        )
    return "\n".join(lines)
