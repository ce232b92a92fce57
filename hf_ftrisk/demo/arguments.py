"""The training arguments that both of the demo's tasks share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from hf_ftrisk.demo.setting import DemoSetting


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
