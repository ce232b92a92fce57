"""Many replayed runs: how far the forecasts were off, and what the stops would have saved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.replay.replay import Replay

_ERROR_CAP = math.log(2.0)


@dataclass(frozen=True)
class DepthSummary:
    """Forecasts of many finished runs at one depth.

    Args:
        kind: range of the metric: ``"rate"``, ``"loss"``, ...; kinds are never averaged together.
        share: depth as a share of the run.
        runs: finished runs behind the row.
        error: mean absolute error of the forecast's median, in the metric's units; for losses that
            of the logarithm, capped at log 2.
        last_error: the same for the last value.
        best_error: the same for the best value so far.
        coverage: share of runs whose outcome the 90 % interval held.
    """

    kind: str
    share: float
    runs: int
    error: float
    last_error: float
    best_error: float
    coverage: float


@dataclass(frozen=True)
class Summary:
    """Many runs, replayed.

    Args:
        runs: runs read.
        finished: of those, runs with an outcome.
        judged: of those, runs with a target or a known baseline.
        good: of those, runs that ended well; None when there are none to judge.
        stopped: runs that would have been stopped.
        stopped_good: of those, runs that ended well.
        saved_share: share of all planned steps that the stops would have saved.
        depths: forecast errors by depth.
    """

    runs: int
    finished: int
    judged: int
    good: int | None
    stopped: int
    stopped_good: int
    saved_share: float
    depths: tuple[DepthSummary, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {**vars(self), "depths": [dict(vars(depth)) for depth in self.depths]}


def summarize(replays: Iterable[Replay]) -> Summary:
    """Summary over runs: forecast errors by depth, stops and what they would have saved."""
    runs = list(replays)
    judged = [run.good for run in runs if run.good is not None]
    stops = [run for run in runs if run.stopped_at is not None]
    planned = sum(run.record.max_steps for run in runs)
    saved = sum(run.saved_share * run.record.max_steps for run in stops)
    depths = sorted({(str(run.goal.kind), look.share) for run in runs for look in run.looks})
    rows = [_at_depth(runs, kind, share) for kind, share in depths]
    return Summary(
        runs=len(runs),
        finished=sum(run.outcome is not None for run in runs),
        judged=len(judged),
        good=sum(judged) if judged else None,
        stopped=len(stops),
        stopped_good=sum(run.good is True for run in stops),
        saved_share=saved / planned if planned else 0.0,
        depths=tuple(row for row in rows if row is not None),
    )


def _error(goal: Goal, value: float, outcome: float) -> float:
    if goal.kind == "loss" and value > 0 and outcome > 0:
        return min(abs(math.log(value / outcome)), _ERROR_CAP)
    return abs(value - outcome)


def _at_depth(runs: Sequence[Replay], kind: str, share: float) -> DepthSummary | None:
    errors: list[list[float]] = []
    inside: list[bool] = []
    for run in runs:
        if run.goal.kind != kind or run.outcome is None or not math.isfinite(run.outcome):
            continue
        for look in run.looks:
            if look.share != share or look.observed is None or look.best is None:
                continue
            guesses = (look.median, look.observed, look.best)
            errors.append([_error(run.goal, guess, run.outcome) for guess in guesses])
            inside.append(look.low <= run.outcome <= look.high)
    if not errors:
        return None
    error, last, best = (float(mean) for mean in np.mean(errors, axis=0))
    return DepthSummary(kind, share, len(inside), error, last, best, float(np.mean(inside)))
