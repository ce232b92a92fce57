"""A long run's model, rows, collator and metrics, by the kind of its task."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorWithPadding

from benchmarks.longruns import models
from benchmarks.longruns.data import Example, split
from benchmarks.longruns.setting import LongSetting
from benchmarks.recording.models import minilm_tokenizer
from benchmarks.recording.train import macro_f1

Rows = list[dict[str, Any]]
Metrics = Callable[[Any], dict[str, float]]
# The special tokens keep the ids that MiniLM's configuration names.
_SPECIAL = 104
_FAULTY_TOKENS = 3


@dataclass(frozen=True, eq=False)
class Task:
    """What a Trainer needs besides its arguments.

    Args:
        model: builds the untrained model, equal at each call.
        train_rows: tokenized rows.
        eval_rows: tokenized rows.
        collator: of a batch.
        metrics: ``compute_metrics``; None for language models.
        labels: (n,) classes of the evaluation rows, None where there are none.
        n_labels: number of classes or outputs; 0 for language models.
        trivial: metric -> value of a predictor that does not look at the inputs.
    """

    model: Callable[[], torch.nn.Module]
    train_rows: Rows
    eval_rows: Rows
    collator: Any
    metrics: Metrics | None = None
    labels: np.ndarray | None = None
    n_labels: int = 0
    trivial: Mapping[str, float] | None = None


def build(setting: LongSetting) -> Task:
    """The task of a setting."""
    return _BUILDERS[setting.kind](setting)


def _classification(setting: LongSetting) -> Task:
    train, test, n_labels = split(setting)
    rows, vocabulary = compact([_encoded(part, setting) for part in (train, test)], setting)
    labels = np.array([example.target for example in test])
    counts = np.bincount(labels, minlength=n_labels)
    constant = np.full(len(labels), counts.argmax())
    return Task(
        model=lambda: models.minilm(
            setting.model, setting.method, vocabulary, setting.seed, num_labels=n_labels
        ),
        train_rows=rows[0],
        eval_rows=rows[1],
        collator=DataCollatorWithPadding(minilm_tokenizer()),
        metrics=_class_metrics(n_labels),
        labels=labels,
        n_labels=n_labels,
        trivial={
            "eval_accuracy": float(counts.max() / counts.sum()),
            "eval_f1": macro_f1(constant, labels, n_labels),
        },
    )


def _encoded(examples: list[Example], setting: LongSetting) -> Rows:
    limit = _FAULTY_TOKENS if setting.fault == "truncated" else setting.max_tokens
    seconds = [example.second for example in examples if example.second is not None]
    encoded = minilm_tokenizer()(
        [example.text for example in examples],
        *([seconds] if seconds else []),
        truncation=True,
        max_length=limit,
    )
    columns = [name for name in encoded if name != "token_type_ids" or seconds]
    return [
        {name: encoded[name][i] for name in columns} | {"labels": example.target}
        for i, example in enumerate(examples)
    ]


def compact(parts: list[Rows], setting: LongSetting) -> tuple[list[Rows], torch.Tensor]:
    """Rows with token ids of their own, and MiniLM's ids of these tokens in that order.

    The faults of the wiring are planted here: ids of another tokenizer, a mask that hides the text.
    """
    used = sorted({token for rows in parts for row in rows for token in row["input_ids"]})
    vocabulary = [*range(_SPECIAL), *(token for token in used if token >= _SPECIAL)]
    place = {token: i for i, token in enumerate(vocabulary)}
    if setting.fault == "vocabulary":
        tokens = list(range(_SPECIAL, len(vocabulary)))
        random.Random("vocabulary").shuffle(tokens)
        vocabulary = [*range(_SPECIAL), *(vocabulary[token] for token in tokens)]
    hidden = setting.fault == "mask"
    compacted = [
        [
            row
            | {"input_ids": [place[token] for token in row["input_ids"]]}
            | ({"attention_mask": [1] + [0] * (len(row["input_ids"]) - 1)} if hidden else {})
            for row in rows
        ]
        for rows in parts
    ]
    return compacted, torch.tensor(vocabulary)


@cache
def _class_metrics(n_labels: int) -> Metrics:
    def compute(evaluated: Any) -> dict[str, float]:
        predicted = np.argmax(evaluated.predictions, axis=-1)
        labels = evaluated.label_ids
        return {
            "accuracy": float(np.mean(predicted == labels)),
            "f1": macro_f1(predicted, labels, n_labels),
        }

    return compute


_BUILDERS = {"single": _classification, "pair": _classification}
