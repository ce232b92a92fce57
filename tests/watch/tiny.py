"""Tiny real models, data and Trainers for the tests of the callback."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

VOCABULARY = 40
LENGTH = 8
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


def classification_data(rows: int, seed: int) -> Dataset:
    """Token rows whose label says whether the first token lies in the upper half."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(5, VOCABULARY, size=(rows, LENGTH))
    labels = (tokens[:, 0] >= VOCABULARY // 2).astype(int)
    return Dataset.from_dict(
        {
            "input_ids": tokens.tolist(),
            "attention_mask": np.ones_like(tokens).tolist(),
            "labels": labels.tolist(),
        }
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


def accuracy(prediction: Any) -> dict[str, float]:
    """Share of rows whose largest logit is the label's."""
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


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


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over every parameter and buffer, bit by bit."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
