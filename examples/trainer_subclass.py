# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-ftrisk[train]"]
# ///
"""A Trainer with a loss and a train() of its own; nothing here knows of hf-ftrisk.

hf-ftrisk run --goal "eval_accuracy>=0.9" examples/trainer_subclass.py --output_dir out
"""

from __future__ import annotations

from typing import Any

import torch
from offline import classifier, review_splits, tokenizer
from text_classification import accuracy
from transformers import (
    DataCollatorWithPadding,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    set_seed,
)


class WeightedTrainer(Trainer):
    """Counts a missed complaint twice, and says when training begins and ends."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        weight = torch.tensor([2.0, 1.0], device=outputs.logits.device)
        loss = torch.nn.functional.cross_entropy(outputs.logits, labels, weight=weight)
        return (loss, outputs) if return_outputs else loss

    def train(self, *args: Any, **kwargs: Any) -> Any:
        print("training begins")
        result = super().train(*args, **kwargs)
        print("training has ended")
        return result


def main() -> None:
    """Train and evaluate."""
    (training_args,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()
    set_seed(training_args.seed)
    words = tokenizer()
    data = review_splits().map(
        lambda rows: words(rows["text"], truncation=True), batched=True, remove_columns=["text"]
    )
    trainer = WeightedTrainer(
        model=classifier(len(words)),
        args=training_args,
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        processing_class=words,
        data_collator=DataCollatorWithPadding(words),
        compute_metrics=accuracy,
    )
    trainer.train()
    print(f"accuracy {trainer.evaluate()['eval_accuracy']:.3f}")


if __name__ == "__main__":
    main()
