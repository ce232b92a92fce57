"""Gradients of several batches at the same weights: their noise, agreement and usefulness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from hf_ftrisk.signals.deadline import Deadline, Pace
from hf_ftrisk.signals.model.batches import (
    Batch,
    LossFunction,
    batch_rows,
    device_of,
    model_loss,
    on_device,
)
from hf_ftrisk.signals.model.movement import Update

# Forward passes that a gradient is worth: the pass itself, a backward pass of twice that, and one
# for the copy and what else is slower.
GRADIENT_PASSES = 4.0

MAX_COORDINATES = 500_000


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of several batches at the same weights.

    Args:
        vectors: (n_batches, n_kept) coordinates kept of each batch's gradient.
        weights: (n_kept,) coordinates of the whole gradient that each kept one stands for.
        rows: (n_batches,) rows of each batch.
    """

    vectors: torch.Tensor
    weights: torch.Tensor
    rows: torch.Tensor

    def of_whole_batches(self) -> Gradients:
        """Those of the largest batches, if there are two; else all."""
        whole = self.rows == self.rows.max()
        if int(whole.sum()) < 2:
            return self
        return replace(self, vectors=self.vectors[whole], rows=self.rows[whole])

    def mean(self) -> torch.Tensor:
        """(n_kept,) mean over rows."""
        return (self.rows[:, None] * self.vectors).sum(dim=0) / self.rows.sum()

    def agreed_l1(self) -> float | None:
        """<sign(g_a), g_b> of the means of every other batch and the rest; None for one batch."""
        if self.rows.numel() < 2:
            return None
        parts = [
            replace(self, vectors=self.vectors[start::2], rows=self.rows[start::2]).mean()
            for start in (0, 1)
        ]
        return 0.5 * (self.dot(parts[0].sign(), parts[1]) + self.dot(parts[1].sign(), parts[0]))

    def dot(self, first: torch.Tensor, second: torch.Tensor) -> float:
        """Inner product of two gradients (n_kept,), unbiased for that of the whole ones."""
        return float((self.weights * first * second).sum())


def batch_gradients(
    model: torch.nn.Module,
    batches: Sequence[Batch],
    loss: LossFunction = model_loss,
    max_coordinates: int = MAX_COORDINATES,
    deadline: Deadline | None = None,
    pace: Pace | None = None,
) -> Gradients | None:
    """Gradient of each batch's loss by the trainable parameters; None if nothing is trainable, or
    there is no time for any.

    Of more than `max_coordinates` numbers a random part is kept, the same of every batch: from
    each parameter tensor in proportion to its size.
    """
    deadline, pace = deadline or Deadline(), pace or Pace()
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters or not batches:
        return None
    coordinates = kept_coordinates([p.numel() for p in parameters], max_coordinates)
    device = device_of(model)
    vectors: list[torch.Tensor] = []
    rows: list[float] = []
    for batch in pace.over(batches, deadline, batch_rows, GRADIENT_PASSES):
        rows.append(float(batch_rows(batch)))
        # autograd.grad, not backward: .grad stays as it is, and hooks that step an optimizer in
        # the backward pass do not fire.
        with torch.enable_grad():
            value = loss(model, on_device(dict(batch), device)).float().mean()
            gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        vectors.append(
            torch.cat(
                [
                    torch.zeros(index.numel(), dtype=torch.float64)
                    if gradient is None
                    else gradient.detach().reshape(-1)[index.to(gradient.device)].double().cpu()
                    for gradient, index in zip(gradients, coordinates, strict=True)
                ]
            )
        )
    if not vectors:
        return None
    weights = [
        torch.full((index.numel(),), p.numel() / index.numel(), dtype=torch.float64)
        for p, index in zip(parameters, coordinates, strict=True)
    ]
    row_counts = torch.tensor(rows, dtype=torch.float64)
    return Gradients(torch.stack(vectors), torch.cat(weights), row_counts)


def kept_coordinates(sizes: Sequence[int], max_coordinates: int) -> list[torch.Tensor]:
    """For parameters of these sizes the indices looked at: all, or a random part, always the same.

    A part of every parameter in proportion to its size, at least one of each; drawn with
    replacement by a local generator.
    """
    share = min(max_coordinates / max(sum(sizes), 1), 1.0)
    if share == 1.0:
        return [torch.arange(size) for size in sizes]
    generator = np.random.default_rng(0)
    return [
        torch.from_numpy(generator.integers(size, size=max(round(share * size), 1)))
        for size in sizes
    ]


def gradient_signals(
    train: Gradients | None,
    evaluation: Gradients | None,
    batch_size: float,
    *,
    learning_rate: float | None = None,
    update: Update | None = "sign",
) -> dict[str, float]:
    """Noise, consistency and usefulness of gradients; see the module's table.

    Args:
        train: gradients of training batches.
        evaluation: gradients of evaluation batches, of the same coordinates.
        batch_size: rows of a training batch.
        learning_rate: peak learning rate; None leaves predicted_gain out.
        update: direction of the optimizer's first step; None, if unknown, leaves it out as well.
    """
    train = None if train is None else train.of_whole_batches()
    if train is None or not bool(torch.isfinite(train.vectors).all()):
        return {}
    n, mean = train.vectors.shape[0], train.mean()
    squared = train.dot(mean, mean)
    signals = {"gradient_norm": math.sqrt(squared), "gradient_l1": train.dot(mean.sign(), mean)}
    agreed = train.agreed_l1()
    if agreed is not None:
        signals["gradient_l1_agreed"] = agreed
    if n > 1:
        spread = sum(
            rows * train.dot(vector - mean, vector - mean)
            for rows, vector in zip(train.rows.tolist(), train.vectors, strict=True)
        )
        variance = spread / (n - 1)  # of one row's gradient
        true_squared = squared - variance / float(train.rows.sum())
        if variance > 0:
            signals["gradient_snr"] = batch_size * true_squared / variance
        if true_squared > 0:
            signals["noise_scale"] = variance / true_squared
        # Smaller batches agree less: said only of batches as the run has them.
        if bool((train.rows == batch_size).all()):
            signals["gradient_consistency"] = _mean_pairwise_cosine(train)
    evaluation = None if evaluation is None else evaluation.of_whole_batches()
    if evaluation is None or not bool(torch.isfinite(evaluation.vectors).all()):
        return signals
    held_out = evaluation.mean()
    norms = math.sqrt(squared * train.dot(held_out, held_out))
    if norms > 0:
        signals["train_eval_gradient_cosine"] = train.dot(mean, held_out) / norms
    if learning_rate is not None and update is not None:
        step = mean.sign() if update == "sign" else mean
        signals["predicted_gain"] = learning_rate * train.dot(step, held_out)
    return signals


def _mean_pairwise_cosine(gradients: Gradients) -> float:
    """Mean cosine over the pairs of gradients of different batches; 0 with a zero gradient."""
    scaled = gradients.vectors * gradients.weights.sqrt()  # plain products are weighted ones now
    units = torch.nn.functional.normalize(scaled, dim=1)
    n, total = units.shape[0], units.sum(dim=0)
    return (float(total @ total) - float((units * units).sum())) / (n * (n - 1))
