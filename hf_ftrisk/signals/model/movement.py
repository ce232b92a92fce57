"""How far the planned schedule can move the model: a bound to first order, before any step.

A step of Adam and its kin moves no weight by much more than the learning rate, so the loss falls by
at most the learning rate times the 1-norm of its gradient; a step of SGD, by the learning rate
times the squared 2-norm. Summed over the schedule at the gradient of the untrained model, that
tells a learning rate that cannot change anything from one that can. No torch.

| signal | definition | unit | range | source |
|---|---|---|---|---|
| ``gradient_l1`` | 1-norm of the mean training gradient | gradient norm | >= 0 | - |
| ``gradient_l1_agreed`` | <sign(g_a), g_b> of the mean gradients of two halves of the batches: \
the part of the 1-norm that is not noise | gradient norm | any | Balles and Hennig 2018 |
| ``schedule_rates`` | sum of the planned learning rates | - | >= 0 | - |
| ``schedule_gain`` | fall of the training loss by the whole schedule, to first order: \
schedule_rates times gradient_l1 (Adam, AdamW, Adafactor, Lion, RMSprop), or times the squared \
norm after clipping (SGD); absent for other optimizers | nats | >= 0 | Taylor expansion; Kunstner \
et al. 2023 (sign descent) |
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Update = Literal["sign", "gradient"]

# Share of a gradient that batches are taken to agree on at least: the estimate is noisy.
_MIN_AGREED = 0.03

_SIGN_LIKE = ("adam", "ademamix", "lion", "rmsprop", "adafactor")
_UNKNOWN = ("lomo", "galore", "apollo", "schedulefree", "schedule_free")


def update_of(optimizer: str) -> Update | None:
    """What a first step of an optimizer follows: the gradient, or its sign; None if unknown.

    Args:
        optimizer: its class, or its name among TrainingArguments' ``optim``.
    """
    name = optimizer.lower()
    if any(part in name for part in _UNKNOWN):
        return None
    if "sgd" in name:
        return "gradient"
    return "sign" if any(part in name for part in _SIGN_LIKE) else None


@dataclass(frozen=True, eq=False)
class PlannedSteps:
    """The optimizer's steps as they are planned.

    Args:
        rate_sum: sum of the planned learning rates; None: not known.
        update: what a step follows; None: not known.
        max_grad_norm: norm that gradients are clipped to; None or 0: they are not. Adam's steps do
            not change with it.
        momentum: of SGD: a constant gradient is followed 1 / (1 - momentum) times as far.
    """

    rate_sum: float | None = None
    update: Update | None = "sign"
    max_grad_norm: float | None = None
    momentum: float = 0.0


def movement_signals(l1: float, norm: float, planned: PlannedSteps) -> dict[str, float]:
    """``schedule_rates`` and ``schedule_gain``, as far as they are known.

    Args:
        l1: 1-norm of the mean training gradient.
        norm: its 2-norm.
        planned: the optimizer's steps.
    """
    total = planned.rate_sum
    if total is None:
        return {}
    signals = {"schedule_rates": total}
    if planned.update == "sign":
        signals["schedule_gain"] = total * l1
    elif planned.update == "gradient":
        clipped = min(norm, planned.max_grad_norm) if planned.max_grad_norm else norm
        signals["schedule_gain"] = total * clipped * norm / max(1.0 - planned.momentum, 1e-3)
    return signals


def agreed_gain(static: Mapping[str, float]) -> float | None:
    """First-order fall of the loss by the schedule, part of the noise taken off, in nats.

    Of the gradient the geometric mean of its 1-norm and of that part of it which batches agree on:
    the one takes noise for signal, the other does not see what many steps average out.

    Args:
        static: signals by name; None is returned where ``schedule_gain`` is missing.
    """
    gain = static.get("schedule_gain")
    whole = static.get("gradient_l1")
    if gain is None or not whole:
        return gain
    agreed = max(static.get("gradient_l1_agreed", whole) / whole, _MIN_AGREED)
    return gain * math.sqrt(min(agreed, 1.0))
