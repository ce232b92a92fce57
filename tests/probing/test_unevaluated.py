"""A Trainer without an evaluation set: wiring, signals and cost; nothing is claimed of its end."""

from __future__ import annotations

import pytest
import torch
from transformers import Trainer

from hf_ftrisk.probing.runner import preflight
from tests.probing.models import bert, bert_trainer, trained
from tests.probing.traces import differences, state_of


def probed(trainer: Trainer, **settings):
    before = state_of(trainer)
    report = preflight(
        trainer, **({"goal": "eval_loss", "budget": 0.5, "signal_seconds": 1} | settings)
    )
    assert differences(before, state_of(trainer)) == []
    return report


def unevaluated(folder, **settings) -> Trainer:
    return bert_trainer(folder, eval_dataset=None, **({"max_steps": 100} | settings))


def test_one_seed_trains_as_far_as_a_failure_would_show(tmp_path) -> None:
    report = probed(unevaluated(tmp_path))
    assert [probe.last_step for probe in report.probes] == [21]
    assert report.cost.spent_steps == 21
    assert report.cost.full_seconds == pytest.approx(100 * report.cost.seconds_per_step)
    assert report.signals["loss_last"] > 0
    assert report.signals["update_ratio"] > 0
    assert report.signals["train_rows"] == 96


def test_its_end_is_not_forecast(tmp_path) -> None:
    report = probed(unevaluated(tmp_path), goal="eval_loss<=100")
    assert report.verdict == "UNDECIDED"
    assert "no evaluation set" in report.reasons[0]
    assert report.forecast is None
    assert report.decomposition is None
    assert [d.name for d in report.diagnoses] == ["no_eval_set"]


def test_a_small_budget_is_kept_to(tmp_path) -> None:
    assert probed(unevaluated(tmp_path), budget=0.035).cost.spent_steps == 3
    assert probed(unevaluated(tmp_path), depths=[5]).cost.spent_steps == 5


def test_a_certain_failure_is_a_no_go(tmp_path) -> None:
    model = bert(dropout=0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e30)
    report = probed(unevaluated(tmp_path, model=model, optimizers=(optimizer, None)))
    assert report.verdict == "NO_GO"
    assert "NaN or infinite" in report.reasons[0]


def test_a_wiring_fault_is_a_no_go_without_a_step(tmp_path) -> None:
    model = bert()
    model.requires_grad_(False)
    report = probed(unevaluated(tmp_path, model=model))
    assert report.verdict == "NO_GO"
    assert report.cost.spent_steps == 0


def test_the_run_after_it_is_bit_identical(tmp_path) -> None:
    trainer = unevaluated(tmp_path / "after", max_steps=30)
    probed(trainer)
    assert trained(trainer) == trained(unevaluated(tmp_path / "without", max_steps=30))
