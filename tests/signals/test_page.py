"""docs/reference/signals.md names every signal there is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from peft import LoraConfig, get_peft_model

from hf_ftrisk.record import RunRecord
from hf_ftrisk.signals.__main__ import page
from hf_ftrisk.signals.collect import trainer_signals
from hf_ftrisk.signals.dynamics import dynamics_signals
from tests.signals.tiny import bert, classified_rows, llama, prompted_rows, tokenizer, trainer_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "signals.md"


def test_the_page_is_what_the_command_prints():
    assert PAGE.read_text() == page()


def test_the_page_names_exactly_the_signals_there_are(tmp_path):
    rows = [row | {"text": "so, what?"} for row in classified_rows(64)]
    classifier = trainer_of(bert(), rows, tmp_path, eval_dataset=rows[:32])
    classifier.processing_class = tokenizer()
    # Batches that are much alike: a gradient that is pure noise has no noise scale.
    model = get_peft_model(llama(), LoraConfig(r=2, target_modules=["q_proj"]))
    language = trainer_of(model, prompted_rows(2) * 16, tmp_path)
    steps = np.arange(1, 21)
    numbers = [{**row, "labels": float(row["labels"])} for row in classified_rows(64)]
    regression = trainer_of(bert(num_labels=1), numbers, tmp_path)
    record = RunRecord(
        max_steps=40,
        train_step=steps,
        train_loss=1.0 / steps,
        grad_norm=np.linspace(2.0, 0.5, 20),
        eval_step=[10, 20],
        evals={"eval_loss": [0.2, 0.3]},
        settings={"max_grad_norm": 1.0},
    )
    measured = {"update_ratio": np.full(20, 1e-3), "gradient_cosine": np.full(19, 0.5)}
    computed = (
        trainer_signals(classifier, seconds=None).keys()
        | trainer_signals(language, seconds=None).keys()
        | trainer_signals(regression, seconds=None).keys()
        | dynamics_signals(record, **measured).keys()
    )
    rows_of_tables = re.findall(r"^\| (``.*?) \|", PAGE.read_text(), flags=re.MULTILINE)
    named = {name for row in rows_of_tables for name in re.findall(r"``(\w+)``", row)}
    assert computed == named
