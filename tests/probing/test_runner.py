"""A pre-flight end to end, on a real Trainer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hf_ftrisk.probing.runner import preflight
from hf_ftrisk.record import ModelSelection
from tests.probing.models import bert_trainer, trained
from tests.tiny_data import classification_data


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory):
    """(report, run after the pre-flight, run without one)."""
    folder: Path = tmp_path_factory.mktemp("runner")
    trainer = bert_trainer(folder)
    report = preflight(trainer, goal="eval_accuracy>=0.8", budget=0.5, signal_seconds=0)
    return report, trained(trainer), trained(bert_trainer(folder))


def test_the_first_probe_is_the_beginning_of_the_real_run(probed) -> None:
    report, _, (_, log) = probed
    _, losses = report.probes[0].train_curve()
    real = [entry["loss"] for entry in log if "loss" in entry]
    assert losses.size >= 2
    np.testing.assert_allclose(losses, real[: losses.size], rtol=1e-6)


def test_a_run_after_it_is_bit_identical_to_one_without(probed) -> None:
    _, after, without = probed
    assert after == without


def test_the_budget_is_not_exceeded(probed) -> None:
    report, *_ = probed
    assert 0 < report.cost.spent_share <= 0.5 * 1.05


def test_the_best_checkpoint_may_be_chosen_by_a_metric_of_one_s_own(tmp_path) -> None:
    trainer = bert_trainer(
        tmp_path,
        metric_for_best_model="quality_index",
        greater_is_better=True,
        load_best_model_at_end=True,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=6,
        save_steps=6,
    )
    report = preflight(trainer, "eval_accuracy>=0.8", budget=0.5, seeds=1)
    assert report.probes[0].selection == ModelSelection("eval_quality_index", True)
    assert report.forecast is not None


class _Computed(torch.utils.data.Dataset):
    """Rows computed one by one, as tutorials write a data set; three in four are of class 1."""

    def __init__(self) -> None:
        rows = classification_data(200, seed=3)
        ones = [row for row in rows if row["labels"] == 1][:48]
        self.rows = ones + [row for row in rows if row["labels"] == 0][:16]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        return {name: torch.tensor(value) for name, value in self.rows[index].items()}


def test_labels_in_no_column_still_give_the_majority_baseline(tmp_path) -> None:
    trainer = bert_trainer(tmp_path, eval_dataset=_Computed())
    assert preflight(trainer, "eval_accuracy", budget=0.5, seeds=1).baseline == 0.75
