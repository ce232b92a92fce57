"""The Trainer of a setting, as both of the demo's tasks build it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments

from hf_ftrisk.demo.data import with_shuffled_targets
from hf_ftrisk.demo.setting import DemoSetting

T = TypeVar("T")


def demo_trainer(
    setting: DemoSetting,
    folder: Path,
    *,
    rows: tuple[Sequence[tuple[str, T]], Sequence[tuple[str, T]]],
    encoded: Callable[[list[tuple[str, T]]], list[dict[str, Any]]],
    max_steps: int,
    eval_every: int,
    arguments: Mapping[str, Any],
    **own: Any,
) -> Trainer:
    """The Trainer of a setting, as a user would build it, with the bar alone.

    Args:
        setting: learning rate, seed, and whether the targets of the training rows are shuffled.
        folder: the Trainer's ``output_dir``.
        rows: (text, target) of the training rows, and of the evaluation rows.
        encoded: rows as the model takes them.
        max_steps: optimizer steps of the run.
        eval_every: steps between two evaluations, and between two logs.
        arguments: what of the `TrainingArguments` the task alone sets.
        own: what the task gives the Trainer: model, tokenizer, collator, metrics.
    """
    train, test = rows
    if setting.shuffled:
        train = with_shuffled_targets(train, setting.seed)
    trainer = Trainer(
        args=_arguments(setting, folder, max_steps, eval_every, arguments),
        train_dataset=encoded(list(train)),
        eval_dataset=encoded(list(test)),
        **own,
    )
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(ProgressBar)
    return trainer


def _arguments(
    setting: DemoSetting, folder: Path, max_steps: int, eval_every: int, own: Mapping[str, Any]
) -> TrainingArguments:
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
