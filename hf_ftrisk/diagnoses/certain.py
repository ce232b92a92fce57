"""Failures that need no forecast: a run in this state cannot end well.

Persistence is what makes a failure certain. A single non-finite gradient is what a fp16 loss
scaler meets and skips while it looks for its scale; a loss near zero is what policy-gradient
trainers log by construction. Neither is a failure. Nor is a gradient norm of 0 that only says that
nobody saw the gradients: optimizers that step inside the backward pass (LOMO, layerwise GaLore)
leave none behind.
"""

from __future__ import annotations

import numpy as np

from hf_ftrisk.diagnoses.advice import on_non_finite
from hf_ftrisk.diagnoses.evidence import Evidence, spread
from hf_ftrisk.diagnoses.exploded import exploded_loss
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.verdict import Diagnosis

# Consecutive logged values that must agree before a failure is called certain.
PERSISTENT_LOGS = 3
# Consecutive evaluations of a loss goal that were not finite before no good outcome is left.
PERSISTENT_EVALUATIONS = 3
# A fp16 scaler starts at 2**16 and halves once a skipped step: below scale 1 after 17 steps.
# Gradients that are still not finite after this many steps in a row are not the scaler's search.
SCALER_SEARCH_STEPS = 20
# Logs over which a loss that is being trained would have moved beyond its noise.
_UNMOVED_LOGS = 20
_SAME = 1e-6


def certain_failure(record: RunRecord, goal: Goal | None = None) -> Diagnosis | None:
    """The failure that makes a good outcome impossible, None while there is none.

    Certain are: a loss that is NaN or infinite in consecutive logs; gradients that stay
    non-finite (also where the Trainer's ``logging_nan_inf_filter`` shows the loss as 0.0 or as a
    running mean); gradients that are exactly zero at a positive learning rate, where they were
    seen or the loss does not move either; a goal's loss that is not finite in consecutive
    evaluations; a loss that stays far above where it began for longer than any good run's did
    (`diagnoses.exploded`).

    Args:
        record: the run so far.
        goal: what it is judged by; None: its evaluations are not looked at.
    """
    evidence = Evidence(record, goal or Goal("eval_loss"))
    return (
        non_finite_loss(evidence)
        or non_finite_gradients(evidence)
        or zero_gradients(evidence)
        or (None if goal is None else lost_evaluations(evidence))
        or exploded_loss(record)
    )


def _trailing(flags: np.ndarray) -> int:
    """Number of True values at the end of `flags` (n,)."""
    false_places = np.flatnonzero(~flags)
    return int(flags.size if false_places.size == 0 else flags.size - 1 - false_places[-1])


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
    is_logged = ~np.isnan(column)
    if name in record.nan_steps:
        is_logged |= np.isin(record.train_step, record.nan_steps[name])
    return record.train_step[is_logged], column[is_logged]


def non_finite_loss(evidence: Evidence) -> Diagnosis | None:
    """A training loss that is not finite in consecutive logs."""
    record = evidence.record
    steps, loss = logged(record, "loss")
    count = _trailing(~np.isfinite(loss))
    if count < min(PERSISTENT_LOGS, 2):
        return None
    first = int(steps[-count])
    return Diagnosis(
        name="non_finite_loss",
        message=f"The training loss is NaN or infinite in the last {count} logs, since step "
        f"{first}.",
        advice=on_non_finite(record),
        severity="fatal",
        evidence={"since_step": float(first), "logs": float(count)},
    )


def non_finite_gradients(evidence: Evidence) -> Diagnosis | None:
    """Gradients that stay non-finite for longer than a loss scaler searches."""
    record = evidence.record
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
    loss_words = f"; the logged loss of {since[-1]:g} hides it" if since.size else ""
    return Diagnosis(
        name="non_finite_gradients",
        message=f"The gradient norm is NaN or infinite in the last {count} logs, "
        f"since step {first}{loss_words}.",
        advice=f"{on_non_finite(record)} Set logging_nan_inf_filter=False to see the loss itself.",
        severity="fatal",
        evidence={"since_step": float(first), "logs": float(count)},
    )


