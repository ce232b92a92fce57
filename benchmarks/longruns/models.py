"""Models of the long runs: MiniLM cut to its first layers, on the tokens its data need.

The embedding matrix keeps the rows of the tokens that occur. AdamW without weight decay leaves the
rest as they are, so trajectories are those of the whole matrix, for a third of the time.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import AutoConfig, AutoModelForSequenceClassification, set_seed

from benchmarks.recording.models import LORA_RANK, minilm_encoder
from hf_ftrisk.demo.packages import minilm_folder

_WORDS = "bert.embeddings.word_embeddings.weight"


def layers_of(model: str) -> tuple[int, int | None]:
    """Layers of a ``minilm-...`` name, and the first one that is initialized anew.

    Raises:
        ValueError: not such a name.
    """
    match = re.fullmatch(r"minilm-([1-6])(?:-fresh-([1-6]))?", model)
    if match is None:
        raise ValueError(f"unknown model {model!r}: expected minilm-N or minilm-N-fresh-K")
    layers, fresh = match.groups()
    return int(layers), None if fresh is None else int(fresh)


def minilm(
    name: str, method: str, vocabulary: torch.Tensor, seed: int, **config_fields: Any
) -> torch.nn.Module:
    """A sequence classifier of MiniLM's first layers with a new head.

    Args:
        name: ``minilm-N`` or ``minilm-N-fresh-K``.
        method: ``"full"``, ``"lora"``, ``"frozen_body"`` or ``"bias_only"``.
        vocabulary: (n_tokens,) MiniLM's ids of the tokens kept, in the order of their new ids.
        seed: of every random initialization.
        config_fields: of the configuration, such as ``num_labels`` and ``problem_type``.
    """
    layers, fresh = layers_of(name)
    # Loaded before the seed is set: loading draws random numbers, once per process.
    weights = dict(minilm_encoder())
    weights[_WORDS] = weights[_WORDS][vocabulary].clone()
    config = AutoConfig.from_pretrained(
        minilm_folder(),
        num_hidden_layers=layers,
        vocab_size=len(vocabulary),
        **config_fields,
    )
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_config(config)
    model.load_state_dict(
        {name: w for name, w in weights.items() if _is_kept(name, layers, fresh)}, strict=False
    )
    return _trainable(model, method)


def _is_kept(weight: str, layers: int, fresh: int | None) -> bool:
    match = re.search(r"encoder\.layer\.(\d+)\.", weight)
    if match is not None:
        return int(match[1]) < (layers if fresh is None else fresh - 1)
    return fresh is None or "pooler" not in weight


def _trainable(model: torch.nn.Module, method: str) -> torch.nn.Module:
    if method == "lora":
        adapters = LoraConfig(
            task_type=TaskType.SEQ_CLS,
            r=LORA_RANK,
            lora_alpha=2 * LORA_RANK,
            lora_dropout=0.05,
            target_modules=["query", "value"],
        )
        return get_peft_model(model, adapters)
    if method in ("frozen_body", "bias_only"):
        head = "classifier." if method == "frozen_body" else "classifier.bias"
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(head))
    return model
