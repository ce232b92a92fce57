"""Failures that need no forecast: a run in this state cannot end well.

Persistence is what makes a failure certain. A single non-finite gradient is what a fp16 loss
scaler meets and skips while it looks for its scale; a loss near zero is what policy-gradient
trainers log by construction. Neither is a failure.
"""

from __future__ import annotations

import numpy as np

from hf_ftrisk.record import RunRecord
from hf_ftrisk.verdict import Diagnosis

# Consecutive logged values that must agree before a failure is called certain.
PERSISTENT_LOGS = 3
# A fp16 scaler starts at 2**16 and halves once a skipped step: below scale 1 after 17 steps.
# Gradients that are still not finite after this many steps in a row are not the scaler's search.
SCALER_SEARCH_STEPS = 20


def certain_failure(record: RunRecord) -> Diagnosis | None:
    """The failure that makes a good end impossible, None while there is none.

    Certain are: a loss that is NaN or infinite in consecutive logs; gradients that stay
    non-finite (also where the Trainer's ``logging_nan_inf_filter`` shows the loss as 0.0 or as a
    running mean); gradients that are exactly zero at a positive learning rate.

    Args:
        record: the run so far.
    """
    return _non_finite_loss(record) or _non_finite_gradients(record) or _zero_gradients(record)


def _trailing(flags: np.ndarray) -> int:
    """Number of True values at the end of `flags` (n,)."""
    wrong = np.flatnonzero(~flags)
    return int(flags.size if wrong.size == 0 else flags.size - 1 - wrong[-1])


def logged(record: RunRecord, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values (n,), (n,) of a training column where it was logged, NaN kept as NaN.

    Args:
        record: the run.
        name: ``"loss"``, ``"grad_norm"`` or ``"learning_rate"``.
    """
    column = {
        "loss": record.train_loss,
        "grad_norm": record.grad_norm,
        "learning_rate": record.learning_rate,
    }[name]
    was_nan = np.isin(record.train_step, record.nan_steps.get(name, ()))
    kept = ~np.isnan(column) | was_nan
    return record.train_step[kept], column[kept]


def _non_finite_loss(record: RunRecord) -> Diagnosis | None:
    steps, loss = logged(record, "loss")
    count = _trailing(~np.isfinite(loss))
    if count < min(PERSISTENT_LOGS, 2):
        return None
    first = int(steps[-count])
    return Diagnosis(
        name="non_finite_loss",
        message=f"The training loss is not finite in the last {count} logs, since step {first}.",
        advice="Restart from a checkpoint before that step with a learning rate ten times lower; "
        "with fp16, change to bf16.",
        severity="fatal",
        evidence={"since_step": float(first), "logs": float(count)},
    )


def _non_finite_gradients(record: RunRecord) -> Diagnosis | None:
    steps, norm = logged(record, "grad_norm")
    count = _trailing(~np.isfinite(norm))
    if count < PERSISTENT_LOGS:
        return None
    first, last = int(steps[-count]), int(steps[-1])
    loss_steps, loss = logged(record, "loss")
    since = loss[loss_steps >= first]
    # The filter turns a window of NaN losses into 0.0: then the weights themselves are lost.
    hidden = since.size >= PERSISTENT_LOGS and bool(np.all(since[1:] == 0.0))
    if not hidden and last - first < SCALER_SEARCH_STEPS:
        return None
    shown = f"; the logged loss of {since[-1]:g} hides it" if since.size else ""
    return Diagnosis(
        name="non_finite_gradients",
        message=f"The gradient norm is not finite in the last {count} logs, "
        f"since step {first}{shown}.",
        advice="Restart from a checkpoint before that step with a learning rate ten times lower; "
        "with fp16, change to bf16. Set logging_nan_inf_filter=False to see the loss itself.",
        severity="fatal",
        evidence={"since_step": float(first), "logs": float(count)},
    )


def _zero_gradients(record: RunRecord) -> Diagnosis | None:
    if record.settings.get("reinforcement_learning"):
        return None  # a batch whose rewards are all equal has no gradient: that passes
    steps, norm = logged(record, "grad_norm")
    count = _trailing(norm == 0.0)
    if count < PERSISTENT_LOGS or count < norm.size:
        return None  # zero only later: a model that fits its data, not a broken one
    rate_steps, rate = logged(record, "learning_rate")
    if rate.size and not np.any(rate[rate_steps >= steps[-count]] > 0):
        return None
    _, loss = logged(record, "loss")
    masked = loss.size > 0 and bool(np.all(loss == 0.0))
    cause = "every label is masked" if masked else "nothing that is trainable reaches the loss"
    advice = (
        "Look at one batch's labels: all are -100. Raise the maximum length so that answers are "
        "not cut off, or correct the chat template's response marker."
        if masked
        else "Check that some parameters have requires_grad=True and belong to the optimizer."
    )
    return Diagnosis(
        name="all_labels_masked" if masked else "zero_gradients",
        message=f"The gradient norm is exactly 0 in all {count} logs up to step "
        f"{int(steps[-1])}: {cause}.",
        advice=advice,
        severity="fatal",
        evidence={"logs": float(count), "grad_norm": 0.0},
    )
