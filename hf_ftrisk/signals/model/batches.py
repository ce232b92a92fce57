"""Collated batches: how many rows, which labels, on which device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

Batch = Mapping[str, Any]
LossFunction = Callable[[torch.nn.Module, dict[str, Any]], torch.Tensor]


def model_loss(model: torch.nn.Module, batch: dict[str, Any]) -> torch.Tensor:
    """The loss the model itself returns, as a Trainer takes it."""
    outputs = model(**batch)
    loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs[0]
    assert isinstance(loss, torch.Tensor)
    return loss


def batch_rows(batch: Batch) -> int:
    """Rows of a batch: the first dimension of its first tensor."""
    for value in batch.values():
        if isinstance(value, torch.Tensor) and value.ndim:
            return int(value.shape[0])
    return 1


def on_device(batch: Any, device: torch.device) -> Any:
    """The batch with every tensor on `device`."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {name: on_device(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        return type(batch)(on_device(value, device) for value in batch)
    return batch


def device_of(model: torch.nn.Module) -> torch.device:
    """Device of the model's first parameter; the CPU for a model without any."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def row_classes(batch: Batch) -> torch.Tensor | None:
    """(n_rows,) class indices of a batch, None when its labels are of another kind."""
    labels = batch.get("labels")
    if not isinstance(labels, torch.Tensor) or labels.is_floating_point():
        return None
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    return labels if labels.ndim == 1 else None
