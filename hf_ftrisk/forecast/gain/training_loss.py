"""The training loss in place of evaluations, for runs that have none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

TRAIN_LOSS = Goal("train_loss")
# Parts of the run over which the training loss is averaged: each mean stands for an evaluation.
PARTS = 25


def with_training_loss(record: RunRecord) -> RunRecord:
    """The run with the mean training loss of each part of it as its only evaluations.

    Args:
        record: the run so far; a part that is not over yet gives no value.
    """
    steps, losses = record.train_curve()
    is_usable = np.isfinite(losses) & (losses > 0)
    steps, losses = steps[is_usable], losses[is_usable]
    part_of_step = np.ceil(steps / record.max_steps * PARTS - 1e-9).astype(int)
    done = record.progress * PARTS + 1e-9
    complete = [
        number for number in np.unique(part_of_step).tolist() if 0 < number <= min(done, PARTS)
    ]
    return replace(
        record,
        eval_step=np.array([number * record.max_steps / PARTS for number in complete]),
        evals={
            TRAIN_LOSS.metric: np.array(
                [float(losses[part_of_step == number].mean()) for number in complete]
            )
        },
        nan_steps={},
    )


def mean_losses_at(record: RunRecord, ends: Iterable[int]) -> RunRecord | None:
    """The run with the mean training loss before each of some steps as its only evaluations.

    Args:
        record: the run so far.
        ends: increasing steps above 0; the mean at each is of the logs since the one before it. One
            without a log gives no value.

    Returns:
        None while there is no loss above 0.
    """
    steps, losses = record.finite_losses()
    means: dict[int, float] = {}
    begin = 0
    for end in ends:
        inside = losses[(steps > begin) & (steps <= end)]
        if inside.size:
            means[end] = float(inside.mean())
        begin = end
    if not means or min(means.values()) <= 0:
        return None
    return replace(
        record,
        eval_step=np.array(list(means), dtype=np.float64),
        evals={TRAIN_LOSS.metric: np.array(list(means.values()))},
        nan_steps={},
    )
