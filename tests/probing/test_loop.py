"""A plain accelerate loop is probed through five functions, and goes on as if it had not been."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset

from hf_ftrisk.errors import PreflightError
from hf_ftrisk.probing.loop.loop import TrainingLoop
from hf_ftrisk.probing.runner import PreflightRunner, preflight
from tests.probing.traces import tensor_digest

_STEPS = 60


class PlainLoop:
    """A classifier with dropout, trained the way people write it with accelerate."""

    def __init__(self) -> None:
        self.accelerator = Accelerator(cpu=True, gradient_accumulation_steps=1)
        torch.manual_seed(0)
        inputs = torch.randn(256, 4)
        labels = (inputs.sum(1) > 0).long()
        self.train_set = TensorDataset(inputs[:192], labels[:192])
        self.eval_set = TensorDataset(inputs[192:], labels[192:])
        model = torch.nn.Sequential(
            torch.nn.Linear(4, 16),
            torch.nn.BatchNorm1d(16),
            torch.nn.Dropout(0.2),
            torch.nn.Linear(16, 2),
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2)
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, _STEPS)
        self.model, self.optimizer, self.scheduler = self.accelerator.prepare(
            model, optimizer, scheduler
        )
        self.steps = 0

    def batches(self, seed: int) -> DataLoader:
        generator = torch.Generator().manual_seed(seed)
        loader = DataLoader(self.train_set, batch_size=16, shuffle=True, generator=generator)
        return self.accelerator.prepare(loader)

    def step(self, batch: Any) -> dict[str, Any]:
        self.steps += 1
        self.model.train()
        inputs, labels = batch
        loss = torch.nn.functional.cross_entropy(self.model(inputs), labels)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        return {"loss": loss, "grad_norm": norm}

    @torch.no_grad()
    def evaluate(self, rows: int) -> dict[str, float]:
        self.model.eval()
        inputs, labels = self.eval_set[:rows]
        logits = self.model(inputs)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        return {"accuracy": (logits.argmax(-1) == labels).float().mean(), "loss": float(loss)}

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.accelerator.unwrap_model(self.model).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.accelerator.unwrap_model(self.model).load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])

    def losses(self, steps: int = _STEPS) -> list[float]:
        """Losses of the whole run."""
        losses: list[float] = []
        loader = self.batches(7)
        while len(losses) < steps:
            for batch in loader:
                losses.append(float(self.step(batch)["loss"]))
                if len(losses) == steps:
                    break
        return losses

    def run(self) -> tuple[list[float], list[str]]:
        """(losses, digests of the weights) of the whole run."""
        losses = self.losses()
        return losses, [tensor_digest(tensor) for tensor in self.model.state_dict().values()]

    def features(self, part: str, rows: int) -> tuple[Any, Any]:
        data = self.train_set if part == "train" else self.eval_set
        return data[:rows]

    def gradient(self, batch: Any) -> tuple[torch.Tensor, ...]:
        self.model.eval()
        loss = torch.nn.functional.cross_entropy(self.model(batch[0]), batch[1])
        return torch.autograd.grad(loss, list(self.model.parameters()))

    def runner(self, **changes: Any) -> PreflightRunner:
        settings: dict[str, Any] = {
            "goal": "eval_accuracy>=0.9",
            "step": self.step,
            "evaluate": self.evaluate,
            "state_dict": self.state_dict,
            "load_state_dict": self.load_state_dict,
            "batches": self.batches,
            "max_steps": _STEPS,
            "eval_rows": len(self.eval_set),
            "eval_batch_size": 16,
            "rows_per_step": 16,
            "learning_rates": [3e-2 * (1 - step / _STEPS) for step in range(_STEPS)],
            "eval_labels": [int(label) for _, label in self.eval_set],
            "accelerator": self.accelerator,
            "seed": 7,
            "budget": 1.0,
            "seeds": 2,
            "depths": [2, 15],
            "progress": False,
        }
        return PreflightRunner.from_loop(**(settings | changes))


def _random_states() -> tuple:
    numpy_state = np.random.get_state()
    return (
        random.getstate(),
        numpy_state[1].tobytes(),
        numpy_state[2],
        tensor_digest(torch.get_rng_state()),
    )


@pytest.fixture(scope="module")
def probed():
    """(report, run after it, run without one)."""
    loop = PlainLoop()
    random_states = _random_states()
    report = loop.runner().run()
    assert _random_states() == random_states
    run = loop.run()
    return report, run, PlainLoop().run()


def test_a_loop_is_forecast_like_a_trainer(probed) -> None:
    report, *_ = probed
    assert [look.step for look in report.looks if look.step > 0] == [2, 15]
    assert report.forecast is not None
    assert 0.5 <= report.baseline < 0.7
    assert report.cost.full_steps == _STEPS
    assert report.cost.spent_share <= 1.0
    assert report.settings["trainer"] == "loop"


def test_the_loop_goes_on_bit_by_bit_as_without_a_preflight(probed) -> None:
    _, after, without = probed
    assert after == without


def test_the_first_probe_is_the_beginning_of_the_run_through_an_epochs_end(probed) -> None:
    report, _, (losses, _) = probed
    _, probe = report.probes[0].train_curve()
    assert probe.size == 15  # an epoch has 12 steps
    assert probe.tolist() == losses[:15]
    assert report.probes[1].train_curve()[1].tolist() != losses[:15]


def test_features_and_gradient_give_a_loop_its_static_signals_and_leave_no_trace() -> None:
    loop = PlainLoop()
    report = loop.runner(features=loop.features, gradient=loop.gradient).run()
    assert report.signals["linear_probe_accuracy"] > 0.9
    assert report.signals["signal_score"] > report.signals["signal_shuffled"] + 0.2
    assert report.signals["gradient_norm"] > 0
    assert report.signals["noise_scale"] > 0
    assert -1 <= report.signals["gradient_consistency"] <= 1
    assert loop.run() == PlainLoop().run()


def test_without_rows_per_step_nothing_is_said_in_rows() -> None:
    loop = PlainLoop()
    signals = loop.runner(gradient=loop.gradient, rows_per_step=None).run().signals
    assert "gradient_norm" in signals
    assert "noise_scale" not in signals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": lambda part, rows: torch.ones(3, 2)}, "must return two arrays"),
        (
            {"features": lambda part, rows: (torch.ones(3, 2), torch.ones(2))},
            r"\(3, 2\) and \(2,\)",
        ),
        ({"gradient": lambda batch: 1.0}, "must return one tensor or a list of them"),
    ],
)
def test_features_and_gradients_of_another_form_are_refused(change, message) -> None:
    loop = PlainLoop()
    with pytest.raises(ValueError, match=message):
        loop.runner(**change).run()
    assert loop.steps == 0


def test_a_training_loop_can_stand_in_the_trainers_place() -> None:
    loop = PlainLoop()
    described = TrainingLoop(
        step=loop.step,
        evaluate=loop.evaluate,
        state_dict=loop.state_dict,
        load_state_dict=loop.load_state_dict,
        max_steps=_STEPS,
        eval_rows=len(loop.eval_set),
        batches=loop.batches,
        accelerator=loop.accelerator,
    )
    asked = {"goal": "eval_accuracy>=0.9", "budget": 0.5, "depths": [2], "progress": False}
    by_method = PreflightRunner.from_loop(described, **asked).run()
    by_function = preflight(described, **asked)
    assert by_function.probes[0].train_curve()[1].tolist() == (
        by_method.probes[0].train_curve()[1].tolist()
    )


def test_begin_draws_anew_for_every_probe_but_the_first() -> None:
    loop, seeds = PlainLoop(), []
    loop.runner(begin=seeds.append, seeds=3, depths=[2]).run()
    assert len(seeds) == 2
    assert 7 not in seeds


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, torch.OutOfMemoryError])
@pytest.mark.parametrize("where", ["step", "evaluate"])
@pytest.mark.parametrize("call", [1, 3])
def test_a_fault_leaves_no_trace(error, where, call) -> None:
    loop, calls = PlainLoop(), 0
    original = getattr(loop, where)

    def fails(argument):
        nonlocal calls
        calls += 1
        result = original(argument)
        if calls == call:
            raise error("planted")
        return result

    before = [tensor_digest(tensor) for tensor in loop.model.state_dict().values()]
    random_states = _random_states()
    with pytest.raises(error, match="planted"):
        loop.runner(**{where: fails}).run()
    assert [tensor_digest(tensor) for tensor in loop.model.state_dict().values()] == before
    assert _random_states() == random_states
    assert loop.optimizer.state_dict()["state"] == {}


def test_a_state_that_does_not_come_back_is_refused_before_a_step() -> None:
    loop = PlainLoop()

    def forgets_the_scheduler(state):
        loop.model.load_state_dict(state["model"])
        loop.scheduler.load_state_dict(state["scheduler"] | {"last_epoch": 5})

    with pytest.raises(PreflightError, match=r"state\['scheduler'\]\['last_epoch'\] differs"):
        loop.runner(load_state_dict=forgets_the_scheduler).run()
    assert loop.steps == 0


def test_an_unknown_metric_is_refused_before_a_step() -> None:
    loop = PlainLoop()
    with pytest.raises(
        ValueError, match="reports no 'eval_f1'; it reports eval_accuracy, eval_loss"
    ):
        loop.runner(goal="eval_f1").run()
    assert loop.steps == 0


def test_a_step_without_a_loss_is_refused() -> None:
    loop = PlainLoop()
    with pytest.raises(ValueError, match="step must return the loss of one optimizer step"):
        loop.runner(step=lambda batch: {"norm": 1.0}).run()


def test_batches_that_end_for_good_are_refused() -> None:
    loop = PlainLoop()
    with pytest.raises(PreflightError, match="gave no batch in an epoch"):
        loop.runner(batches=lambda seed: iter(list(loop.batches(seed))[:1])).run()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"step": None}, TypeError, "step must be a function, got None"),
        ({"features": 1}, TypeError, "features must be a function, got int"),
        ({"batches": [1, 2]}, TypeError, r"function of a seed, got list: write batches=lambda"),
        ({"max_steps": 0}, ValueError, "max_steps must be a whole number of 1 or more, got 0"),
        ({"eval_rows": 2.5}, ValueError, "eval_rows must be a whole number of 1 or more, got 2.5"),
        ({"learning_rates": [0.1]}, ValueError, "one rate for each of the 60 steps, got 1"),
        ({"budget": 2.0}, ValueError, r"in \(0, 1\], such as 0.05; got 2.0"),
        ({"goal": "eval_accuracy<=0.9"}, ValueError, "wrong direction"),
        ({"snapshot": "disk"}, ValueError, "'cpu', in 'pinned' host memory"),
        ({"budgt": 0.1}, TypeError, "budgt"),
    ],
)
def test_bad_settings_are_refused_when_the_runner_is_made(change, error, message) -> None:
    with pytest.raises(error, match=message):
        PlainLoop().runner(**change)
