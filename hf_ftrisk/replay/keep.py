"""Which checkpoint of a run to keep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord


@dataclass(frozen=True)
class Keep:
    """The best evaluation, and the checkpoint that holds it.

    Args:
        step: step of the best evaluation.
        value: the goal metric there.
        last: the goal metric at the last evaluation.
        last_step: step of that.
        checkpoint: folder to keep, such as ``checkpoint-300``; None where none is known.
        checkpoint_value: the goal metric at that checkpoint, None where it was not evaluated.
        beats_baseline: whether the best evaluation is better than the trivial baseline, None where
            that is not known.
    """

    step: int
    value: float
    last: float
    last_step: int
    checkpoint: str | None = None
    checkpoint_value: float | None = None
    beats_baseline: bool | None = None


def keep_of(record: RunRecord, goal: Goal, file: Path | None = None) -> Keep | None:
    """What to keep of a run, None where nothing was evaluated.

    Args:
        record: the run.
        goal: what it is judged by.
        file: its state file; checkpoints beside it are those that can be kept.
    """
    steps, values = record.finite(goal.metric)
    if not steps.size:
        return None
    baseline = record.baseline(goal)
    better = values if goal.greater_is_better else -values
    best = int(np.argmax(better))
    saved = [] if file is None else _saved(file)
    name, at = None, None
    evaluated = dict(zip(steps.astype(int).tolist(), values.tolist(), strict=True))
    if saved:
        sign = 1.0 if goal.greater_is_better else -1.0
        evaluated_checkpoints = [step for step in saved if step in evaluated]
        best_checkpoint = (
            max(evaluated_checkpoints, key=lambda step: sign * evaluated[step])
            if evaluated_checkpoints
            else max(saved)
        )
        name, at = f"checkpoint-{best_checkpoint}", evaluated.get(best_checkpoint)
    return Keep(
        step=int(steps[best]),
        value=float(values[best]),
        last=float(values[-1]),
        last_step=int(steps[-1]),
        checkpoint=name,
        checkpoint_value=at,
        beats_baseline=None if baseline is None else goal.is_better(float(values[best]), baseline),
    )


def _saved(file: Path) -> list[int]:
    """Steps of the checkpoints beside a state file, in order."""
    folder = file.parent
    if folder.name.startswith("checkpoint-"):
        folder = folder.parent
    tails = (
        folder_found.name.removeprefix("checkpoint-")
        for folder_found in folder.glob("checkpoint-*")
    )
    return sorted(int(tail) for tail in tails if tail.isdigit())
