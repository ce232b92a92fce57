"""Models of the long runs: MiniLM cut to its first layers, on the tokens its data need.

SmolLM2 likewise, and a small encoder-decoder from scratch.

The embedding matrix keeps the rows of the tokens that occur. AdamW without weight decay leaves the
rest as they are, so trajectories are those of the whole matrix, for a third of the time.
"""

from __future__ import annotations

import copy
import re
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    T5Config,
    T5ForConditionalGeneration,
    set_seed,
)

from benchmarks.recording.models import LORA_RANK, minilm_encoder, smollm2
from hf_ftrisk.demo.packages import minilm_folder

Head = Literal["sequence", "token"]
_HEADS = {
    "sequence": AutoModelForSequenceClassification,
    "token": AutoModelForTokenClassification,
}
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
    name: str,
    method: str,
    vocabulary: torch.Tensor,
    seed: int,
    head: Head = "sequence",
    **config_fields: Any,
) -> torch.nn.Module:
    """A classifier of MiniLM's first layers with a new head.

    Args:
        head: what is classified: the sequence or each token.
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
    model = _HEADS[head].from_config(config)
    model.load_state_dict(
        {name: w for name, w in weights.items() if _is_kept(name, layers, fresh)}, strict=False
    )
    return _trainable(model, method, "SEQ_CLS" if head == "sequence" else "TOKEN_CLS")


def _is_kept(weight: str, layers: int, fresh: int | None) -> bool:
    match = re.search(r"encoder\.layer\.(\d+)\.", weight)
    if match is not None:
        return int(match[1]) < (layers if fresh is None else fresh - 1)
    return fresh is None or "pooler" not in weight


def _trainable(model: torch.nn.Module, method: str, task: str) -> torch.nn.Module:
    if method == "lora":
        return get_peft_model(model, _adapters(task, ["query", "value"]))
    if method in ("frozen_body", "bias_only"):
        head = "classifier." if method == "frozen_body" else "classifier.bias"
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(head))
    return model


def _adapters(task: str, modules: list[str]) -> LoraConfig:
    return LoraConfig(
        task_type=TaskType(task),
        r=LORA_RANK,
        lora_alpha=2 * LORA_RANK,
        lora_dropout=0.05,
        target_modules=modules,
    )


def smollm2_lora(name: str, vocabulary: torch.Tensor, seed: int) -> PeftModel:
    """SmolLM2's first layers with fresh adapters.

    Args:
        name: ``smollm2-N``.
        vocabulary: (n_tokens,) SmolLM2's ids of the tokens kept, in the order of their new ids.
        seed: of the adapters.
    """
    match = re.fullmatch(r"smollm2-(\d+)", name)
    if match is None:
        raise ValueError(f"unknown model {name!r}: expected smollm2-N")
    whole, _ = smollm2()
    config = copy.deepcopy(whole.config)
    config.num_hidden_layers = int(match[1])
    config.vocab_size = len(vocabulary)
    config.tie_word_embeddings = True
    config.pad_token_id = config.bos_token_id = config.eos_token_id = 0
    weights = whole.state_dict()
    words = "model.embed_tokens.weight"
    state = {k: w for k, w in weights.items() if _layer(k) < config.num_hidden_layers}
    state[words] = weights[words][vocabulary].clone()
    state.pop("lm_head.weight", None)
    set_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    return get_peft_model(model, _adapters("CAUSAL_LM", ["q_proj", "v_proj"]))


def _layer(weight: str) -> int:
    match = re.search(r"layers\.(\d+)\.", weight)
    return -1 if match is None else int(match[1])


def encoder_decoder(n_tokens: int, seed: int) -> torch.nn.Module:
    """A small T5 from scratch: two layers of 128 dimensions on either side."""
    set_seed(seed)
    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=n_tokens,
            d_model=128,
            d_kv=32,
            d_ff=256,
            num_layers=2,
            num_heads=4,
            decoder_start_token_id=0,
        )
    )
