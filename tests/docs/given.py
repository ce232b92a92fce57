"""What the code of a page is given: the reader's own model, data and files, tiny ones here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForTokenClassification,
    DataCollatorForSeq2Seq,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
)

from hf_ftrisk import Forecaster, Goal, RiskReport, RunRecord, preflight
from hf_ftrisk.choosing.entries import Entry, Ranked
from hf_ftrisk.reference import load_reference
from hf_ftrisk.report import Look
from tests import tiny_data
from tests.signals import tiny as language
from tests.watch import tiny

Names = dict[str, Any]


def accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def run_files(folder: Path) -> Names:
    """A finished run's log as its Trainer left it."""
    log: list[dict[str, float]] = []
    for step in range(10, 101, 10):
        log.append(
            {"step": step, "loss": 2.0 / step**0.5, "learning_rate": 2e-5 * (1 - step / 100)}
        )
        log.append({"step": step, "eval_accuracy": 0.9 - 2.0 / step, "eval_loss": 3.0 / step**0.5})
    state = {"log_history": log, "max_steps": 100, "global_step": 100, "num_train_epochs": 1}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    (folder / "checkpoint-500").mkdir()
    (folder / "checkpoint-500" / "trainer_state.json").write_text(json.dumps(state))
    (folder / "outputs").mkdir()
    (folder / "outputs" / "trainer_state.json").write_text(json.dumps(state))
    return {"record": RunRecord.from_trainer_state(folder / "trainer_state.json")}


def classification(folder: Path) -> Names:
    return run_files(folder) | {
        "trainer": tiny.bert_trainer(folder),
        "model": tiny.bert(),
        "train_set": tiny_data.classification_data(96, seed=1),
        "eval_set": tiny_data.classification_data(48, seed=2),
        "compute_metrics": accuracy,
    }


def language_model(folder: Path) -> Names:
    rows = [
        {"prompt": f"w{4 + i % 9} w{5 + i % 7}", "completion": f" w{4 + i % 9}"} for i in range(256)
    ]
    return {
        "model": language.llama(),
        "tokenizer": language.tokenizer(),
        "train_set": Dataset.from_list(rows),
        "eval_set": Dataset.from_list(rows[:16]),
    }


def sequence_to_sequence(folder: Path) -> Names:
    torch.manual_seed(0)
    size = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    model = T5ForConditionalGeneration(
        T5Config(vocab_size=40, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, **size)
    )
    rng = np.random.default_rng(0)
    rows = [
        {"input_ids": [int(token), 1], "labels": [int(token), 1]}
        for token in rng.integers(4, 40, size=64)
    ]

    def wer(prediction: Any) -> dict[str, float]:
        said, right = prediction.predictions, prediction.label_ids
        wrong = [not np.isin(r[0], s) for s, r in zip(said, right, strict=True)]
        return {"wer": float(np.mean(wrong))}

    return {
        "model": model,
        "train_set": Dataset.from_list(rows),
        "eval_set": Dataset.from_list(rows[:16]),
        "collator": DataCollatorForSeq2Seq(language.tokenizer(), model=model),
        "compute_metrics": wer,
    }


def tokens(folder: Path) -> Names:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(64):
        ids = rng.integers(4, 40, size=8)
        labels = (ids > 30).astype(int)
        rows.append(
            {"input_ids": ids.tolist(), "attention_mask": [1] * 8, "labels": labels.tolist()}
        )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=2,
    )

    def scores(prediction: Any) -> dict[str, float]:
        said, right = prediction.predictions.argmax(-1), prediction.label_ids
        both = float(((said == 1) & (right == 1)).sum())
        f1 = 2 * both / max(float((said == 1).sum() + (right == 1).sum()), 1.0)
        return {"f1": f1, "accuracy": float((said == right).mean())}

    return {
        "model": BertForTokenClassification(config),
        "train_set": Dataset.from_list(rows),
        "eval_set": Dataset.from_list(rows[:24]),
        "compute_metrics": scores,
    }


