"""What is seen of each step, against values worked out by hand, in every precision a CPU has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Trainer

from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.tiny_data import weights_hash
from tests.watch.tiny import bert, bert_trainer

ROWS, MICRO, WIDTH = 24, 2, 3


class Linear(nn.Module):
    """Predicts a number; its loss is the mean squared error, or the sum over a step's rows."""

    def __init__(self, per_item: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, 1, bias=False)
        nn.init.constant_(self.linear.weight, 0.5)
        self.accepts_loss_kwargs = per_item

    def forward(
        self, x: torch.Tensor, labels: torch.Tensor, num_items_in_batch: Any = None
    ) -> dict[str, torch.Tensor]:
        output = self.linear(x)[:, 0]
        square = (output - labels) ** 2
        loss = square.mean() if num_items_in_batch is None else square.sum() / num_items_in_batch
        return {"loss": loss, "logits": output}


class InOrder(Trainer):
    """Takes the rows in their order."""

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def by_hand(x: np.ndarray, y: np.ndarray, accumulation: int, rate: float, limit: float) -> Any:
    """Losses and gradient norms of SGD steps, from the formulas.

    The loss of a step is the mean squared error of all its rows, its gradient
    2 / n X' (X w - y); with SGD w moves by the clipped gradient.
    """
    weights, losses, norms = np.full(WIDTH, 0.5), [], []
    size = MICRO * accumulation
    for begin in range(0, ROWS, size):
        rows, labels = x[begin : begin + size], y[begin : begin + size]
        error = rows @ weights - labels
        gradient = 2.0 / size * rows.T @ error
        norm = float(np.linalg.norm(gradient))
        losses.append(float(np.mean(error**2)))
        norms.append(norm)
        weights = weights - rate * gradient * min(1.0, limit / (norm + 1e-6))
    return losses, norms, weights


@pytest.mark.parametrize("per_item", [False, True], ids=["divided by the Trainer", "by the items"])
@pytest.mark.parametrize("accumulation", [1, 3, 4])
def test_losses_and_norms_are_those_worked_out_by_hand(
    tmp_path: Path, accumulation: int, per_item: bool
):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(ROWS, WIDTH)), rng.normal(size=ROWS)
    rows = [
        {"x": torch.tensor(a, dtype=torch.float32), "labels": torch.tensor(float(b))}
        for a, b in zip(x, y, strict=True)
    ]
    rate, limit, steps = 0.05, 1.0, ROWS // (MICRO * accumulation)
    model = Linear(per_item)
    callback = FineTuneRiskCallback("eval_loss")
    trainer = bert_trainer(
        tmp_path,
        kind=InOrder,
        model=model,
        optimizers=(torch.optim.SGD(model.parameters(), lr=rate), None),
        lr_scheduler_type="constant",
        learning_rate=rate,
        train_dataset=rows,
        eval_dataset=None,
        compute_metrics=None,
        eval_strategy="no",
        max_steps=steps,
        per_device_train_batch_size=MICRO,
        gradient_accumulation_steps=accumulation,
        max_grad_norm=limit,
        remove_unused_columns=False,
        callbacks=[callback],
    )
    trainer.train()
    losses, norms, weights = by_hand(x, y, accumulation, rate, limit)
    run = callback.report.run
    assert run.train_step.tolist() == list(range(1, steps + 1))
    np.testing.assert_allclose(run.train_loss, losses, rtol=1e-5)
    np.testing.assert_allclose(run.grad_norm, norms, rtol=1e-5)
    assert max(norms) > limit  # before clipping, which has worked
    np.testing.assert_allclose(model.linear.weight.detach().numpy()[0], weights, rtol=1e-4)


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_is_seen_as_it_is_logged_and_left_alone(
    tmp_path: Path, accumulation: int, precision: str
):
    settings: dict[str, Any] = {
        precision: True,
        "max_steps": 12,
        "eval_steps": 6,
        "gradient_accumulation_steps": accumulation,
    }
    logged = bert_trainer(tmp_path, logging_steps=1, **settings)
    logged.train()
    callback = FineTuneRiskCallback("eval_accuracy>=0.4", report_dir=tmp_path / "reports")
    watched = bert_trainer(tmp_path, callbacks=[callback], **settings)
    watched.train()
    report = callback.report
    assert weights_hash(watched.model) == weights_hash(logged.model)
    assert watched.accelerator.mixed_precision == precision
    assert report.run.settings["precision"] == precision
    entries = [entry for entry in logged.state.log_history if "loss" in entry]
    np.testing.assert_allclose(report.run.train_loss, [e["loss"] for e in entries], rtol=1e-6)
    np.testing.assert_allclose(report.run.grad_norm, [e["grad_norm"] for e in entries], rtol=1e-6)
    assert report.outcome is not None


def test_a_model_in_bf16_is_seen_in_single_precision(tmp_path: Path):
    """Micro-batch losses come in bf16: they are summed in single precision."""
    callback = FineTuneRiskCallback("eval_loss")
    trainer = bert_trainer(
        tmp_path,
        model=bert().to(torch.bfloat16),
        gradient_accumulation_steps=3,
        max_steps=6,
        callbacks=[callback],
    )
    trainer.train()
    assert callback._fault is None
    assert np.isfinite(callback.report.run.train_loss).all()
    assert np.isfinite(callback.report.run.grad_norm).all()
    assert callback.report.run.train_step.tolist() == list(range(1, 7))
