"""What the callback sees of every step, and that the run does not notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import Trainer

from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.tiny_data import weights_hash
from tests.watch.tiny import bert_trainer


def columns(trainer: Trainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("max_grad_norm", [0.05, 0.0])
def test_losses_and_norms_are_those_of_logging_every_step(
    tmp_path: Path, accumulation: int, max_grad_norm: float
):
    settings: dict[str, Any] = {
        "max_steps": 13,
        "gradient_accumulation_steps": accumulation,
        "max_grad_norm": max_grad_norm,
        "eval_strategy": "no",
    }
    logged = bert_trainer(tmp_path, logging_steps=1, **settings)
    logged.train()
    callback = FineTuneRiskCallback("eval_loss")
    watched = bert_trainer(tmp_path, logging_steps=500, callbacks=[callback], **settings)
    watched.train()
    run = callback.report.run
    assert run.train_step.tolist() == list(range(1, 14))
    np.testing.assert_allclose(run.train_loss, columns(logged, "loss"), rtol=1e-6)
    np.testing.assert_allclose(run.grad_norm, columns(logged, "grad_norm"), rtol=1e-6)
    np.testing.assert_allclose(run.learning_rate, columns(logged, "learning_rate"), rtol=1e-6)
    assert weights_hash(watched.model) == weights_hash(logged.model)


def test_the_methods_it_listened_to_are_given_back(tmp_path: Path):
    callback = FineTuneRiskCallback("eval_loss")
    trainer = bert_trainer(tmp_path, max_steps=3, callbacks=[callback])
    trainer.train()
    assert "training_step" not in vars(trainer)
    assert "clip_grad_norm_" not in vars(trainer.accelerator)


def test_a_users_own_wrapper_stays(tmp_path: Path):
    callback = FineTuneRiskCallback("eval_loss")
    trainer = bert_trainer(tmp_path, max_steps=3, callbacks=[callback])
    original, calls = trainer.training_step, []

    def own(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return original(*args, **kwargs)

    trainer.training_step = own
    trainer.train()
    assert trainer.training_step is own
    assert len(calls) == 3
    assert callback.report.run.train_loss.size == 3


def test_the_device_is_asked_once_in_check_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from hf_ftrisk.trainers.tap import StepTap

    fetched = []
    original = StepTap.fetch

    def fetch(self: StepTap, mean: Any) -> Any:
        steps = original(self, mean)
        fetched.append([step.step for step in steps])
        return steps

    monkeypatch.setattr(StepTap, "fetch", fetch)
    callback = FineTuneRiskCallback("eval_loss", check_steps=7)
    trainer = bert_trainer(tmp_path, max_steps=21, eval_strategy="no", callbacks=[callback])
    trainer.train()
    seen = [step for batch in fetched for step in batch]
    assert seen == list(range(1, 22))
    looks = {look.item() for look in np.array([2, 3, 5, 6, 9, 12, 17])}
    ends = {batch[-1] for batch in fetched if batch}
    assert {7, 14, 21} <= ends <= {7, 14, 21} | looks
