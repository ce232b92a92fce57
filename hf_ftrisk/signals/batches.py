"""Collated batches: how many rows, which labels, on which device; and how long to look at them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Batch = Mapping[str, Any]
LossFunction = Callable[[torch.nn.Module, dict[str, Any]], torch.Tensor]


@dataclass
class Deadline:
    """Ends bounded work: true once `seconds` have passed, agreed on by every rank through `agree`.

    Args:
        seconds: time from now on; None: no limit.
        agree: turns this rank's answer into everyone's; several ranks that run collectives must
            not disagree about how many batches they look at.
    """

    seconds: float | None = None
    agree: Callable[[bool], bool] | None = None

    def __post_init__(self) -> None:
        self._end = math.inf if self.seconds is None else time.monotonic() + self.seconds

    def part(self, share: float) -> Deadline:
        """A deadline that ends once `share` of the time still left has passed."""
        if self.seconds is None:
            return self
        return Deadline(max(0.0, self._end - time.monotonic()) * share, self.agree)

    def passed(self) -> bool:
        """Whether it is time to stop."""
        late = time.monotonic() > self._end
        return self.agree(late) if self.agree is not None and self.seconds is not None else late


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
