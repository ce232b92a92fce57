"""From a callback to the Trainer that calls it."""

from __future__ import annotations

import sys
from typing import Any

_DEPTH = 30  # calls between the event and the Trainer: guards, and wrappers of other programs


def calling_trainer(callback: Any) -> Any | None:
    """The Trainer whose event is being handled, None if it cannot be told.

    Trainer tells its callbacks everything but itself. It stands a few calls above them, so it is
    looked for there, and taken only when this very callback is among its callbacks.
    """
    from transformers import Trainer

    frame = sys._getframe(1)
    for _ in range(_DEPTH):
        if frame.f_back is None:
            return None
        frame = frame.f_back
        owner = frame.f_locals.get("self")
        if isinstance(owner, Trainer) and holds(owner, callback):
            return owner
    return None


def training_call(trainer: Any) -> Any | None:
    """What lives exactly as long as the Trainer's call of `train`; None if it cannot be told."""
    frame = sys._getframe(1)
    for _ in range(_DEPTH):
        if frame.f_back is None:
            return None
        frame = frame.f_back
        if frame.f_code.co_name == "train" and frame.f_locals.get("self") is trainer:
            return frame.f_locals.get("inner_training_loop")
    return None


def holds(trainer: Any, callback: Any) -> bool:
    """Whether the callback is one of the Trainer's."""
    return any(other is callback for other in trainer.callback_handler.callbacks)
