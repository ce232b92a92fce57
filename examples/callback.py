# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-ftrisk[train]"]
# ///
"""FineTuneRiskCallback by hand: watch a run, stop it when it is predicted to be poor.

python examples/callback.py
"""

from __future__ import annotations

import tempfile

from offline import classifier, review_splits, tokenizer
from text_classification import accuracy
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

from hf_ftrisk import FineTuneRiskCallback, preflight


def main() -> None:
    """Pre-flight, then a watched run, then its report."""
    set_seed(0)
    words = tokenizer()
    data = review_splits().map(lambda rows: words(rows["text"]), batched=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=classifier(len(words)),
            args=TrainingArguments(
                output_dir=folder,
                max_steps=120,
                per_device_train_batch_size=16,
                learning_rate=2e-3,
                eval_strategy="steps",
                eval_steps=15,
                save_strategy="no",
                report_to=[],
            ),
            train_dataset=data["train"],
            eval_dataset=data["validation"],
            processing_class=words,
            data_collator=DataCollatorWithPadding(words),
            compute_metrics=accuracy,
        )
        goal = "eval_accuracy>=0.9"
        before = preflight(trainer, goal=goal, budget=0.1, seeds=2)
        print(f"before the run: {before.verdict}, {before.forecast}")
        callback = FineTuneRiskCallback(goal, action="stop").attach(trainer)
        trainer.train()
        assert callback.report is not None
        report = callback.report.after(before)
        print(f"after it: {report.verdict}, outcome {report.outcome}")


if __name__ == "__main__":
    main()
