"""Completed runs to finish early in hindsight: score, loss and training loss of each.

Runs come from `benchmarks.forecasting.sources`; a source (task, repositories, data set) is
held out whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from benchmarks.forecasting.sources import Completed, completed
from hf_ftrisk.forecast.gain import evaluations, tolerance_of
from hf_ftrisk.forecast.gain.training_loss import TRAIN_LOSS, with_training_loss
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

# Tables of runs of real length, not the short reference runs.
REAL = ("plm", "public", "bert_seeds", "recordings")
MIN_EVALUATIONS = 5
MIN_LOGS = 20
# A run whose last evaluation lies before this share of its plan did not end by plan.
_ENDS = 0.95
_FIRST = (
    "overall_f1",
    "eval_f1",
    "macro",
    "accuracy",
    "rouge",
    "bleu",
    "spearman",
    "pearson",
    "f1",
)


@dataclass(frozen=True, eq=False)
class Case:
    """One completed run and the metric it is finished by.

    Args:
        table: where it comes from.
        source: what is held out with it.
        run: its name.
        family: "score", "loss" or "train_loss".
        record: the run.
        goal: the metric.
        extra: whether the run is another case by a metric of the same family: the classifier is
            fitted to it too, but nothing is calibrated or measured on it.
    """

    table: str
    source: str
    run: str
    family: str
    record: RunRecord
    goal: Goal
    extra: bool = False

    def is_of(self, group: str) -> bool:
        """Whether it belongs to a group of runs: a table, and a family where one is named."""
        table, _, family = group.partition(" ")
        is_measured = not self.extra and self.family != "train_loss"
        return self.table == table and is_measured and family in ("", self.family)

    @property
    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the run (n,) and values (n,), greater is better, of the evaluations."""
        steps, values = evaluations(self.record, self.goal)
        return steps / self.record.max_steps, values if self.goal.greater_is_better else -values

    @cached_property
    def units(self) -> np.ndarray:
        """The tolerance (n,) as it was known at each evaluation, in the metric's units."""
        steps, _ = evaluations(self.record, self.goal)
        parts = (self.record.prefix(step) for step in steps.tolist())
        return np.array([tolerance_of(self.goal, part) for part in parts])

    def gained(self) -> np.ndarray:
        """Gain (n,) of the rest of the run after each evaluation, in tolerances; 0 at the last."""
        _, better = self.curve
        so_far = np.maximum.accumulate(better)
        to_come = np.maximum.accumulate(better[::-1])[::-1]
        gains = np.append(np.maximum(to_come[1:] - so_far[:-1], 0.0), 0.0)
        return gains / self.units


def cases() -> list[Case]:
    """All cases: at most one of each family a run, and then those by the runs' other metrics."""
    by_run: dict[tuple[str, str], list[Completed]] = {}
    for run in completed():
        by_run.setdefault((run.table, run.run), []).append(run)
    main_cases: list[Case] = []
    extra: list[Case] = []
    for several in by_run.values():
        usable = [scaled for run in several if (scaled := _usable(run)) is not None]
        scores = sorted((run for run in usable if run.goal.kind != "loss"), key=_rank)
        losses = sorted((run for run in usable if run.goal.kind == "loss"), key=_loss_rank)
        for family, runs in (("score", scores), ("loss", losses)):
            main_cases += [_case(run, family) for run in runs[:1]]
            if runs and runs[0].table in REAL:
                extra += [replace(_case(run, family), extra=True) for run in runs[1:]]
        main_cases += _training(several[0])
    return main_cases + extra


def _usable(run: Completed) -> Completed | None:
    goal, _ = run.record.goal_scale(run.goal)
    steps, values = evaluations(run.record, goal)
    if steps.size < MIN_EVALUATIONS or steps[-1] < _ENDS * run.record.max_steps:
        return None
    if (
        np.ptp(values) == 0
        or "reward" in goal.metric
        or (goal.kind == "loss" and values.min() <= 0)
    ):
        return None
    return replace(run, goal=goal)


def _rank(run: Completed) -> tuple[int, int, str]:
    places = [place for place, part in enumerate(_FIRST) if part in run.goal.metric]
    return min(places, default=len(_FIRST)), len(run.goal.metric), run.goal.metric


def _loss_rank(run: Completed) -> tuple[bool, str]:
    return run.goal.metric != "eval_loss", run.goal.metric


def _case(run: Completed, family: str) -> Case:
    return Case(run.table, run.source, run.run, family, run.record, run.goal)


def _training(run: Completed) -> list[Case]:
    steps, loss = run.record.train_curve()
    if steps.size < MIN_LOGS or steps[-1] < _ENDS * run.record.max_steps or loss.min() <= 0:
        return []
    record = with_training_loss(run.record)
    if record.eval_step.size < MIN_EVALUATIONS:
        return []
    return [Case(run.table, run.source, run.run, "train_loss", record, TRAIN_LOSS)]


def thinned(case: Case) -> Case | None:
    """The run as one with about ten evaluations; None where it has not many more."""
    steps, _ = evaluations(case.record, case.goal)
    every = math.floor(steps.size / 10)
    if every < 2:
        return None
    few = np.isin(case.record.eval_step, steps[every - 1 :: every])
    record = replace(
        case.record,
        eval_step=case.record.eval_step[few],
        evals={name: values[few] for name, values in case.record.evals.items()},
        nan_steps={},
    )
    return replace(case, record=record)
