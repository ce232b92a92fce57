"""Gradients of several batches at the same weights: their noise, agreement and usefulness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from hf_ftrisk.signals.batches import (
    Batch,
    Deadline,
    LossFunction,
    device_of,
    model_loss,
    on_device,
)

Update = Literal["sign", "gradient"]

MAX_COORDINATES = 1_000_000


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of several batches at the same weights.

    Args:
        vectors: (n_batches, n_kept) coordinates kept of each batch's gradient.
        weights: (n_kept,) coordinates of the whole gradient that each kept one stands for.
    """

    vectors: torch.Tensor
    weights: torch.Tensor

    def dot(self, first: torch.Tensor, second: torch.Tensor) -> float:
        """Inner product of two gradients (n_kept,), unbiased for that of the whole ones."""
        return float((self.weights * first * second).sum())


def batch_gradients(
    model: torch.nn.Module,
    batches: Sequence[Batch],
    loss: LossFunction = model_loss,
    max_coordinates: int = MAX_COORDINATES,
    deadline: Deadline | None = None,
) -> Gradients | None:
    """Gradient of each batch's loss by the trainable parameters; None if nothing is trainable.

    Of more than `max_coordinates` numbers a random part is kept, the same of every batch: from
    each parameter tensor in proportion to its size.
    """
    deadline = deadline or Deadline()
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters or not batches:
        return None
    kept = kept_coordinates([p.numel() for p in parameters], max_coordinates)
    device = device_of(model)
    vectors: list[torch.Tensor] = []
    for batch in batches:
        if vectors and deadline.passed():
            break
        # autograd.grad, not backward: .grad stays as it is, and hooks that step an optimiser in
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
                    for gradient, index in zip(gradients, kept, strict=True)
                ]
            )
        )
    weights = [
        torch.full((index.numel(),), p.numel() / index.numel(), dtype=torch.float64)
        for p, index in zip(parameters, kept, strict=True)
    ]
    return Gradients(torch.stack(vectors), torch.cat(weights))


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
    update: Update = "sign",
) -> dict[str, float]:
    """Noise, consistency and usefulness of gradients; see the module's table.

    Args:
        train: gradients of training batches.
        evaluation: gradients of evaluation batches, of the same coordinates.
        batch_size: mean rows of a training batch.
        learning_rate: peak learning rate; None leaves predicted_gain out.
        update: direction of the optimiser's first step.
    """
    if train is None or not bool(torch.isfinite(train.vectors).all()):
        return {}
    n, mean = train.vectors.shape[0], train.vectors.mean(dim=0)
    squared = train.dot(mean, mean)
    signals = {"gradient_norm": math.sqrt(squared)}
    if n > 1:
        spread = sum(train.dot(vector - mean, vector - mean) for vector in train.vectors)
        variance = spread / (n - 1)  # of one batch's gradient
        true_squared = squared - variance / n
        if variance > 0:
            signals["gradient_snr"] = true_squared / variance
        if true_squared > 0:
            signals["noise_scale"] = batch_size * variance / true_squared
        signals["gradient_consistency"] = _mean_pairwise_cosine(train)
    if evaluation is None or not bool(torch.isfinite(evaluation.vectors).all()):
        return signals
    held_out = evaluation.vectors.mean(dim=0)
    norms = math.sqrt(squared * train.dot(held_out, held_out))
    if norms > 0:
        signals["train_eval_gradient_cosine"] = train.dot(mean, held_out) / norms
    if learning_rate is not None:
        step = mean.sign() if update == "sign" else mean
        signals["predicted_gain"] = learning_rate * train.dot(step, held_out)
    return signals


def _mean_pairwise_cosine(gradients: Gradients) -> float:
    """Mean cosine over the pairs of gradients of different batches; 0 with a zero gradient."""
    scaled = gradients.vectors * gradients.weights.sqrt()  # plain products are weighted ones now
    units = torch.nn.functional.normalize(scaled, dim=1)
    n, total = units.shape[0], units.sum(dim=0)
    return (float(total @ total) - float((units * units).sum())) / (n * (n - 1))
