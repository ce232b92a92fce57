"""Signals that only the weights and gradients of each step can give, measured as they pass."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
import torch

from hf_ftrisk.signals.model.gradients import kept_coordinates

MAX_COORDINATES = 100_000


class StepMeter:
    """Measures the steps of an optimizer, on a sample of coordinates.

    At each step: the update-to-weight ratio ``|w_after - w_before| / |w_before|``, and the cosine
    between this step's gradient and the last one's. Global-norm clipping scales a gradient and so
    leaves the cosine alone. A step whose gradient is not finite is left out: a loss scaler skips
    it. The optimizer, its state and the random states are not changed.

    Used as a context, it measures every step the optimizer makes meanwhile. A loop of one's own may
    call `before_step` and `after_step` instead; then nothing is hooked into the optimizer.

    Args:
        optimizer: a torch optimizer, or accelerate's wrapper of one.
        max_coordinates: numbers looked at, spread over the parameters in proportion to their size
            and the same at every step. They stay on the parameters' device: at most 40 bytes for
            each, whatever the size of the model.

    Examples:
        >>> with StepMeter(trainer.optimizer) as meter:
        ...     train()
        >>> signals = dynamics_signals(record, **meter.columns())
    """

    def __init__(self, optimizer: Any, max_coordinates: int = MAX_COORDINATES) -> None:
        from accelerate.optimizer import AcceleratedOptimizer

        wrapped = isinstance(optimizer, AcceleratedOptimizer)
        self._optimizer: torch.optim.Optimizer = optimizer.optimizer if wrapped else optimizer
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        places = kept_coordinates([p.numel() for p in parameters], max_coordinates)
        self._places = [(p, i.to(p.device)) for p, i in zip(parameters, places, strict=True)]
        self._device = parameters[0].device
        # Updates are small differences: double precision, where the device has it.
        self._type = torch.float32 if self._device.type == "mps" else torch.float64
        self._ratios: list[torch.Tensor] = []
        self._cosines: list[torch.Tensor] = []
        self._before: torch.Tensor | None = None
        self._gradient: torch.Tensor | None = None
        self._hooks: list[Any] = []

    def __enter__(self) -> StepMeter:
        self._hooks = [
            self._optimizer.register_step_pre_hook(lambda *_: self.before_step()),
            self._optimizer.register_step_post_hook(lambda *_: self.after_step()),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def before_step(self) -> None:
        """The gradients are there, the optimizer has not stepped."""
        gradient, last = self._gradients(), self._gradient
        if last is not None:
            norms = gradient.norm() * last.norm()
            self._cosines.append(torch.where(norms == 0, 0.0, gradient @ last / norms))
        self._gradient, self._before = gradient, self._weights()

    def after_step(self) -> None:
        """The optimizer has stepped."""
        assert self._before is not None
        assert self._gradient is not None
        change, size = (self._weights() - self._before).norm(), self._before.norm()
        # 0 / 0: a weight of zero that stays there does not move.
        ratio = torch.where(change == 0, 0.0, change / size)
        made = torch.isfinite(self._gradient).all()
        self._ratios.append(torch.where(made, ratio, torch.nan))
        self._before = None

    def columns(self) -> dict[str, np.ndarray]:
        """``update_ratio`` (n_steps,) and ``gradient_cosine`` (n_steps - 1,); NaN for steps that
        were left out.
        """
        return {
            "update_ratio": _fetched(self._ratios),
            "gradient_cosine": _fetched(self._cosines),
        }

    def _weights(self) -> torch.Tensor:
        """(n_kept,) sampled weights."""
        return torch.cat([self._sampled(p.detach(), i) for p, i in self._places])

    def _gradients(self) -> torch.Tensor:
        """(n_kept,) sampled gradient, zero where a parameter has none."""
        return torch.cat(
            [
                torch.zeros(i.numel(), dtype=self._type, device=self._device)
                if p.grad is None
                else self._sampled(p.grad.detach(), i)
                for p, i in self._places
            ]
        )

    def _sampled(self, tensor: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        if tensor.layout != torch.strided:  # gradient of an embedding with sparse=True
            tensor = tensor.to_dense()
        return tensor.reshape(-1)[places].to(self._device, self._type)


def _fetched(values: list[torch.Tensor]) -> np.ndarray:
    """(n,) numbers, brought over from the device at once."""
    if not values:
        return np.empty(0)
    return np.asarray(torch.stack(values).cpu().double().numpy())
