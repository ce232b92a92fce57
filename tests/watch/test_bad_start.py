"""A model that begins on the rare class of an unequal data set."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from datasets import Dataset

from hf_ftrisk import FineTuneRiskCallback
from hf_ftrisk.report import RiskReport
from hf_ftrisk.verdict import Verdict
from tests.watch.tiny import bert, bert_trainer, classification_data


def unequal(rows: int, seed: int) -> Dataset:
    """Nine of ten rows are of class 0."""
    data = classification_data(rows, seed)
    return data.remove_columns("labels").add_column(
        "labels", [int(i % 10 == 0) for i in range(rows)]
    )


def watched(folder: Path, learning_rate: float, eval_steps: int = 5) -> RiskReport:
    model = bert()
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([-3.0, 3.0]))
    trainer = bert_trainer(
        folder,
        model=model,
        train_dataset=unequal(200, seed=1),
        eval_dataset=unequal(100, seed=2),
        learning_rate=learning_rate,
        max_steps=60,
        eval_steps=eval_steps,
    )
    callback = FineTuneRiskCallback("eval_accuracy").attach(trainer)
    trainer.train()
    assert callback.report is not None
    return callback.report


def test_it_is_stopped_in_time_where_it_stays(tmp_path: Path):
    report = watched(tmp_path, 1e-7)
    assert report.verdict is Verdict.NO_GO
    assert report.stopped_at is not None
    assert report.stopped_at <= 0.5 * 60
    assert report.run.baselines == pytest.approx({"eval_accuracy": 0.9})
    assert "began at 0.1, far below the trivial 0.9" in report.reasons[0]


def test_it_goes_on_where_its_loss_falls(tmp_path: Path):
    report = watched(tmp_path, 2e-2)
    assert report.stopped_at is None
    assert report.outcome >= 0.9
