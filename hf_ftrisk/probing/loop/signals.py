"""Static signals of a loop, from what its user's functions say of the untrained model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from hf_ftrisk.probing.loop.loop import TrainingLoop
from hf_ftrisk.probing.workload import Processes
from hf_ftrisk.signals.deadline import Deadline
from hf_ftrisk.signals.model.compatibility import MAX_FEATURES
from hf_ftrisk.signals.model.gradients import (
    MAX_COORDINATES,
    Gradients,
    gradient_signals,
    kept_coordinates,
)
from hf_ftrisk.signals.model.label_signal import Kind, Labeled, label_signal
from hf_ftrisk.signals.model.transfer import h_score, linear_probe_accuracy, log_me

_MAX_BATCHES = 12


def loop_signals(loop: TrainingLoop, seconds: float, ranks: Processes) -> dict[str, float]:
    """What `features` and `gradient` tell; a signal that they do not allow is missing.

    Args:
        loop: the user's functions, its model untrained.
        seconds: time for the gradients; rank 0's clock says for all ranks when it is over.
        ranks: the processes in lockstep.

    Raises:
        ValueError: features or gradients of another form than they must have.
    """
    deadline = Deadline(seconds, ranks.from_main)
    signals = _feature_signals(loop) | _gradient_signals(loop, deadline)
    return {name: value for name, value in signals.items() if math.isfinite(value)}


def _feature_signals(loop: TrainingLoop) -> dict[str, float]:
    if loop.features is None:
        return {}
    train = _labeled(loop.features("train", MAX_FEATURES))
    held_out = _labeled(loop.features("eval", min(MAX_FEATURES, loop.eval_rows)))
    signals = label_signal(train, held_out if len(held_out) else None)
    if train.kind != "class" or np.unique(train.targets).size < 2:
        return signals
    signals["log_me"] = log_me(train.features, train.targets)
    signals["h_score"] = h_score(train.features, train.targets)
    if len(held_out) and held_out.kind == "class":
        signals["linear_probe_accuracy"] = linear_probe_accuracy(
            train.features, train.targets, held_out.features, held_out.targets
        )
    return signals


def _labeled(result: Any) -> Labeled:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise ValueError(
            "features must return two arrays, (n, n_dims) features and n targets; "
            f"got {type(result).__name__}"
        )
    x, y = (_array(part) for part in result)
    if x.ndim != 2 or y.ndim not in (1, 2) or len(x) != len(y):
        raise ValueError(
            "features must return (n, n_dims) features and n targets, got arrays of the shapes "
            f"{x.shape} and {y.shape}"
        )
    classes = y.ndim == 1 and np.issubdtype(y.dtype, np.integer)
    targets = y if classes or y.ndim == 2 else y[:, None]
    kind: Kind = "class" if classes else "number"
    return Labeled(x.astype(np.float64), targets, np.arange(len(x)), kind)


def _array(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach()
        values = (values.float() if values.is_floating_point() else values).numpy(force=True)
    return np.asarray(values)


def _gradient_signals(loop: TrainingLoop, deadline: Deadline) -> dict[str, float]:
    vectors: list[torch.Tensor] = []
    weights = torch.empty(0)
    for batch in _batches(loop):
        assert loop.gradient is not None
        parts = _parts(loop.gradient(*batch))
        coordinates = kept_coordinates([part.numel() for part in parts], MAX_COORDINATES)
        pairs = list(zip(parts, coordinates, strict=True))
        vector = torch.cat([part[i.to(part.device)].double().cpu() for part, i in pairs])
        if vectors and vector.numel() != vectors[0].numel():
            raise ValueError("gradient must return as many numbers for every batch")
        weights = torch.cat(
            [torch.full((i.numel(),), part.numel() / i.numel()).double() for part, i in pairs]
        )
        vectors.append(vector)
        if deadline.passed():
            break
    if not vectors:
        return {}
    rows = float(loop.rows_per_step or 1.0)
    counts = torch.full((len(vectors),), rows, dtype=torch.float64)
    signals = gradient_signals(Gradients(torch.stack(vectors), weights, counts), None, rows)
    if loop.rows_per_step is None:
        signals.pop("noise_scale", None)  # it is counted in rows
    return signals


def _batches(loop: TrainingLoop) -> Iterator[tuple[Any, ...]]:
    """What `gradient` is called with, up to `_MAX_BATCHES` times."""
    if loop.gradient is None:
        return
    if loop.batches is None:
        yield from [()] * _MAX_BATCHES
        return
    for count, batch in enumerate(loop.batches(loop.seed), start=1):
        yield (batch,)
        if count == _MAX_BATCHES:
            return


def _parts(result: Any) -> list[torch.Tensor]:
    parts = [result] if isinstance(result, torch.Tensor) else result
    if not isinstance(parts, Sequence) or not all(isinstance(p, torch.Tensor) for p in parts):
        raise ValueError(
            "gradient must return one tensor or a list of them, as torch.autograd.grad does; "
            f"got {type(result).__name__}"
        )
    return [part.detach().reshape(-1) for part in parts]
