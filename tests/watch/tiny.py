"""Tiny real models, data and Trainers for the tests of the callback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

from tests.tiny_data import LENGTH, VOCABULARY, accuracy, classification_data

# What `Trainer.__init__` takes and `TrainingArguments` does not.
_OWN = (
    "callbacks",
    "compute_metrics",
    "data_collator",
    "eval_dataset",
    "model_init",
    "optimizers",
    "train_dataset",
)


def bert(seed: int = 0) -> BertForSequenceClassification:
    """A one-layer classifier of 16 dimensions, with dropout."""
    set_seed(seed)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=LENGTH,
            num_labels=2,
        )
    )


def bert_trainer(folder: Path, *, kind: type[Trainer] = Trainer, **settings: Any) -> Trainer:
    """A classifier's Trainer: 40 steps, evaluated every 10."""
    own = {name: settings.pop(name) for name in _OWN if name in settings}
    own.setdefault("train_dataset", classification_data(96, seed=1))
    own.setdefault("eval_dataset", classification_data(48, seed=2))
    own.setdefault("compute_metrics", accuracy)
    if "model_init" not in own:
        own["model"] = settings.pop("model", None) or bert()
    defaults: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "max_steps": 40,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 48,
        "learning_rate": 5e-3,
        "eval_strategy": "steps",
        "eval_steps": 10,
        "logging_steps": 500,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 3,
    }
    return kind(args=TrainingArguments(**(defaults | settings)), **own)
