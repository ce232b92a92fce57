"""A training loop as its user describes it, and what its functions may return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Loop:
    """The user's loop; see `PreflightRunner.from_loop` for what each function has to do.

    Raises:
        TypeError: something that is no function.
        ValueError: a number out of range, or learning rates that are not one for each step.
    """

    step: Callable[..., Any]
    evaluate: Callable[[int], Mapping[str, Any]]
    state_dict: Callable[[], Any]
    load_state_dict: Callable[[Any], Any]
    max_steps: int
    eval_rows: int
    batches: Callable[[int], Iterable[Any]] | None = None
    begin: Callable[[int], Any] | None = None
    learning_rates: Sequence[float] | None = None
    steps_per_epoch: float | None = None
    rows_per_step: float | None = None
    eval_batch_size: int = 1
    evaluations: int = 0
    eval_labels: Sequence[int] | None = None
    settings: Mapping[str, Any] | None = None
    accelerator: Any = None
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("step", "evaluate", "state_dict", "load_state_dict"):
            if not callable(getattr(self, name)):
                raise TypeError(f"{name} must be a function, got {getattr(self, name)!r}")
        for name in ("batches", "begin"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise TypeError(
                    f"{name} must be a function of a seed, got {type(value).__name__}"
                    + (": write batches=lambda seed: ..." if name == "batches" else "")
                )
        for name, least in (("max_steps", 1), ("eval_rows", 1), ("eval_batch_size", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number of {least} or more, got {value!r}")
        if self.evaluations < 0:
            raise ValueError(f"evaluations must be 0 or more, got {self.evaluations!r}")
        if self.learning_rates is not None and len(self.learning_rates) != self.max_steps:
            raise ValueError(
                f"learning_rates must hold one rate for each of the {self.max_steps} steps, "
                f"got {len(self.learning_rates)}"
            )


def step_entry(result: Any) -> dict[str, float]:
    """A log entry from what `step` returned."""
    values = result if isinstance(result, Mapping) else {"loss": result}
    entry = {
        name: _number(values[name], f"step's {name}")
        for name in ("loss", "grad_norm", "learning_rate")
        if values.get(name) is not None
    }
    if "loss" not in entry:
        raise ValueError(
            "step must return the loss of one optimizer step, or a dict with 'loss' and, if you "
            f"like, 'grad_norm' and 'learning_rate'; got {result!r}"
        )
    return entry


def named_metrics(result: Any) -> dict[str, float]:
    """Metrics by their ``eval_`` names."""
    if not isinstance(result, Mapping):
        raise ValueError(
            "evaluate must return a dict of metrics such as {'accuracy': 0.9}, "
            f"got {type(result).__name__}"
        )
    return {
        name if name.startswith("eval_") else f"eval_{name}": _number(value, f"metric {name}")
        for name, value in result.items()
    }


def _number(value: Any, what: str) -> float:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value.detach())
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"{what} must be a single number, got {value!r}")
