"""A training loop as its user describes it, and what its functions may return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class TrainingLoop:
    """A training loop of one's own, such as a plain accelerate loop, by its functions.

    Random numbers (python, numpy, torch, every CUDA device) are kept and put back by the
    pre-flight. All else that a step changes has to be in `state_dict`.

    Args:
        step: makes one optimizer step, gradient accumulation included, and returns its loss, or a
            dict with ``loss`` and, if known, ``grad_norm`` and ``learning_rate``. It is given the
            next of `batches`, or nothing when there are none.
        evaluate: metrics on the first so many rows of the evaluation set, in an order that is
            always the same; called with the number of rows. ``accuracy`` and ``eval_accuracy``
            are the same metric.
        state_dict: all that a step changes: model (with adapters: theirs alone), optimizer,
            scheduler, scaler; nested dicts and lists of tensors and plain values. Without
            `batches` also the position in the data.
        load_state_dict: brings back what `state_dict` gave. Tried before the first step.
        max_steps: optimizer steps of the full run.
        eval_rows: rows of the evaluation set.
        batches: what one epoch's `step` calls are given, in the order of this seed; begun anew at
            each epoch's end. Return a new loader for each call.
        begin: draws anew, for a seed, what the run draws at random (head, adapters). Not called
            for the first probe, which is the run as it stands.
        learning_rates: (max_steps,) planned learning rates; without them the risk curve cannot
            use the schedule.
        steps_per_epoch: optimizer steps in one pass over the data.
        rows_per_step: training rows of one optimizer step over all processes.
        eval_batch_size: rows of one evaluation batch over all processes.
        evaluations: evaluations of the whole set that the full run will do, for its cost.
        eval_labels: class indices of the evaluation set, for the majority baseline.
        run_settings: JSON scalars that describe the run, for the report.
        accelerator: the Accelerator, whose own bookkeeping is then put back as well.
        seed: of the run.
        features: what the untrained model makes of the data, for the static signals of its labels:
            called with ``"train"`` or ``"eval"`` and a number of rows, it returns (features,
            targets) of the first so many: (n, n_dims), best what the head is given, and (n,)
            class indices, or (n, n_numbers) numbers.
        gradient: gradient of the loss on one of `batches` (without them, of the next one), as one
            tensor or several; for the static signals of its noise. Like ``torch.autograd.grad``,
            it must leave every ``.grad`` as it was.

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
    run_settings: Mapping[str, Any] | None = None
    accelerator: Any = None
    seed: int = 42
    features: Callable[[str, int], tuple[Any, Any]] | None = None
    gradient: Callable[..., Any] | None = None

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
        for name in ("features", "gradient"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise TypeError(f"{name} must be a function, got {type(value).__name__}")
        for name, min_value in (("max_steps", 1), ("eval_rows", 1), ("eval_batch_size", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < min_value:
                raise ValueError(
                    f"{name} must be a whole number of {min_value} or more, got {value!r}"
                )
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
