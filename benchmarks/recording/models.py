"""Models of the reference runs, loaded once per process and copied for each run."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    set_seed,
)

from hf_ftrisk.demo.packages import minilm_folder, smollm2_file

LORA_RANK = 8


@cache
def minilm_tokenizer() -> Any:
    """Tokenizer of MiniLM."""
    return AutoTokenizer.from_pretrained(minilm_folder())


@cache
def minilm_encoder() -> dict[str, torch.Tensor]:
    """Weights of MiniLM without a classification head."""
    model = AutoModelForSequenceClassification.from_pretrained(minilm_folder(), num_labels=2)
    return {k: v.float() for k, v in model.state_dict().items() if not k.startswith("classifier")}


def minilm_classifier(method: str, n_labels: int, seed: int) -> torch.nn.Module:
    """MiniLM with a new classification head, as `from_pretrained` builds it, without the disk.

    Args:
        method: ``"full"``; ``"lora"`` adds adapters on query and value, the head trains as well;
            ``"scratch"`` keeps the random initialization of every weight.
        n_labels: classes of the head.
        seed: of every random initialization.
    """
    # Loaded before the seed is set: loading draws random numbers, once per process.
    encoder = minilm_encoder()
    config = AutoConfig.from_pretrained(minilm_folder(), num_labels=n_labels)
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_config(config)
    if method != "scratch":
        _, unexpected = model.load_state_dict(encoder, strict=False)
        if unexpected:
            raise RuntimeError(f"weights without a place in the model: {unexpected}")
    if method != "lora":
        return model
    adapters = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=LORA_RANK,
        lora_alpha=2 * LORA_RANK,
        lora_dropout=0.05,
        target_modules=["query", "value"],
    )
    return get_peft_model(model, adapters)


@cache
def smollm2() -> tuple[Any, Any]:
    """SmolLM2-135M-Instruct, dequantized, and its tokenizer."""
    from transformers import GgufConfig

    file = smollm2_file()
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    return model, tokenizer


def smollm2_lora(seed: int) -> Any:
    """SmolLM2 with fresh adapters; call ``.unload()`` on it afterwards: the base is shared."""
    base, _ = smollm2()
    set_seed(seed)
    adapters = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=LORA_RANK,
        lora_alpha=2 * LORA_RANK,
        target_modules=["q_proj", "v_proj"],
    )
    return get_peft_model(base, adapters)
