"""Unsloth with the callback: python unsloth_train.py."""

# Unsloth patches what is imported after it.
# isort: off
from unsloth import FastLanguageModel

from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

from hf_ftrisk import FineTuneRiskCallback

# isort: on

if __name__ == "__main__":
    model, tokenizer = FastLanguageModel.from_pretrained(
        "unsloth/Qwen3-0.6B", max_seq_length=1024, load_in_4bit=True
    )
    model = FastLanguageModel.get_peft_model(model, r=16, lora_alpha=32)
    data = load_dataset("trl-lib/Capybara", split="train[:2000]").train_test_split(0.05, seed=0)
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=data["train"],
        eval_dataset=data["test"],
        args=SFTConfig(
            output_dir="out",
            learning_rate=2e-4,
            per_device_train_batch_size=4,
            eval_strategy="steps",
            eval_steps=20,
        ),
        callbacks=[FineTuneRiskCallback("eval_loss", report_dir="reports")],
    )
    trainer.train()
