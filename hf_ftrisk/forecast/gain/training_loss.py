"""The training loss in place of evaluations, for runs that have none."""

from __future__ import annotations

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
