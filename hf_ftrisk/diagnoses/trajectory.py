"""Failures that a run's losses and metric show: no learning, collapse, overfitting, label noise."""

from __future__ import annotations

import math

import numpy as np

from hf_ftrisk.diagnoses.advice import on_collapse, on_standstill
from hf_ftrisk.diagnoses.evidence import (
    MIN_PROGRESS,
    WINDOW,
    Evidence,
    drift,
    eval_loss_falls,
    is_policy_gradient,
    risen,
    spread,
    train_loss_at,
)
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import metric_facts
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent
from hf_ftrisk.verdict import Diagnosis

# Share of the planned learning up to which many good runs have not moved yet either.
SLOW_START = 0.4
# Share of the planned learning after which a model that predicts one class has collapsed.
COLLAPSE_PROGRESS = 0.5
# Share of its level by which a loss has to have moved: less may be there, and not be seen.
MOVE = 0.15
# Share of its first value by which an evaluation loss has to have fallen for something learned.
MOVED = 0.05
# Nats by which the training loss of noisy labels stays above the evaluation loss of clean ones.
NOISE_GAP = 0.12


def not_learning(evidence: Evidence) -> Diagnosis | None:
    """Neither training loss nor goal metric moved by more than their noise."""
    record, goal = evidence.record, evidence.goal
    _, loss = record.train_curve()
    loss = loss[np.isfinite(loss)]
    if is_policy_gradient(record) or record.progress < MIN_PROGRESS or loss.size < 2 * WINDOW:
        return None
    # During warm-up the loss has had no chance yet.
    passed = drift(record)
    if passed < MIN_PROGRESS or eval_loss_falls(record):
        return None
    quarter = max(loss.size // 4, WINDOW)
    noise, level = spread(loss), abs(float(np.median(loss[:quarter])))
    if level == 0.0 or 3.0 * noise > MOVE * level * quarter**0.5:
        return None
    # Windows as short as lets a move that matters be told from noise: a loss may fall fast.
    wide = min(max(math.ceil((3.0 * noise / (MOVE * level)) ** 2), WINDOW), quarter)
    noise /= wide**0.5
    first, last = float(np.median(loss[:wide])), float(np.median(loss[-wide:]))
    if abs(first - last) > max(3.0 * noise, 0.02 * abs(first)):
        return None
    _, values = record.curve(goal.metric)
    baseline = record.baseline(goal)
    if values.size and baseline is not None and goal.is_better(float(values[-1]), baseline):
        return None
    return Diagnosis(
        name="not_learning",
        message=f"The training loss is {last:.3g} after {percent(record.progress)} of the run, "
        f"{first:.3g} at its start: no change beyond its noise of {noise:.2g}.",
        advice=on_standstill(record, evidence.rates),
        severity="warning" if passed >= SLOW_START else "info",
        evidence={"first": first, "last": last, "noise": noise, "progress": record.progress},
    )


def collapsed(evidence: Evidence) -> Diagnosis | None:
    """Accuracy exactly at the majority rate, or a correlation of 0, and no sign of a take-off.

    Many good runs stand there at first. Those whose evaluation loss falls meanwhile have not
    collapsed; those that were better before, or show no gain by half the learning, have.
    """
    record, goal = evidence.record, evidence.goal
    steps, values = record.curve(goal.metric)
    if values.size < 2 or goal.kind not in ("rate", "percent", "correlation"):
        return None
    constant = 0.0 if goal.kind == "correlation" else record.baseline(goal)
    if constant is None or (goal.kind != "correlation" and constant <= 0.0):
        return None
    stuck = np.abs(values - constant) < 1e-6 + 1e-4 * abs(constant)
    count = int(stuck[::-1].cumprod().sum())
    if count < 2:
        return None
    fell = any(goal.is_better(float(value), constant) for value in values[:-count])
    if not fell and (drift(record) < COLLAPSE_PROGRESS or eval_loss_falls(record)):
        return None
    since = int(steps[-count])
    return Diagnosis(
        name="collapsed",
        message=f"{goal.metric} is {values[-1]:.4g} in the last {count} evaluations, since step "
        f"{since}: the value of a model that always predicts one class.",
        advice=on_collapse(record, evidence.rates),
        evidence={"value": float(values[-1]), "evaluations": float(count)},
    )


def overfitting(evidence: Evidence) -> Diagnosis | None:
    """Evaluation loss rising from its lowest point while the training loss still falls."""
    record, goal = evidence.record, evidence.goal
    rise = risen(record)
    if rise is None or is_policy_gradient(record):
        return None
    step, lowest, end, last = rise
    before, recent = train_loss_at(record, step), train_loss_at(record, math.inf)
    if recent.size == WINDOW and np.median(recent) > np.median(before):
        return None
    steps, values = record.finite(goal.metric)
    then = values[steps <= step]
    better = (
        goal.metric != "eval_loss"
        and 0 < then.size < values.size
        and goal.is_better(float(values[-1]), float(then[-1]))
    )
    advice = (
        f"Stop near step {int(step)}, or keep the best checkpoint with load_best_model_at_end=True."
    )
    if better:
        advice = (
            f"Choose the checkpoint by {goal.metric}: load_best_model_at_end=True, "
            f"metric_for_best_model={goal.metric.removeprefix('eval_')!r}."
        )
    elif _never_learned(record, goal, lowest):
        advice = (
            f"Compare the training rows with the evaluation rows first: {goal.metric} was never "
            "better than the trivial baseline, so what is learned from the one does not hold for "
            "the other. Labels that are numbered differently, or other data, look like this; a log "
            "cannot tell which."
        )
    return Diagnosis(
        name="overfitting",
        message=f"eval_loss rose from {lowest:.3g} at step {int(step)} to {last:.3g} at step "
        f"{int(end)}"
        + (f", while {goal.metric} still improved to {values[-1]:.4g}." if better else "."),
        advice=advice,
        severity="info" if better else "warning",
        evidence={"lowest": lowest, "lowest_step": step, "last": last},
    )


def _never_learned(record: RunRecord, goal: Goal, lowest: float) -> bool:
    """Whether no evaluation beat the trivial baseline, nor lowered the evaluation loss much."""
    values, losses = record.finite(goal.metric)[1], record.finite("eval_loss")[1]
    baseline = record.baseline(goal)
    if baseline is None or values.size < 2 or losses[0] - lowest > MOVED * abs(losses[0]):
        return False
    return not any(goal.is_better(float(value), baseline) for value in values)


def _classifies(evidence: Evidence) -> bool:
    """Whether a run learns labels: a share of generated text (BLEU) is no share of right labels."""
    if "classes" in evidence.signals:
        return True
    facts = metric_facts(evidence.goal.metric)
    generates = facts is not None and facts.begins_near_zero
    return evidence.goal.kind in ("rate", "percent") and not generates


def noisy_labels(evidence: Evidence) -> Diagnosis | None:
    """Training loss of a classifier that has stalled well above its evaluation loss.

    What both sets share was learned; what the training rows have besides is not learnable. Noise
    that the evaluation labels have as well cannot be seen this way.
    """
    record = evidence.record
    if not _classifies(evidence):
        return None
    if is_policy_gradient(record) or record.settings.get("label_smoothing_factor"):
        return None
    _, train = record.finite_losses()
    _, loss = record.finite("eval_loss")
    if loss.size < 3 or train.size < 4 * WINDOW:
        return None
    quarter = train.size // 4
    first, before, last = (
        float(np.median(part))
        for part in (train[:quarter], train[-2 * quarter : -quarter], train[-quarter:])
    )
    held_out = float(np.median(loss[-2:]))
    gap, noise = last - held_out, spread(train) / quarter**0.5
    learned = first - last > max(3.0 * noise, 0.1 * first)
    stalled = before - last < 0.5 * gap
    if not learned or not stalled or gap < max(NOISE_GAP, 0.1 * held_out, 3.0 * noise):
        return None
    return Diagnosis(
        name="noisy_labels",
        message=f"The training loss stalls at {last:.3g}, {gap:.2g} above the eval_loss of "
        f"{held_out:.3g}: the training labels are harder to fit than the evaluation's. Label noise "
        "does this; label smoothing, strong dropout or augmentation would too.",
        advice="Check by hand 50 training rows on which the model is confident and wrong; drop or "
        "correct what is mislabeled.",
        evidence={"train_loss": last, "eval_loss": held_out, "gap": gap},
    )
