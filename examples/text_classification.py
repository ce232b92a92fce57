# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-ftrisk[train]"]
# ///
"""Text classification with HfArgumentParser and Trainer; nothing here knows of hf-ftrisk.

    hf-ftrisk run --goal "eval_accuracy>=0.9" examples/text_classification.py --output_dir out

Without --model_name_or_path a tiny model is built in place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from offline import classifier, review_splits, tokenizer
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    set_seed,
)


@dataclass
class ModelArguments:
    """Which model is fine-tuned."""

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "Model on the Hub or on disk; a tiny one if not given."}
    )


@dataclass
class DataArguments:
    """How much data is used."""

    max_seq_length: int = field(default=64, metadata={"help": "Tokens a text is cut at."})
    max_train_samples: int = field(default=512, metadata={"help": "Training rows."})


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    """Share of rows with the right class."""
    classes = np.argmax(prediction.predictions, axis=1)
    return {"accuracy": float((classes == prediction.label_ids).mean())}


def main() -> None:
    """Train, evaluate, save."""
    parser = HfArgumentParser((ModelArguments, DataArguments, TrainingArguments))
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    set_seed(training_args.seed)

    if model_args.model_name_or_path is None:
        words = tokenizer()
        model = classifier(len(words))
    else:
        words = AutoTokenizer.from_pretrained(model_args.model_name_or_path)
        model = AutoModelForSequenceClassification.from_pretrained(
            model_args.model_name_or_path, num_labels=2
        )

    data = review_splits(data_args.max_train_samples).map(
        lambda rows: words(rows["text"], truncation=True, max_length=data_args.max_seq_length),
        batched=True,
        remove_columns=["text"],
    )
    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        processing_class=words,
        data_collator=DataCollatorWithPadding(words),
        compute_metrics=accuracy,
    )
    result = trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint)
    trainer.save_model()
    trainer.save_metrics("train", result.metrics)
    metrics = trainer.evaluate()
    trainer.save_metrics("eval", metrics)
    print(f"accuracy {metrics['eval_accuracy']:.3f} after {trainer.state.global_step} steps")


if __name__ == "__main__":
    main()
