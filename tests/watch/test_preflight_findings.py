"""What the watching of a run takes over from its pre-flight."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from transformers import BertForSequenceClassification, Trainer

from hf_ftrisk import preflight
from hf_ftrisk.report import preflight_findings
from hf_ftrisk.report.preflight_findings import PreflightFindings
from hf_ftrisk.text import percent
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.tiny_data import classification_data
from tests.watch.tiny import bert, bert_trainer

GOAL = "eval_accuracy>=0.9"


def pretrained_trainer(folder: Path, **settings: Any) -> Any:
    """A Trainer of a model that was loaded from files."""
    bert().save_pretrained(folder / "model")
    model = BertForSequenceClassification.from_pretrained(folder / "model")
    return bert_trainer(folder, model=model, **settings)


@pytest.fixture
def probed(tmp_path: Path) -> Any:
    trainer = pretrained_trainer(tmp_path)
    report = preflight(trainer, GOAL, budget=0.4, seeds=1, history=None, progress=False)
    return trainer, report


def watched(trainer: Any, **settings: Any) -> FineTuneRiskCallback:
    callback = FineTuneRiskCallback(GOAL, history=None, action="warn", **settings)
    callback.attach(trainer)
    trainer.train()
    return callback


def test_signals_and_chance_of_the_same_trainer_are_taken_over(probed: Any, capsys: Any):
    trainer, report = probed
    run = watched(trainer).report.run
    assert run.static["signal_score"] == report.probes[0].static["signal_score"]
    chance = report.forecast.prob_meets(report.goal, report.baseline)
    assert f"P(good) by its pre-flight {percent(chance)}" in capsys.readouterr().out


class EqualTrainer(Trainer):
    """Says when two are equal, as TRL's KTOTrainer does: it has no hash."""

    def __eq__(self, other: object) -> bool:
        return self is other


def test_a_trainer_without_a_hash_is_probed_and_its_findings_are_taken_over(tmp_path: Path):
    trainer = pretrained_trainer(tmp_path, kind=EqualTrainer)
    report = preflight(trainer, GOAL, budget=0.4, seeds=1, history=None, progress=False)
    run = watched(trainer).report.run
    assert run.static["signal_score"] == report.probes[0].static["signal_score"]


def test_what_was_kept_of_a_trainer_goes_with_it(tmp_path: Path):
    trainer = pretrained_trainer(tmp_path, kind=EqualTrainer)
    preflight(trainer, GOAL, budget=0.4, seeds=1, history=None, progress=False)
    key = id(trainer)
    assert key in preflight_findings._kept
    del trainer
    gc.collect()
    assert key not in preflight_findings._kept


def test_a_second_training_begins_with_trained_weights_and_takes_nothing_over(probed: Any):
    trainer, _ = probed
    assert "signal_score" in watched(trainer).report.run.static
    trainer.remove_callback(FineTuneRiskCallback)
    assert "signal_score" not in watched(trainer).report.run.static


def test_another_learning_rate_is_another_run(probed: Any, capsys: Any):
    trainer, _ = probed
    trainer.args.learning_rate = 1e-4
    assert "signal_score" not in watched(trainer).report.run.static
    assert "by its pre-flight" not in capsys.readouterr().out


def test_other_training_rows_are_another_run(probed: Any):
    trainer, _ = probed
    trainer.train_dataset = classification_data(96, seed=1)
    assert "signal_score" not in watched(trainer).report.run.static


def test_a_report_from_elsewhere_is_taken_over_when_it_is_handed_on(probed: Any, tmp_path: Path):
    _, report = probed
    trainer = pretrained_trainer(tmp_path / "again")
    before = PreflightFindings.of(report)
    assert before is not None
    trainer.model.config._name_or_path = report.probes[0].settings["model"]
    run = watched(trainer, preflight=report).report.run
    assert run.static["signal_score"] == before.static["signal_score"]
