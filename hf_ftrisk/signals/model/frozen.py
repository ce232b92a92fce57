"""Look at a model without moving it: modes, gradients, buffers and random states come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hf_ftrisk.trainers.state import random_states_kept


@contextmanager
def frozen(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The model in evaluation mode; on leaving, however, everything is as it was.

    Restored: train/eval mode of every submodule, ``.grad`` of every parameter (the same tensor
    objects), the values of every buffer (BatchNorm), and the random states.
    """
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    with random_states_kept():
        try:
            model.eval()
            yield model
        finally:
            for module, training in modes:
                module.training = training
            for parameter, gradient in gradients:
                parameter.grad = gradient
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
