# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-ftrisk[train]", "trl>=1.0"]
# ///
"""Supervised fine-tuning of a language model with TRL and LoRA; nothing here knows of hf-ftrisk.

hf-ftrisk run --goal eval_loss examples/sft_lora.py --output_dir out
"""

from __future__ import annotations

from dataclasses import dataclass, field

from offline import language_model, questions, tokenizer
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, HfArgumentParser, set_seed
from trl import SFTConfig, SFTTrainer


@dataclass
class ModelArguments:
    """Which model is fine-tuned, and the size of its adapters."""

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "Model on the Hub or on disk; a tiny one if not given."}
    )
    lora_r: int = field(default=8, metadata={"help": "Rank of the adapters."})


def main() -> None:
    """Train and evaluate."""
    model_args, training_args = HfArgumentParser(
        (ModelArguments, SFTConfig)
    ).parse_args_into_dataclasses()
    set_seed(training_args.seed)
    if model_args.model_name_or_path is None:
        words = tokenizer()
        model = language_model(len(words))
    else:
        words = AutoTokenizer.from_pretrained(model_args.model_name_or_path)
        model = AutoModelForCausalLM.from_pretrained(model_args.model_name_or_path)
    trainer = SFTTrainer(
        model=model,
        args=training_args,
        train_dataset=questions(0, 512),
        eval_dataset=questions(512, 576),
        processing_class=words,
        peft_config=LoraConfig(
            r=model_args.lora_r, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
    trainer.train()
    trainer.save_model()
    print(f"eval loss {trainer.evaluate()['eval_loss']:.3f}")


if __name__ == "__main__":
    main()
