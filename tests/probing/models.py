"""Tiny real models, data and trainers for the tests of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainingArguments,
    set_seed,
)

from tests.tiny_data import LENGTH, VOCABULARY, accuracy, classification_data, weights_hash


def bert(dropout: float = 0.1, seed: int = 0) -> BertForSequenceClassification:
    """A two-layer classifier of 16 dimensions."""
    set_seed(seed)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=LENGTH,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            num_labels=2,
        )
    )


def llama(seed: int = 0) -> LlamaForCausalLM:
    """A two-layer language model of 16 dimensions."""
    set_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


def lora(model: nn.Module, **settings: Any) -> Any:
    """`model` with fresh LoRA adapters."""
    from peft import LoraConfig, get_peft_model

    settings.setdefault("lora_dropout", 0.1)
    return get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", **settings))


def arguments(folder: Path, **settings: Any) -> TrainingArguments:
    """Arguments of a run of 40 steps that logs every step and saves nothing."""
    defaults: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "max_steps": 40,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 16,
        "learning_rate": 5e-3,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 3,
    }
    return TrainingArguments(**(defaults | settings))


def bert_trainer(
    folder: Path, *, kind: type[Trainer] = Trainer, model: nn.Module | None = None, **settings: Any
) -> Trainer:
    """A classifier's Trainer."""
    own = {
        name: settings.pop(name)
        for name in ("callbacks", "model_init", "optimizers", "data_collator", "eval_dataset")
        if name in settings
    }
    own.setdefault("eval_dataset", classification_data(64, seed=2))
    if "model_init" not in own:
        own["model"] = model if model is not None else bert()
    return kind(
        args=arguments(folder, **settings),
        train_dataset=classification_data(96, seed=1),
        compute_metrics=accuracy,
        **own,
    )


def comparable(log_history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The log without its wall-clock times."""
    timed = ("runtime", "per_second")
    return [{k: v for k, v in entry.items() if not k.endswith(timed)} for entry in log_history]


def trained(trainer: Trainer) -> tuple[str, list[dict[str, Any]]]:
    """Weights hash and log of `trainer` after its run."""
    trainer.train()
    return weights_hash(trainer.model), comparable(trainer.state.log_history)
