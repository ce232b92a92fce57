"""The probes measure the signals of a run so far, and the report carries them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainerCallback

from hf_ftrisk.probing.runner import preflight
from hf_ftrisk.record import RunRecord
from hf_ftrisk.signals.dynamics import dynamics_signals
from hf_ftrisk.signals.steps import StepMeter
from tests.probing.models import bert, bert_trainer, lora
from tests.probing.test_loop import PlainLoop

DEPTH = 4


def probed(trainer: Trainer, **settings):
    return preflight(
        trainer,
        goal="eval_accuracy>=0.8",
        budget=1.0,
        depths=[DEPTH],
        signal_seconds=0,
        **({"seeds": 1} | settings),
    )


class _Measured(TrainerCallback):
    """A meter on the real run's first steps."""

    def __init__(self) -> None:
        self.columns: dict[str, np.ndarray] = {}

    def on_train_begin(self, args, state, control, optimizer=None, **kwargs):
        self._meter = StepMeter(optimizer)
        self._meter.__enter__()

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == DEPTH:
            self._meter.__exit__(None, None, None)
            self.columns = self._meter.columns()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gradient_accumulation_steps": 2, "max_grad_norm": 0.05},
        {"optimizers": True},
    ],
    ids=["full", "accumulated and clipped", "own optimizer"],
)
def test_the_first_probes_signals_are_those_of_the_runs_first_steps(tmp_path, settings) -> None:
    model = bert()
    if "optimizers" in settings:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        settings = {"optimizers": (optimizer, None)}
    trainer = bert_trainer(tmp_path, model=model, **settings)
    signals = probed(trainer).signals
    measured = _Measured()
    trainer.add_callback(measured)
    trainer.train()
    steps = [entry for entry in trainer.state.log_history if "loss" in entry][:DEPTH]
    record = RunRecord.from_log_history(
        steps, max_steps=40, settings={"max_grad_norm": trainer.args.max_grad_norm}
    )
    for name, value in dynamics_signals(record, **measured.columns).items():
        assert signals[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    assert signals["update_ratio"] > 0
    assert -1 <= signals["step_consistency"] <= 1
    assert {"loss_slope", "loss_noise", "grad_norm_mean", "grad_norm_std"} <= set(signals)
    assert {"grad_spike_share", "clipped_share", "overfitting_gap"} <= set(signals)


def test_gradients_above_the_limit_count_as_clipped(tmp_path) -> None:
    trainer = bert_trainer(tmp_path, max_grad_norm=1e-3)
    assert probed(trainer).signals["clipped_share"] == 1.0


def test_signals_are_the_mean_over_the_probes(tmp_path) -> None:
    report = probed(bert_trainer(tmp_path), seeds=3)
    each = [dynamics_signals(record)["loss_last"] for record in report.probes]
    assert len(set(each)) == 3
    assert report.signals["loss_last"] == pytest.approx(np.mean(each))


def test_adapters_are_measured_alone(tmp_path) -> None:
    model = lora(bert(), task_type="SEQ_CLS")
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0)
    trainer = bert_trainer(tmp_path, model=model, optimizers=(optimizer, None))
    assert probed(trainer).signals["update_ratio"] == 0.0


def test_a_loop_has_the_signals_of_what_its_steps_return() -> None:
    signals = PlainLoop().runner().run().signals
    assert {"loss_slope", "grad_norm_mean", "overfitting_gap"} <= set(signals)
    assert "update_ratio" not in signals


def test_no_hook_is_put_into_the_users_optimizer(tmp_path) -> None:
    model = bert()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen: list[int] = []

    class Watching(Trainer):
        def training_step(self, *args, **kwargs):
            seen.append(len(optimizer._optimizer_step_pre_hooks))
            return super().training_step(*args, **kwargs)

    probed(bert_trainer(tmp_path, kind=Watching, model=model, optimizers=(optimizer, None)))
    assert set(seen) == {0}
