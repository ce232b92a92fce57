"""The gain that matters: what is too small to train on for."""

from __future__ import annotations

import math

import numpy as np

from hf_ftrisk.forecast.features import eval_rows
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import MAX_ERRORS_PER_WORD, metric_facts
from hf_ftrisk.record import RunRecord

_POINT = 0.01
_SHARE_OF_A_LOSS = 0.02
_LEAST = 1e-9
# How a run that has nothing more to gain may end.
WAYS = ("gain", "goal", "anneal")


def evaluations(record: RunRecord, goal: Goal) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values (n,), (n,) of the finite evaluations after step 0."""
    return record.trained(goal.metric)


def tolerance_of(goal: Goal, record: RunRecord, tolerance: float | None = None) -> float:
    """The gain that matters, in the metric's units.

    Args:
        goal: the metric.
        record: the run so far.
        tolerance: the user's own; None: one point of a rate, a correlation or an error per word,
            2 % of the best loss so far, 2 % of the greatest value of a metric of another scale; for
            a rate not less than the standard error of its best evaluation, where the number of
            evaluated rows is known.

    Raises:
        ValueError: a tolerance that is not a finite number above 0.
    """
    if tolerance is not None:
        return checked_tolerance(tolerance, goal)
    _, values = evaluations(record, goal)
    if not values.size:
        return _POINT * goal.unit
    best = float(values.max() if goal.greater_is_better else values.min())
    if goal.kind in ("rate", "percent", "correlation"):
        return max(_POINT * goal.unit, _standard_error(goal, record, best))
    facts = metric_facts(goal.metric)
    if facts is not None and facts.mostly_below is not None:
        return _POINT * (100.0 if values.max() > MAX_ERRORS_PER_WORD else 1.0)
    size = abs(best) if goal.kind == "loss" else float(np.abs(values).max())
    return max(_SHARE_OF_A_LOSS * size, _LEAST)


def checked_tolerance(tolerance: float, goal: Goal | None = None) -> float:
    """The tolerance, refused where it cannot be one."""
    if isinstance(tolerance, bool) or not math.isfinite(tolerance) or tolerance <= 0:
        units = "the goal's metric" if goal is None else goal.metric
        raise ValueError(
            f"tolerance must be a finite number above 0, in units of {units}: the gain that is "
            f"too small to train on for; got {tolerance!r}"
        )
    return float(tolerance)


def check_finish(way: str | None, tolerance: float | None) -> None:
    """Refuse a way to finish that there is not, and a tolerance that cannot be one.

    Raises:
        ValueError: either.
    """
    if way not in (None, *WAYS):
        raise ValueError(f"finish must be one of {list(WAYS)} or None, got {way!r}")
    if tolerance is not None:
        checked_tolerance(tolerance)


def _standard_error(goal: Goal, record: RunRecord, best: float) -> float:
    rows = eval_rows(record)
    if goal.kind == "correlation" or rows is None:
        return 0.0
    share = min(max(best / goal.unit, 0.0), 1.0)
    return goal.unit * math.sqrt(share * (1.0 - share) / rows)
