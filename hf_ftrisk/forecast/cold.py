"""The forecast that knows no run of the same task: what runs of other sources did from here."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from scipy.special import ndtri

from hf_ftrisk.forecast.change_model import ChangeModel, Ending
from hf_ftrisk.forecast.features import RunState, eval_rows
from hf_ftrisk.forecast.scale import Scale
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

# Rows of an evaluation set whose sampling noise the known runs' own changes already show.
_USUAL_ROWS = 1000.0
# z that rounding alone sets apart.
_SAME = 1e-9
# A share of the range: a score no farther than this from where untrained models are has not begun
# to move, and says little of the end in the first half of a run.
NOT_MOVED, UNTIL = 0.02, 0.5
Start = Literal["trivial", "floor"]
# As in `conformal_quantile` a further source may do anything, and weighs like each of 10 known
# ones: intervals that held in 75 of 100 hold in 90 then (`benchmarks.forecasting.floor`).
UNKNOWN_SHARE = 1 / 11
# At the beginning of a run what was known before it counts as much as a first evaluation that shows
# no more than the trivial predictor; so much less from a tenth of the run on.
_FIRST_SHARE, _FIRST_PART = 0.5, 0.1


def cold_values(
    state: RunState, record: RunRecord, goal: Goal, model: ChangeModel, n: int
) -> np.ndarray:
    """Draws (n,) of the outcome in the metric's units.

    Args:
        state: the record's evaluations, at least one.
        record: the run so far.
        goal: what is forecast, on the scale of its values.
        model: what runs of other sources say.
        n: number of draws.
    """
    best = keeps_best(record, goal)
    start = state.best if best else state.last
    value = state.evaluations[int(np.argmax(state.z)) if best else -1]
    if state.steps[-1] >= 1.0:
        return np.full(n, float(value))
    ending: Ending = "best" if best else "end"
    changes = model.changes(state.features, state.curve, record.progress, ending, n)
    z = start + changes + sampling_noise(state, record, start, n)
    if best:
        z = np.maximum(z, start)
    values = np.where(np.abs(z - start) <= _SAME, value, state.scale.inverse(z))
    values = within(values, state.scale, goal, state.evaluations)
    trivial = record.baseline(goal)
    if trivial is None or not np.isfinite(trivial):
        return np.asarray(values)
    # To the last digit: who is at the trivial predictor's z does not beat it.
    worst = np.minimum if goal.greater_is_better else np.maximum
    at_most = z <= float(state.scale.forward(trivial)) + _SAME
    return np.asarray(np.where(at_most, worst(values, trivial), values))


def share_before(state: RunState, record: RunRecord, goal: Goal) -> float:
    """Share of the draws that come from the forecast before any evaluation.

    0 unless the best evaluation is still where untrained models are: early in a run such a value
    says little of the end, whatever known runs did from there.

    Args:
        state: the record's evaluations, at least one.
        record: the run so far.
        goal: what is forecast, on the scale of its values.
    """
    where = stands_at(state, record, goal)
    if where is None or record.progress > UNTIL:
        return 0.0
    first = _FIRST_SHARE * (1.0 - record.progress / _FIRST_PART) if where == "trivial" else 0.0
    return max(UNKNOWN_SHARE, first)


def stands_at(state: RunState, record: RunRecord, goal: Goal) -> Start | None:
    """Where untrained models stand, if a score's best evaluation is hardly better; None if it is.

    ``"trivial"``: beside a known trivial predictor; ``"floor"``: near 0.

    Args:
        state: the record's evaluations, at least one.
        record: the run so far.
        goal: what is forecast, on the scale of its values.
    """
    if state.scale.shape not in ("rate", "correlation"):
        return None
    sign, trivial = state.scale.sign, record.baseline(goal)
    best = float(np.max(sign * state.evaluations))
    if trivial is not None:
        room = max(sign * bound for bound in goal.bounds) - sign * trivial
        if best - sign * trivial <= NOT_MOVED * room:
            return "trivial"
    rises = state.scale.shape == "rate" and sign > 0.0
    return "floor" if rises and best <= NOT_MOVED * state.scale.unit else None


def mixed(values: np.ndarray, others: np.ndarray, share: float) -> np.ndarray:
    """Draws (n,) of which a share is from another distribution.

    Args:
        values: (n,) draws.
        others: (m,) draws of the other.
        share: of the other's, in [0, 1].
    """
    count = round(share * values.size)
    parts = ((values, values.size - count), (others, count))
    return np.concatenate([np.quantile(x, (np.arange(k) + 0.5) / k) for x, k in parts if k])


def within(values: np.ndarray, scale: Scale, goal: Goal, evaluated: np.ndarray) -> np.ndarray:
    """Values (n,) in the metric's range; errors per word end at most at 1, or at what was shown.

    Args:
        values: draws in the metric's units.
        scale: its scale.
        goal: the metric.
        evaluated: (m,) evaluations so far.
    """
    low, high = goal.bounds
    if scale.shape == "error":
        high = float(np.max(evaluated, initial=scale.unit))
    return np.asarray(np.clip(values, low, high))


def keeps_best(record: RunRecord, goal: Goal) -> bool:
    """Whether the run's result is its best evaluation of this very metric."""
    selection = record.selection
    by_this_metric = selection is None or (
        (selection.metric, selection.greater_is_better) == (goal.metric, goal.greater_is_better)
    )
    return record.load_best and by_this_metric


def sampling_noise(state: RunState, record: RunRecord, z: float, n: int) -> np.ndarray:
    """What an evaluation on few rows adds to a change of z, (n,) in no order.

    A share p of `rows` rows is uncertain by a binomial's sd, p taken one row away from 0 and 1
    (Wilson 1927); known runs show what it adds with `_USUAL_ROWS` rows.
    """
    rows = eval_rows(record)
    if rows is None or rows >= _USUAL_ROWS or state.scale.shape not in ("rate", "correlation"):
        return np.zeros(n)
    share = 1.0 / (1.0 + np.exp(-z))
    p = (share * rows + 1.0) / (rows + 2.0)
    variance = (1.0 / rows - 1.0 / _USUAL_ROWS) / (p * (1.0 - p))
    return np.asarray(np.sqrt(variance) * _normal_draws(n))


@cache
def _normal_draws(n: int) -> np.ndarray:
    """Normal quantiles (n,) at even levels in no order, always the same."""
    draws = ndtri((np.random.default_rng(0).permutation(n) + 0.5) / n)
    draws.setflags(write=False)
    return np.asarray(draws)