def images(folder: Path) -> Names:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(64):
        pixels = rng.normal(size=(3, 8, 8)) + (number % 2)
        rows.append({"pixel_values": pixels.astype("float32"), "labels": number % 2})
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=8,
        patch_size=4,
        num_labels=2,
    )
    data = Dataset.from_list(rows).with_format("torch")
    return {
        "model": ViTForImageClassification(config),
        "train_set": data,
        "eval_set": data.select(range(24)),
        "compute_metrics": accuracy,
    }


def calibration(folder: Path) -> Names:
    names = run_files(folder)
    return names | {"completed_runs": [names["record"]] * 12, "step": 50}


def features(folder: Path) -> Names:
    import pandas as pd

    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((40, 2)), columns=["rate", "rows"])
    table["accuracy"] = 0.5 + 0.4 * table["rate"]
    names = ["rate", "rows"]
    return {"table": table, "features": names, "new_runs": table[names].iloc[:2]}


def searched(folder: Path) -> Names:
    def trainable(config: Names) -> None:
        """Never run here."""

    return {"trainable": trainable}


def card(folder: Path) -> Names:
    from hf_ftrisk import FineTuneRiskCallback, attach_card

    trainer = tiny.bert_trainer(folder)
    callback = FineTuneRiskCallback("eval_accuracy>=0.85").attach(trainer)
    attach_card(trainer, callback)
    trainer.train()
    trainer.create_model_card()
    (folder / "README.md").write_text((folder / "out" / "README.md").read_text())
    assert isinstance(callback.report, RiskReport)
    callback.report.save(folder / "report.json")
    return {}


def gallery(folder: Path) -> Names:
    trainer = tiny.bert_trainer(folder)
    report = preflight(trainer, "eval_accuracy>=0.8", budget=0.9, seeds=3, depths=[2, 4, 8])
    assert report.decomposition is not None
    assert report.risk_curve
    setting = load_reference()[0].settings["setting_id"]
    runs = [run for run in load_reference() if run.settings["setting_id"] == setting]
    goal = Goal("eval_accuracy")
    entries = [ranked(f"rate {number}", run, goal) for number, run in enumerate(runs[:2])]
    return {
        "report": report,
        "earlier": report,
        "runs": runs,
        "ranking": Ranked(goal, tuple(entries), budget=0.3, spent=0.3, unit="steps"),
    }


def ranked(name: str, run: RunRecord, goal: Goal) -> Entry:
    seen = run.prefix(0.3 * run.max_steps)
    forecast = Forecaster.default().predict(seen, goal)
    step = int(seen.last_step)
    look = Look.of(step, forecast, goal, baseline=run.baseline(goal))
    return Entry(
        name=name,
        status="open",
        prob_best=0.5,
        expected_regret=None,
        forecast=forecast,
        observed=float(seen.finite(goal.metric)[1][-1]),
        step=step,
        max_steps=run.max_steps,
        spent=0.0,
        to_come=0.0,
        decided_by="forecast",
        looks=(look,),
    )


# Page -> what its code is given; pages that are not named are given nothing.
GIVEN: dict[str, Callable[[Path], Names]] = {
    "README.md": classification,
    "docs/start/first-ten-minutes.md": classification,
    "docs/guides/trainer.md": classification,
    "docs/guides/preflight.md": classification,
    "docs/guides/callback.md": classification,
    "docs/guides/history.md": run_files,
    "docs/guides/extending.md": run_files,
    "docs/concepts/forecasts.md": run_files,
    "docs/concepts/guarantee.md": calibration,
    "docs/guides/lora-sft.md": language_model,
    "docs/guides/seq2seq-speech.md": sequence_to_sequence,
    "docs/guides/token-classification.md": tokens,
    "docs/guides/images.md": images,
    "docs/guides/learned.md": features,
    "docs/guides/search.md": searched,
    "docs/reference/files.md": card,
    "docs/gallery.md": gallery,
}
