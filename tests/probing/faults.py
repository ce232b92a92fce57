"""Trainers that fail at a chosen call of a chosen method."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from transformers import Trainer

from hf_ftrisk.probing.cost import Ledger
from hf_ftrisk.probing.trainer.bounded import EvalClock


def even_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations cost one step each and end by themselves: the same calls in every pre-flight."""
    monkeypatch.setattr(Ledger, "_price", lambda self, entry: 1.0)
    monkeypatch.setattr(EvalClock, "ends", lambda self, seconds: False)


class Fault:
    """Counts calls by name and raises at one of them.

    Args:
        name: method to fail in; None: only count.
        call: number of the call that fails, from 1.
        error: what is raised.
    """

    def __init__(
        self, name: str | None = None, call: int = 0, error: BaseException | None = None
    ) -> None:
        self.name, self.call, self.error = name, call, error
        self.calls: Counter[str] = Counter()

    def pass_by(self, name: str) -> None:
        self.calls[name] += 1
        if name == self.name and self.calls[name] == self.call:
            assert self.error is not None
            raise self.error


# Before the call does its work, and after: a fault in the middle of an update is the worst.
METHODS = (
    "compute_loss",
    "training_step",
    "create_optimizer",
    "create_scheduler",
    "get_train_dataloader",
    "get_eval_dataloader",
    "evaluation_loop",
    "prediction_step",
    "floating_point_ops",
)


def _failing(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.fault_box[0].pass_by(name)
        result = getattr(Trainer, name)(self, *args, **kwargs)
        self.fault_box[0].pass_by(f"after {name}")
        return result

    return method


# A list: shadow copies of the trainer share its one element.
FaultyTrainer = type(
    "FaultyTrainer",
    (Trainer,),
    {name: _failing(name) for name in METHODS} | {"fault_box": [Fault()]},
)
FaultyTrainer.__doc__ = "A Trainer whose every method asks its fault whether to go on."
