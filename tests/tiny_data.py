"""Tiny data and helpers that several packages' tests train with."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import nn

VOCABULARY = 40
LENGTH = 8


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


def accuracy(prediction: Any) -> dict[str, float]:
    """Share of rows whose largest logit is the label's."""
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over every parameter and buffer, bit by bit."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
