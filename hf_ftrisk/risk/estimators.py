"""Estimators of the risk curve L(c): the uncertainty proxy U(c) of arXiv 2606.17649, Algorithm 1.

Both return depths, risks and counts for `fit_risk_curve`, to be called with ``same_runs=True``: the
same runs are looked at at every depth. A count says how surely the risk is
known, as the number of normally distributed runs that would scatter as much: squared errors with
heavy tails (a few failed runs among good ones) are worth fewer runs than there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hf_ftrisk.forecast.distribution import Forecast, Predictor
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.risk.decay import Floats

PredictorFrom = Callable[[Sequence[RunRecord]], Predictor]


@dataclass(frozen=True, eq=False)
class RiskEstimate:
    """Measured risk at each depth.

    Args:
        depths: (n,) optimizer steps.
        risks: (n,) estimates of L at them, squared units of R.
        counts: (n,) normally distributed runs that would scatter as much; at least 2.
        runs: (n,) runs or probes that really stand behind each.
    """

    depths: Floats
    risks: Floats
    counts: Floats
    runs: np.ndarray


def effective_count(squares: Floats) -> float:
    """Number of normally distributed runs whose mean square would scatter as much as this one.

    A mean of squares with mean m and variance v / n has the relative variance v / (n m^2); that of
    a chi-square mean with nu degrees of freedom is 2 / nu. So nu = 2 n m^2 / v, never more than
    n - 1, and the count is nu + 1.

    Args:
        squares: (n,) squared errors, or predictive variances.
    """
    n = squares.size
    if n < 2:
        return 2.0
    mean, variance = float(squares.mean()), float(squares.var(ddof=1))
    dof = n - 1.0
    if variance > 0:
        dof = min(dof, 2.0 * n * mean * mean / variance)
    return max(dof, 1.0) + 1.0


def replay_risk(
    records: Iterable[RunRecord],
    forecaster: Predictor | PredictorFrom,
    depths: Sequence[float],
    goal: Goal,
) -> RiskEstimate:
    """L(c) as the mean squared error of forecasts over completed runs, each left out in turn.

    Args:
        records: completed runs; those without a finite outcome are passed over. Runs of several
            tasks are grouped by `RunRecord.task`; the risk is the mean over all runs.
        forecaster: a function that builds a predictor from the other runs of the same task, such
            as ``lambda others: Forecaster.default(history=others)``; it is called once for each
            run, without that run. Or a finished predictor, for one that has not seen these runs.
        depths: depths c in optimizer steps; at each the runs planned for at least c steps count.
        goal: the metric that is forecast.

    Raises:
        ValueError: fewer than two runs with an outcome, no depth, a depth that is negative, not
            finite, or that fewer than two runs reach.
    """
    runs = [r for r in records if r.has_outcome(goal) and math.isfinite(r.outcome(goal))]
    if len(runs) < 2:
        raise ValueError(
            f"a replay needs at least 2 completed runs with a finite {goal.metric}, got {len(runs)}"
        )
    at = _check_depths(depths)
    for depth in at:
        reached = sum(run.max_steps >= depth for run in runs)
        if reached < 2:
            raise ValueError(f"{reached} of {len(runs)} runs reach depth {depth:g}, 2 are needed")
    errors = np.full((len(runs), at.size), np.nan)
    for i, run in enumerate(runs):
        others = [peer for peer in runs if peer is not run and peer.task == run.task]
        predictor = forecaster if not callable(forecaster) else forecaster(others)
        for j, depth in enumerate(at):
            if run.max_steps >= depth:
                forecast = predictor.predict(_seen(run, float(depth)), goal)
                errors[i, j] = forecast.mean - run.outcome(goal)
    squares = [column[~np.isnan(column)] ** 2 for column in errors.T]
    return _estimate(at, squares)


def probe_risk(forecasts_by_depth: Mapping[float, Sequence[Forecast]]) -> RiskEstimate:
    """L(c) as the mean predictive variance over the probe seeds at each depth.

    The forecaster's own idea of its error: right as far as its intervals hold.

    Args:
        forecasts_by_depth: depth in optimizer steps -> one forecast for each probe seed.

    Raises:
        ValueError: no depth, a depth without a forecast, or one that is negative or not finite.
    """
    at = _check_depths(sorted(forecasts_by_depth))
    empty = [depth for depth in at.tolist() if not forecasts_by_depth[depth]]
    if empty:
        raise ValueError(f"no forecast at depths {empty}")
    return _estimate(
        at, [np.array([f.std**2 for f in forecasts_by_depth[float(depth)]]) for depth in at]
    )


def _check_depths(depths: Sequence[float]) -> Floats:
    at = np.asarray(depths, dtype=np.float64)
    if at.ndim != 1 or at.size == 0 or not np.all(np.isfinite(at)) or np.any(at < 0):
        raise ValueError(f"depths must be a list of optimizer steps, none below 0, got {depths!r}")
    return at


def _seen(run: RunRecord, depth: float) -> RunRecord:
    """The run up to `depth` without its outcome: a prefix of the whole run would still hold it."""
    return replace(run.prefix(depth), final={}, status="running")


def _estimate(depths: Floats, squares: Sequence[Floats]) -> RiskEstimate:
    return RiskEstimate(
        depths=depths,
        risks=np.array([float(s.mean()) for s in squares]),
        counts=np.array([effective_count(s) for s in squares]),
        runs=np.array([s.size for s in squares]),
    )
