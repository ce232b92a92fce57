"""What the trainings of both of the demo's tasks share: rows, arguments, the progress bar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments

from hf_ftrisk.demo.data import with_shuffled_targets
from hf_ftrisk.demo.setting import DemoSetting

T = TypeVar("T")


def training_rows(rows: Sequence[tuple[str, T]], setting: DemoSetting) -> list[tuple[str, T]]:
    """The rows a setting trains on: its targets are shuffled where it says so."""
    return with_shuffled_targets(rows, setting.seed) if setting.shuffled else list(rows)


def training_arguments(
    setting: DemoSetting, folder: Path, *, max_steps: int, eval_every: int, **own: Any
) -> TrainingArguments:
    """Arguments of a setting's run.

    Args:
        setting: learning rate and seed.
        folder: the Trainer's ``output_dir``.
        max_steps: optimizer steps of the run.
        eval_every: steps between two evaluations, and between two logs.
        own: what the task alone sets.
    """
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=max_steps,
        learning_rate=setting.learning_rate,
        lr_scheduler_type="linear",
        eval_strategy="steps",
        eval_steps=eval_every,
        logging_steps=eval_every,
        # A stopped run is saved where it stands; nothing else is.
        save_strategy="steps",
        save_steps=max_steps,
        report_to="none",
        seed=setting.seed,
        dataloader_pin_memory=torch.cuda.is_available(),
        **own,
    )


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
