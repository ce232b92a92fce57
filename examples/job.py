# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-ftrisk[train]"]
# ///
"""One file, probed and watched, that runs as a job on the Hub as it is.

hf jobs uv run examples/job.py        # there
uv run examples/job.py                # here

The model and its rows are tiny and made here, so that nothing is downloaded: put yours in
`build_trainer`, and after the training `trainer.push_to_hub()`. The card then holds the section.
"""

from __future__ import annotations

import tempfile

import numpy as np
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    EvalPrediction,
    Trainer,
    TrainingArguments,
    set_seed,
)

from hf_ftrisk import FineTuneRiskCallback, Verdict, attach_card, preflight

GOAL = "eval_accuracy>=0.8"


def rows(count: int, seed: int) -> Dataset:
    """Token rows whose label says whether the first token is large, one in ten wrongly."""
    draws = np.random.default_rng(seed)
    tokens = draws.integers(5, 40, size=(count, 8))
    labels = ((tokens[:, 0] >= 20) ^ (draws.random(count) < 0.1)).astype(int)
    return Dataset.from_dict({"input_ids": tokens.tolist(), "labels": labels.tolist()})


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    """Share of right labels."""
    right = prediction.predictions.argmax(-1) == prediction.label_ids
    return {"accuracy": float(right.mean())}


def build_trainer(folder: str) -> Trainer:
    """Your Trainer."""
    set_seed(0)
    sizes = BertConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    return Trainer(
        model=BertForSequenceClassification(sizes),
        args=TrainingArguments(
            output_dir=folder,
            max_steps=120,
            learning_rate=3e-3,
            warmup_steps=10,
            per_device_train_batch_size=16,
            eval_strategy="steps",
            eval_steps=10,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,  # a job's log takes lines, not bars
        ),
        train_dataset=rows(1000, seed=1),
        eval_dataset=rows(200, seed=2),
        compute_metrics=accuracy,
    )


def main() -> None:
    """Ask before the run, and train only what is not called poor."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(folder)
        before = preflight(trainer, goal=GOAL, budget=0.1, seeds=1)
        print(f"before the run: {before.verdict}", *before.reasons)
        if before.verdict is Verdict.NO_GO:
            raise SystemExit(3)
        callback = FineTuneRiskCallback(GOAL).attach(trainer)
        attach_card(trainer, callback)
        trainer.train()
        assert callback.report is not None
        print(f"after it: {callback.report.verdict}, outcome {callback.report.outcome}")


if __name__ == "__main__":
    main()
