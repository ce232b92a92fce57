"""Runs that began far below their trivial predictor, and stay there.

An untrained head does far worse than the most frequent class where classes are many or unequal.
A run that learns anything comes up to it early, and no recorded run that ended above it was still
where it began when a good third of the run was over. The packaged thresholds say nothing about
such runs (`StoppingRule`); this is said by the run's own evaluations.
"""

from __future__ import annotations

import numpy as np

from hf_ftrisk.forecast.features import began_far_below
from hf_ftrisk.forecast.scale import Scale
from hf_ftrisk.forecast.schedule import clocks
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent

# Judged from this share of the run on, in steps and in the sum of the learning rates (a warm-up
# moves little), and of the evaluations that lie at least so far behind the first one.
FROM_SHARE = 0.3
SINCE_FIRST = 0.2
MIN_EVALUATIONS = 3
# The least share of its way up to the trivial predictor that a good recorded run had made by then,
# whatever evaluations it had logged; half of it is the limit. `python -m benchmarks.stopping tables
# --only far-below` prints it, and the share of good runs that it would stop on data sets left out.
SLOWEST_GOOD = 0.25
STAYS = SLOWEST_GOOD / 2
# A loss that falls by more than this is on its way, whatever the metric shows yet: one that
# counts right answers moves late. It fell by 2 % at most in the recorded runs that stayed.
FALLING_LOSS = 0.05
# None of 39 good runs was stopped, on data sets left out either: so many show no less than 1/40.
FALSE_STOPS = 0.03


def way_up(record: RunRecord, goal: Goal) -> np.ndarray:
    """Share of the way from its first evaluation to the trivial predictor that a run has made.

    Args:
        record: a run with finite evaluations that began below its trivial predictor.
        goal: the metric, on the scale on which the run reports it.

    Returns:
        (n_evals,) the largest share so far, in the coordinate of `Scale`: 0 at the first
        evaluation, 1 at the trivial predictor.
    """
    values, trivial = record.finite(goal.metric)[1], record.baseline(goal)
    assert trivial is not None
    scale = Scale.of(goal, values)
    z = scale.forward(values)
    made = (z - z[0]) / (float(scale.forward(trivial)) - z[0])
    return np.asarray(np.maximum.accumulate(made))


def judged_here(record: RunRecord, goal: Goal) -> bool:
    """Whether a run that began far below its trivial predictor can be judged by that by now.

    Args:
        record: the run so far.
        goal: the metric, on the scale on which the run reports it.
    """
    if goal.kind not in ("rate", "percent") or not began_far_below(record, goal):
        return False
    steps = record.finite(goal.metric)[0]
    if steps.size < MIN_EVALUATIONS or steps[-1] - steps[0] < SINCE_FIRST * record.max_steps:
        return False
    share = min(record.progress, float(clocks(record).at(steps[-1:]).drift[0]))
    return share >= FROM_SHARE


def loss_falls(record: RunRecord) -> bool:
    """Whether training or evaluation loss is lower than at first by more than `FALLING_LOSS`."""
    for losses in (record.finite_losses()[1], record.finite("eval_loss")[1]):
        if losses.size < 2:
            continue
        part = max(losses.size // 5, 1)
        first, last = float(losses[:part].mean()), float(losses[-part:].mean())
        if first - last > FALLING_LOSS * abs(first):
            return True
    return False


def stays_far_below(record: RunRecord, goal: Goal) -> str | None:
    """What is said of a run that stays far below its trivial predictor; None: it does not.

    Args:
        record: the run so far.
        goal: what it is judged by, on the scale on which the run reports its metric.
    """
    trivial = record.baseline(goal)
    if trivial is None or not judged_here(record, goal) or loss_falls(record):
        return None
    if goal.meets(trivial, trivial):
        return None  # a target below the trivial predictor: staying below it may be good
    made = float(way_up(record, goal)[-1])
    if made >= STAYS:
        return None
    steps, values = record.finite(goal.metric)
    best = values.max() if goal.greater_is_better else values.min()
    return (
        f"{goal.metric} began at {values[0]:.4g}, far below the trivial {trivial:.4g}, and is at "
        f"best {best:.4g} at step {int(steps[-1])} of {record.max_steps}. By then each recorded "
        "run that began so and ended better than its trivial predictor had gone at least "
        f"{percent(SLOWEST_GOOD)} of the way up to it; here no loss falls either"
    )
