"""What cannot work is refused before a step is trained, with what to do instead."""

from __future__ import annotations

import pytest
import torch

from hf_ftrisk.errors import PreflightUnsupportedError
from hf_ftrisk.probing.runner import PreflightRunner, preflight
from tests.probing.faults import Fault, FaultyTrainer
from tests.probing.models import bert, bert_trainer
from tests.probing.traces import differences, state_of


def refused(trainer, error, message, **settings):
    """The pre-flight raises `error` before any step, and leaves no trace."""
    FaultyTrainer.fault_box[0] = Fault()
    before = state_of(trainer)
    with pytest.raises(error, match=message):
        preflight(trainer, **({"goal": "eval_accuracy>=0.8", "budget": 0.5} | settings))
    assert FaultyTrainer.fault_box[0].calls["training_step"] == 0
    assert differences(before, state_of(trainer)) == []


def test_a_training_set_without_a_row_is_refused(tmp_path):
    trainer = bert_trainer(tmp_path, kind=FaultyTrainer)
    trainer.train_dataset = []
    refused(trainer, ValueError, "train_dataset has 0 rows")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"goal": "eval_f1>=0.8"}, "no 'eval_f1'; it reports eval_accuracy, eval_loss"),
        ({"goal": "eval_accuracy<=0.8"}, "wrong direction: a greater eval_accuracy is better"),
        ({"goal": "eval_accuracy>=800"}, "must lie in"),
        ({"budget": 5}, r"share of the full run's optimizer steps .* got 5"),
        ({"budget": 0.001}, "less than one step: give at least 0.025"),
        ({"seeds": 0}, "seeds must be a whole number of 1 or more, got 0"),
        ({"depths": [100]}, r"whole optimizer steps between 1 and 40, got \[100\]"),
        ({"depths": []}, "whole optimizer steps between 1 and 40"),
        ({"eval_samples": 0}, "eval_samples must be 1 or more rows"),
        ({"timeout": 0}, "timeout must be above 0 seconds"),
        ({"signal_seconds": -1}, "signal_seconds must be a finite number"),
        ({"snapshot": "disk"}, "got 'disk'"),
        ({"price_per_hour": -2}, "price_per_hour must be a finite number of 0 or more, got -2"),
        ({"run_value": 10}, "needs price_per_hour as well"),
        ({"false_stop_rate": 1}, r"false_stop_rate must lie in \(0, 1\): .* got 1$"),
    ],
)
def test_a_bad_setting_is_refused(tmp_path, settings, message) -> None:
    refused(bert_trainer(tmp_path, kind=FaultyTrainer), ValueError, message, **settings)


def test_a_goal_without_an_evaluation_set_is_refused(tmp_path) -> None:
    trainer = bert_trainer(tmp_path, kind=FaultyTrainer, eval_dataset=None)
    # The class has a get_eval_dataloader of its own, which may know better.
    plain = bert_trainer(tmp_path, eval_dataset=None)
    refused(plain, ValueError, "there is none: pass eval_dataset=... to the Trainer")
    refused(trainer, ValueError, "evaluation requires an eval_dataset")


def test_a_history_that_holds_no_runs_is_refused(tmp_path) -> None:
    with pytest.raises(TypeError, match=r"RunHistory, the path of one, .* holds a float"):
        PreflightRunner(bert_trainer(tmp_path), goal="eval_loss", history=[0.9])


def test_something_else_than_a_trainer_is_refused() -> None:
    with pytest.raises(TypeError, match=r"got Linear.*; .*PreflightRunner.from_loop"):
        preflight(torch.nn.Linear(2, 2), goal="eval_loss")


def test_a_misspelled_setting_is_refused(tmp_path) -> None:
    with pytest.raises(TypeError, match="budgt"):
        PreflightRunner(bert_trainer(tmp_path), goal="eval_loss", budgt=0.1)


@pytest.mark.parametrize(
    ("flag", "why"),
    [
        ("is_deepspeed_enabled", "DeepSpeed builds its engine"),
        ("is_fsdp_enabled", "FSDP replaces the model's parameters"),
    ],
)
def test_sharded_training_is_refused(tmp_path, flag, why) -> None:
    """Neither engine starts on a CPU, so the Trainer's own flag stands for it."""
    trainer = bert_trainer(tmp_path, kind=FaultyTrainer)
    setattr(trainer, flag, True)
    refused(trainer, PreflightUnsupportedError, f"{why}.*FineTuneRiskCallback.*from_loop")


@pytest.mark.parametrize("optimizer", ["galore_adamw_layerwise", "apollo_adamw_layerwise", "lomo"])
def test_optimizers_that_step_inside_backward_are_refused(tmp_path, optimizer) -> None:
    trainer = bert_trainer(tmp_path, kind=FaultyTrainer, optim=optimizer)
    refused(trainer, PreflightUnsupportedError, "steps inside backward hooks")


def test_a_wiring_fault_is_a_no_go_without_a_step(tmp_path) -> None:
    model = bert()
    model.requires_grad_(False)
    trainer = bert_trainer(tmp_path, kind=FaultyTrainer, model=model)
    FaultyTrainer.fault_box[0] = Fault()
    report = preflight(trainer, goal="eval_accuracy>=0.8", budget=0.5)
    assert report.verdict == "NO_GO"
    assert report.diagnoses[0].name == "no_trainable_parameter"
    assert report.cost.spent_steps == 0
    assert FaultyTrainer.fault_box[0].calls["training_step"] == 0