def zero_gradients(evidence: Evidence) -> Diagnosis | None:
    """Gradients of exactly zero from the first step on: labels all masked, or nothing to train."""
    record = evidence.record
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
    if not (masked or record.settings.get("every_step_seen") or _unmoved(loss)):
        return None  # a norm of 0 and a loss that moves: nobody saw the gradients
    cause = "every label is masked" if masked else "the loss depends on no trainable parameter"
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


def _unmoved(loss: np.ndarray) -> bool:
    """Whether a loss (n,) shows no training: the same throughout, or for long without a trend."""
    finite = loss[np.isfinite(loss)]
    if finite.size == 0 or np.ptp(finite) <= _SAME * max(abs(float(finite[0])), _SAME):
        return True
    if finite.size < _UNMOVED_LOGS:
        return False
    half = finite.size // 2
    fall = abs(float(np.median(finite[:half]) - np.median(finite[half:])))
    return bool(fall <= spread(finite) / half**0.5)


def lost_evaluations(evidence: Evidence) -> Diagnosis | None:
    """The goal's loss not finite in consecutive evaluations."""
    record, goal = evidence.record, evidence.goal
    if goal.greater_is_better:
        return None
    steps, values = evaluated(record, goal.metric)
    count = _trailing(~np.isfinite(values))
    if count < PERSISTENT_EVALUATIONS:
        return None
    first = int(steps[-count])
    return Diagnosis(
        name="non_finite_evaluations",
        message=f"{goal.metric} is NaN or infinite in the last {count} evaluations, since step "
        f"{first}{training_loss_words(record)}.",
        advice=evaluation_advice(record),
        severity="fatal",
        evidence={"since_step": float(first), "evaluations": float(count)},
    )


def non_finite_evaluations(evidence: Evidence) -> Diagnosis | None:
    """The last evaluation of a loss, the goal's or another, is not finite."""
    record, goal = evidence.record, evidence.goal
    losses = sorted(name for name in {*record.evals, *record.nan_steps} if name.endswith("_loss"))
    names = [goal.metric] if goal.kind != "correlation" else []
    for name in dict.fromkeys([*names, *losses]):
        steps, values = evaluated(record, name)
        count = _trailing(~np.isfinite(values))
        if not name.startswith("eval_") or count == 0:
            continue
        first = int(steps[-count])
        return Diagnosis(
            name="non_finite_evaluations",
            message=f"{name} is {values[-1]:g} at step {int(steps[-1])}, not finite in {count} of "
            f"{values.size} evaluations, since step {first}{training_loss_words(record)}.",
            advice=evaluation_advice(record),
            evidence={"since_step": float(first), "evaluations": float(count)},
        )
    return None


def evaluated(record: RunRecord, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values (n,), (n,) at which a metric was evaluated, NaN kept as NaN."""
    column = record.evals.get(metric)
    if column is None:
        return np.empty(0), np.empty(0)
    is_evaluated = ~np.isnan(column) | np.isin(record.eval_step, record.nan_steps.get(metric, ()))
    return record.eval_step[is_evaluated], column[is_evaluated]


def training_loss_words(record: RunRecord) -> str:
    """What the training loss is meanwhile, for a message."""
    _, loss = logged(record, "loss")
    if not loss.size:
        return ""
    return f", while the training loss is {loss[-1]:.3g}"


def evaluation_advice(record: RunRecord) -> str:
    """What to look at where an evaluation is not finite."""
    _, loss = logged(record, "loss")
    if loss.size and not np.isfinite(loss[-1]):
        return on_non_finite(record)
    return (
        "Evaluate one batch by hand: rows whose labels are all masked (-100) or cut off give NaN, "
        "as do empty rows and fp16 overflow (evaluate in bf16). Filter such rows, or raise the "
        "maximum length."
    )
