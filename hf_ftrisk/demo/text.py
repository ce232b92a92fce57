"""The Trainer of the text task: all-MiniLM-L6-v2 with a new head on BBC News."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from hf_ftrisk.demo.data import bbc_news
from hf_ftrisk.demo.packages import minilm_folder
from hf_ftrisk.demo.setting import DemoSetting
from hf_ftrisk.demo.training import quiet, training_arguments, training_rows

MAX_TOKENS = 24
MAX_STEPS = 300
EVAL_EVERY = 15
EVAL_ROWS = 200


def text_trainer(setting: DemoSetting, folder: Path) -> Trainer:
    """The Trainer of a setting, as a user would build it.

    Args:
        setting: learning rate, and whether the labels are shuffled.
        folder: the Trainer's ``output_dir``.

    Raises:
        MissingDemoPackageError: a package with the model or the data is not installed.
    """
    articles = bbc_news()
    train = training_rows(articles.train, setting)
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    return quiet(
        Trainer(
            model=_model(articles.topics, setting.seed),
            args=_arguments(setting, folder),
            train_dataset=_encoded(train, tokenizer),
            eval_dataset=_encoded(list(articles.test[:EVAL_ROWS]), tokenizer),
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
            compute_metrics=_accuracy,
        )
    )


def _model(topics: tuple[str, ...], seed: int) -> torch.nn.Module:
    set_seed(seed)  # the new head is drawn at random
    # The head is meant to be new: no need to warn of it.
    loading = logging.getLogger("transformers.modeling_utils")
    level = loading.level
    loading.setLevel(logging.ERROR)
    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            minilm_folder(),
            num_labels=len(topics),
            id2label=dict(enumerate(topics)),
            label2id={topic: index for index, topic in enumerate(topics)},
        )
    finally:
        loading.setLevel(level)
    return model  # type: ignore[no-any-return]  # untyped in transformers


def _arguments(setting: DemoSetting, folder: Path) -> TrainingArguments:
    return training_arguments(
        setting,
        folder,
        max_steps=MAX_STEPS,
        eval_every=EVAL_EVERY,
        warmup_steps=MAX_STEPS // 10,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=50,
    )


def _encoded(rows: list[tuple[str, int]], tokenizer: Any) -> list[dict[str, Any]]:
    texts = [text for text, _ in rows]
    encoded = tokenizer(texts, truncation=True, max_length=MAX_TOKENS)
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": label}
        for ids, mask, (_, label) in zip(
            encoded["input_ids"], encoded["attention_mask"], rows, strict=True
        )
    ]


def _accuracy(evaluated: Any) -> dict[str, float]:
    predicted = np.argmax(evaluated.predictions, axis=-1)
    return {"accuracy": float(np.mean(predicted == evaluated.label_ids))}
