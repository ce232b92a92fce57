"""The Trainer's own progress bar, without a line for each log entry."""

from __future__ import annotations

from typing import Any

from transformers import PrinterCallback, ProgressCallback, Trainer


class ProgressBar(ProgressCallback):
    """The bar alone: the demo prints its own tables."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Nothing."""


def quiet(trainer: Trainer) -> Trainer:
    """The same Trainer with the bar alone."""
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(ProgressBar)
    return trainer
