"""Optimization variance left and optimal depth of the watched run. No torch."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy import look_steps
from hf_ftrisk.record import RunRecord
from hf_ftrisk.risk import RiskDecomposition, fit_risk_curve, replay_risk

# Completed runs from which their forecast errors say more than the run's own forecasts: the
# relative standard error of a variance from 8 runs is 53 %.
MIN_RUNS = 8
MAX_RUNS = 30
# Depths of a curve that has two parts and a shape.
MIN_DEPTHS = 3
_REPLAYED_DEPTHS = 6
# Share of the run's time that the curve may take: it decides nothing, so it can wait.
_TIME_SHARE = 0.002


@dataclass(frozen=True, eq=False)
class Risk:
    """The risk curve by depth and what follows from it.

    Args:
        curve: (depth, risk, runs behind it) rows.
        decomposition: None while there are too few depths.
        optimal_depth: c*, optimizer steps; None likewise.
        source: what the curve was measured on, in words.
    """

    curve: tuple[tuple[float, float, float], ...]
    source: str
    decomposition: RiskDecomposition | None = None
    optimal_depth: float | None = None


class RiskCurve:
    """The risk curve of a watched run, which rests on more with every look.

    On the completed runs of its task where there are enough, and then it stays as it is; else on
    the run's own looks.

    Args:
        runs: completed runs of the same task.
        plan: the watched run before its first step.
        forecaster: built from `runs`.

    Attributes:
        latest: as it was fitted last, here or on rank 0; None: not yet.
    """

    def __init__(self, runs: Sequence[RunRecord], plan: RunRecord, forecaster: Forecaster) -> None:
        self.latest: Risk | None = None
        self._runs = runs
        self._plan = plan
        self._forecaster = forecaster
        self._of_history: bool | None = None  # not tried yet
        self._began = time.perf_counter()
        self._seconds = 0.0

    def at_look(self, variances: Sequence[tuple[int, float]], goal: Goal) -> Risk | None:
        """`fit`, or the latest where fitting has taken its share of the run's time.

        Args:
            variances: (step, predictive variance) of each look, the one at hand included.
            goal: what the run is judged by.
        """
        elapsed = time.perf_counter() - self._began
        if self.latest is not None and self._seconds > _TIME_SHARE * elapsed:
            return self.latest
        return self.fit(variances, goal)

    def fit(self, variances: Sequence[tuple[int, float]], goal: Goal) -> Risk | None:
        """The curve, its decomposition and c* as of now; None while there are too few looks.

        Args:
            variances: (step, predictive variance) of each look.
            goal: what the run is judged by.
        """
        began = time.perf_counter()
        if self._of_history is None:
            self._of_history = False
            self.latest = risk_of_history(self._runs, goal, self._plan, self._forecaster)
            self._of_history = self.latest is not None
        if not self._of_history:
            self.latest = risk_of_looks(variances, goal, self._plan) or self.latest
        self._seconds += time.perf_counter() - began
        return self.latest


def risk_of_history(
    runs: Sequence[RunRecord], goal: Goal, plan: RunRecord, forecaster: Forecaster
) -> Risk | None:
    """Risk as the squared forecast errors of completed runs of the task, each left out in turn.

    Args:
        runs: completed runs of the same task; None is returned for fewer than `MIN_RUNS`.
        goal: what the run is judged by.
        plan: the watched run before its first step.
        forecaster: the watched run's forecaster, refitted without each run in turn.
    """
    runs_of_goal = [
        run
        for run in runs
        if run.max_steps == plan.max_steps
        and run.has_outcome(goal)
        and math.isfinite(run.outcome(goal))
    ][-MAX_RUNS:]
    if len(runs_of_goal) < MIN_RUNS:
        return None
    looks = look_steps(plan.max_steps)
    replayed = np.unique(looks[np.linspace(0, looks.size - 1, _REPLAYED_DEPTHS).astype(int)])
    depths = [float(depth) for depth in replayed if depth > 0]
    measured = replay_risk(runs_of_goal, forecaster.refit, depths, goal)
    rows = zip(measured.depths, measured.risks, measured.counts, strict=True)
    return _fitted(
        tuple((float(c), float(risk), float(n)) for c, risk, n in rows),
        goal,
        plan,
        f"forecast errors of {len(runs_of_goal)} completed runs of this task",
        counted=True,
    )


def risk_of_looks(
    variances: Sequence[tuple[int, float]], goal: Goal, plan: RunRecord
) -> Risk | None:
    """Risk as the variance of the run's own forecasts, one at each look.

    The forecaster's idea of its own error, from one run: right as far as its intervals hold.

    Args:
        variances: (step, predictive variance) of each look, in order.
        goal: what the run is judged by.
        plan: the watched run before its first step.
    """
    # The square of what an exploding metric reaches may be infinite.
    finite = [(step, variance) for step, variance in variances if step > 0 and variance < math.inf]
    rows = [(float(step), variance, 1.0) for step, variance in finite]
    if len(rows) < MIN_DEPTHS:
        return None
    source = "variance of this run's own forecasts"
    return _fitted(tuple(rows), goal, plan, source, counted=False)


def _fitted(
    rows: tuple[tuple[float, float, float], ...],
    goal: Goal,
    plan: RunRecord,
    source: str,
    *,
    counted: bool,
) -> Risk:
    depths, risks, counts = (list(column) for column in zip(*rows, strict=True))
    # A first parameter group that is frozen by a rate of 0 says nothing about the others.
    rates = plan.schedule if plan.schedule is not None and plan.schedule.any() else None
    fit = fit_risk_curve(
        depths,
        risks,
        counts=counts if counted else None,
        horizon=plan.max_steps,
        learning_rates=rates,
        tolerance=goal.tolerance,
    )
    return Risk(rows, source, fit, float(fit.optimal_depth()))
