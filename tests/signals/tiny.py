"""Tiny models and Trainers, built here: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

VOCABULARY = 40


def bert(num_labels: int = 2, seed: int = 0) -> BertForSequenceClassification:
    torch.manual_seed(seed)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=32,
            num_labels=num_labels,
        )
    )


def llama(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=16,
            max_position_embeddings=64,
        )
    )


def tokenizer() -> PreTrainedTokenizerFast:
    """One word, one token: "w4" is 4."""
    special = ["<pad>", "<unk>", "<s>", "</s>"]
    words = special + [f"w{i}" for i in range(len(special), VOCABULARY)]
    model = WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    backend = Tokenizer(model)
    backend.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=64,
    )


def classified_rows(n_rows: int, seed: int = 0, length: int = 8) -> list[dict[str, Any]]:
    """Rows whose label says which half of the vocabulary their tokens come from."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n_rows):
        label = i % 2
        ids = rng.integers(4, VOCABULARY // 2, size=length) + label * (VOCABULARY // 2 - 4)
        rows.append({"input_ids": ids.tolist(), "attention_mask": [1] * length, "labels": label})
    return rows


def prompted_rows(n_rows: int, prompt: int = 3, response: int = 5) -> list[dict[str, Any]]:
    """Language-model rows whose first `prompt` labels are masked."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(n_rows):
        ids = rng.integers(4, VOCABULARY, size=prompt + response).tolist()
        rows.append(
            {
                "input_ids": ids,
                "attention_mask": [1] * len(ids),
                "labels": [-100] * prompt + ids[prompt:],
            }
        )
    return rows


def arguments(folder: Path, **changes: Any) -> TrainingArguments:
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 4,
        "max_steps": 4,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "save_strategy": "no",
    }
    return TrainingArguments(**(settings | changes))


def trainer_of(model: torch.nn.Module, rows: Any, folder: Path, **fields: Any) -> Trainer:
    fields.setdefault("eval_dataset", rows)
    return Trainer(model=model, args=arguments(folder), train_dataset=rows, **fields)
