"""The Trainer of the text task: all-MiniLM-L6-v2 with a new head on BBC News."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    set_seed,
)

from hf_ftrisk.demo.data import bbc_news
from hf_ftrisk.demo.packages import minilm_folder
from hf_ftrisk.demo.setting import DemoSetting
from hf_ftrisk.demo.training import demo_trainer

MAX_TOKENS = 24
MAX_STEPS = 300
EVAL_EVERY = 15
EVAL_ROWS = 200


def text_trainer(setting: DemoSetting, folder: Path) -> Trainer:
    """The Trainer of a setting of the text task (`demo_trainer`).

    Raises:
        MissingDemoPackageError: a package with the model or the data is not installed.
    """
    articles = bbc_news()
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    return demo_trainer(
        setting,
        folder,
        rows=(articles.train, articles.test[:EVAL_ROWS]),
        encoded=partial(_encoded, tokenizer=tokenizer),
        max_steps=MAX_STEPS,
        eval_every=EVAL_EVERY,
        arguments={
            "warmup_steps": MAX_STEPS // 10,
            "per_device_train_batch_size": 16,
            "per_device_eval_batch_size": 50,
        },
        model=_model(articles.topics, setting.seed),
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        compute_metrics=_accuracy,
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
