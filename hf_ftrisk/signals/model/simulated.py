"""How far a linear head on the frozen representation gets while the schedule lasts. No torch.

A linear probe that is fitted to its end says what data and model allow; the first-order fall of
the loss by the schedule, what the recipe can move. Here both meet: softmax regression on the
representation right before the head, trained from zero by normalized gradient descent, whose first
steps lower the loss as fast as the schedule lowers that of the whole model, to first order. As the
loss falls, its gradient does, and so does what is left to learn.

| signal | definition | unit | range | source |
|---|---|---|---|---|
| ``simulated_score`` | accuracy on evaluation rows of softmax regression on the representation \
right before the head, trained by normalized gradient descent over a length that lowers the \
training loss by the schedule's first-order fall, part of the noise taken off (`agreed_gain`), if \
the gradient stayed as large as at first | share | [0, 1] | Hazan, Levy and Shalev-Shwartz 2015 \
(normalized descent) |
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from hf_ftrisk.signals.model.label_signal import Labeled, standardized

_STEPS = 150
# Evaluation rows below which a score says little.
_FEWEST_ROWS = 20
# Share of the first gradient below which steps no longer keep their length.
_SMALLEST = 0.02
# Operations a second that any processor does, in products of large matrices.
_SLOW = 1e10


def simulated_signals(train: Labeled, held_out: Labeled | None, gain: float) -> dict[str, float]:
    """``simulated_score``; empty where targets are no classes, or evaluation rows are too few.

    Args:
        train: training rows.
        held_out: evaluation rows; None: none were seen.
        gain: fall of the training loss by the schedule, to first order, nats.
    """
    if held_out is None or {train.kind, held_out.kind} != {"class"}:
        return {}
    classes = np.unique(train.targets)
    if len(held_out) < _FEWEST_ROWS or classes.size < 2:
        return {}
    x, z = (
        np.column_stack([part, np.ones(len(part))])
        for part in standardized(train.features, held_out.features)
    )
    weights = _descent(x @ x.T, train.targets[:, None] == classes[None, :], gain)
    predicted = classes[(z @ x.T @ weights).argmax(axis=1)]
    return {"simulated_score": float((predicted == held_out.targets).mean())}


def simulated_seconds(n_rows: int, n_classes: int) -> float:
    """Time at most that `simulated_signals` takes, seconds."""
    return (2.0 * _STEPS * n_rows**2 * n_classes) / _SLOW


def _descent(kernel: np.ndarray, y: np.ndarray, gain: float) -> np.ndarray:
    """Weights (n, n_classes) of the rows' kernel functions after the whole schedule.

    Args:
        kernel: (n, n) inner products of the rows.
        y: (n, n_classes) one true entry a row.
        gain: fall of the loss over all steps if the gradient stayed as it is at first.
    """
    weights, logits = np.zeros(y.shape), np.zeros(y.shape)
    first = 0.0
    for _ in range(_STEPS):
        residual = (softmax(logits, axis=1) - y) / len(y)
        moved = kernel @ residual
        norm = float(np.sqrt(max((residual * moved).sum(), 0.0)))  # of the gradient
        first = first or norm
        if first == 0.0:
            break
        step = gain / _STEPS / first / max(norm, _SMALLEST * first)
        weights -= step * residual
        logits -= step * moved
    return weights
