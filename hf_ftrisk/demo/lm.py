"""The Trainer of the language task: SmolLM2-135M with LoRA on question-answer pairs."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    GgufConfig,
    Trainer,
    set_seed,
)

from hf_ftrisk.demo.data import answers
from hf_ftrisk.demo.packages import smollm2_file
from hf_ftrisk.demo.setting import DemoSetting
from hf_ftrisk.demo.training import demo_trainer

MAX_TOKENS = 48
MAX_STEPS = 40
EVAL_EVERY = 4
EVAL_ROWS = 24


def lm_trainer(setting: DemoSetting, folder: Path) -> Trainer:
    """The Trainer of a setting of the language task (`demo_trainer`).

    Raises:
        MissingDemoPackageError: a package with the model or the data is not installed.
    """
    pairs = answers()
    tokenizer = _tokenizer()
    return demo_trainer(
        setting,
        folder,
        rows=(pairs.train, pairs.test[:EVAL_ROWS]),
        encoded=partial(_encoded, tokenizer=tokenizer),
        max_steps=MAX_STEPS,
        eval_every=EVAL_EVERY,
        arguments={"per_device_train_batch_size": 4, "per_device_eval_batch_size": 8},
        model=_model(setting.seed),
        data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True),
        processing_class=tokenizer,
    )


@cache
def _tokenizer() -> Any:
    file = smollm2_file()
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _model(seed: int) -> Any:
    file = smollm2_file()
    base = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    set_seed(seed)
    adapters = LoraConfig(
        task_type=TaskType.CAUSAL_LM, r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]
    )
    return get_peft_model(base, adapters)


def _encoded(rows: list[tuple[str, str]], tokenizer: Any) -> list[dict[str, Any]]:
    """Question and answer as one sequence; the loss counts the answer alone."""
    encoded = []
    for question, answer in rows:
        head = tokenizer(f"Question: {question}\nAnswer:")["input_ids"][: MAX_TOKENS // 2]
        tail = [*tokenizer(f" {answer}")["input_ids"], tokenizer.eos_token_id]
        ids = (head + tail)[:MAX_TOKENS]
        encoded.append(
            {
                "input_ids": ids,
                "attention_mask": [1] * len(ids),
                "labels": [-100] * len(head) + ids[len(head) :],
            }
        )
    return encoded
