"""A training loss that rises: late, within the first steps, or from the first one on."""

from __future__ import annotations

import math

import numpy as np

from hf_ftrisk.diagnoses.advice import on_divergence, too_high
from hf_ftrisk.diagnoses.evidence import (
    MIN_PROGRESS,
    WINDOW,
    Evidence,
    is_policy_gradient,
    risen,
    spread,
    train_loss_at,
)
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent
from hf_ftrisk.verdict import Diagnosis

# Share of its first value by which a loss must have fallen to be on its way.
_FALL = 0.1
# Above this many times its first value most of the losses lie where a run was thrown up at once.
_THROWN = 1.5
_MOST = 0.6


def diverging(evidence: Evidence) -> Diagnosis | None:
    """Training loss above where it began, after it had been lower, by more than its noise.

    Or, where it was thrown up within the first steps, so that windows hardly see what it began
    with: above that, and the evaluation loss above its lowest value for good. Or thrown up by the
    very first steps, and never back.
    """
    record = evidence.record
    if is_policy_gradient(record):
        return None
    rise = _rising(record) or _thrown_up(record) or _never_held(evidence)
    if rise is None:
        return None
    message, numbers = rise
    return Diagnosis(
        name="diverging",
        message=message,
        advice=on_divergence(record, evidence.rates),
        evidence=numbers,
    )


_Found = tuple[str, dict[str, float]] | None


def _rising(record: RunRecord) -> _Found:
    steps, loss = record.finite_losses()
    if loss.size < 3 * WINDOW:
        return None
    # Windows grow with the log: the lowest of thousands of short ones would be low by chance.
    window = max(WINDOW, loss.size // 20)
    stride = max(1, window // WINDOW)
    views = np.lib.stride_tricks.sliding_window_view(loss, window)[::-stride][::-1]
    centers = np.lib.stride_tricks.sliding_window_view(steps, window)[::-stride][::-1, window // 2]
    medians = np.median(views, axis=1)
    first, lowest, last = float(medians[0]), float(medians.min()), float(medians[-1])
    noise = spread(loss) / window**0.5
    drop = max(first - lowest, 0.0)
    if last <= first or last - lowest <= max(6.0 * noise, 0.5 * drop, 0.1 * abs(lowest)):
        return None
    at = int(centers[int(np.argmin(medians))])
    message = (
        f"The training loss rose from {lowest:.3g} at step {at} to {last:.3g} at step "
        f"{int(steps[-1])}; it began at {first:.3g}."
    )
    return message, {"first": first, "lowest": lowest, "last": last, "lowest_step": float(at)}


def _thrown_up(record: RunRecord) -> _Found:
    rise = risen(record)
    if rise is None:
        return None
    step, lowest, _, last = rise
    before, recent = train_loss_at(record, step), train_loss_at(record, math.inf)
    if not before.size or recent.size < WINDOW:
        return None
    first, now = float(np.median(before)), float(np.median(recent))
    _, loss = record.finite_losses()
    noise = spread(loss) / before.size**0.5
    if now <= loss[0] or now - first <= max(3.0 * noise, 0.1 * abs(first)):
        return None
    message = (
        f"eval_loss rose from {lowest:.3g} at step {int(step)} to {last:.3g}, and the "
        f"training loss from {first:.3g} to {now:.3g}."
    )
    return message, {"first": first, "lowest": lowest, "last": now, "lowest_step": step}


def _never_held(evidence: Evidence) -> _Found:
    """Losses far above the first one, or a run that has learned nothing at a rate none holds."""
    record = evidence.record
    steps, loss = record.finite_losses()
    if loss.size < 2 * WINDOW or record.progress < MIN_PROGRESS:
        return None
    first, recent = float(loss[0]), float(np.median(loss[-loss.size // 3 :]))
    above = float(np.mean(loss[1:] > _THROWN * first))
    if first > 0 and recent > _THROWN * first and above >= _MOST:
        why = f"{percent(above)} of the logged losses are above {_THROWN:g} times the first"
    elif too_high(record) and not _learned(evidence, first, recent):
        why = "nothing has been learned, at a learning rate too high for nearly all fine-tunes"
    else:
        return None
    message = f"The training loss began at {first:.3g} and is {recent:.3g} at step {int(steps[-1])}"
    numbers = {"first": first, "lowest": float(loss.min()), "last": recent}
    return f"{message}: {why}.", numbers


def _learned(evidence: Evidence, first: float, recent: float) -> bool:
    """Whether the run is better than where it began, or than its trivial predictor."""
    record, goal = evidence.record, evidence.goal
    _, values = record.curve(goal.metric)
    baseline = record.baseline(goal)
    if values.size and baseline is not None:
        return goal.is_better(float(values[-1]), baseline)
    return recent < first - _FALL * abs(first)
