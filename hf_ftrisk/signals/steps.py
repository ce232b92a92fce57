"""Signals that only the weights and gradients of each step can give, measured as they pass."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
import torch

from hf_ftrisk.signals.gradients import kept_coordinates

MAX_COORDINATES = 100_000


class StepMeter:
    """Measures every step of an optimiser while it is open, on a sample of coordinates.

    At each step: the update-to-weight ratio ``|w_after - w_before| / |w_before|``, and the cosine
    between this step's gradient and the last one's. Global-norm clipping scales a gradient and so
    leaves the cosine alone. The optimiser, its state and the random states are not changed.

    Args:
        optimizer: a torch optimiser, or accelerate's wrapper of one.
        max_coordinates: numbers looked at, spread over the parameters in proportion to their size
            and the same at every step; they are copied to the CPU once a step.

    Example:
        >>> with StepMeter(trainer.optimizer) as meter:
        ...     train()
        >>> dynamics_signals(record, **meter.columns())
    """

    def __init__(self, optimizer: Any, max_coordinates: int = MAX_COORDINATES) -> None:
        from accelerate.optimizer import AcceleratedOptimizer

        wrapped = isinstance(optimizer, AcceleratedOptimizer)
        self._optimizer: torch.optim.Optimizer = optimizer.optimizer if wrapped else optimizer
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        places = kept_coordinates([p.numel() for p in parameters], max_coordinates)
        self._places = list(zip(parameters, places, strict=True))
        self._ratios: list[float] = []
        self._cosines: list[float] = []
        self._before: torch.Tensor | None = None
        self._gradient: torch.Tensor | None = None
        self._hooks: list[Any] = []

    def __enter__(self) -> StepMeter:
        self._hooks = [
            self._optimizer.register_step_pre_hook(self._before_step),
            self._optimizer.register_step_post_hook(self._after_step),
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

    def columns(self) -> dict[str, np.ndarray]:
        """``update_ratio`` (n_steps,) and ``gradient_cosine`` (n_steps - 1,)."""
        return {
            "update_ratio": np.array(self._ratios),
            "gradient_cosine": np.array(self._cosines),
        }

    def _weights(self) -> torch.Tensor:
        """(n_kept,) sampled weights, in double precision: updates are small differences."""
        return torch.cat(
            [p.detach().reshape(-1)[i.to(p.device)].double().cpu() for p, i in self._places]
        )

    def _gradients(self) -> torch.Tensor:
        return torch.cat(
            [
                torch.zeros(i.numel(), dtype=torch.float64)
                if p.grad is None
                else p.grad.detach().reshape(-1)[i.to(p.device)].double().cpu()
                for p, i in self._places
            ]
        )

    def _before_step(self, *_: Any) -> None:
        gradient, last = self._gradients(), self._gradient
        if last is not None:
            norms = float(gradient.norm() * last.norm())
            self._cosines.append(float(gradient @ last) / norms if norms > 0 else 0.0)
        self._gradient, self._before = gradient, self._weights()

    def _after_step(self, *_: Any) -> None:
        assert self._before is not None
        size = float(self._before.norm())
        change = float((self._weights() - self._before).norm())
        self._ratios.append(change / size if size > 0 else float("inf") if change else 0.0)
