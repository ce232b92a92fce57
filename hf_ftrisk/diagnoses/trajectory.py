"""Named failures of a run: the numbers a diagnosis fired on, and one concrete change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hf_ftrisk.diagnoses.certain import certain_failure
from hf_ftrisk.diagnoses.data import (
    conflicting_labels,
    data_model_mismatch,
    train_eval_overlap,
    truncated_inputs,
)
from hf_ftrisk.diagnoses.rates import GoodRates, peak_rate
from hf_ftrisk.diagnoses.steps import too_few_steps
from hf_ftrisk.forecast.distribution import Forecast, Predictor
from hf_ftrisk.forecast.schedule import clocks
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.verdict import Diagnosis

# Logged values a window needs at least before its median says anything about the loss.
WINDOW = 5
# Share of the run that must be seen before "it has not learnt" means anything.
MIN_PROGRESS = 0.1
# Share of the planned learning up to which many good runs have not moved yet either.
SLOW_START = 0.4
# Share of the planned learning after which a model that predicts one class has collapsed.
COLLAPSE_PROGRESS = 0.5
# Relative fall of an evaluation loss that shows a model on its way.
_LOSS_GAIN = 0.03
# Share of its level by which a loss has to have moved: less may be there, and not be seen.
MOVE = 0.15
# Nats by which the training loss of noisy labels stays above the evaluation loss of clean ones.
NOISE_GAP = 0.12


def diagnose(
    record: RunRecord,
    goal: Goal,
    *,
    forecast: Forecast | None = None,
    signals: Mapping[str, float] | None = None,
    forecaster: Predictor | None = None,
    runs: Sequence[RunRecord] = (),
) -> tuple[Diagnosis, ...]:
    """Named failures of a run so far, the most severe first; empty when nothing is wrong.

    Args:
        record: the run so far.
        goal: what it is judged by.
        forecast: its forecast.
        signals: static and dynamic signals of the run, name -> value, besides those in the record.
        forecaster: predicts the end at half and at twice the steps; without it "too few steps" is
            not looked for.
        runs: completed runs of the same task: what is advised about the learning rate is held
            against that of the good ones.
    """
    rates = GoodRates.of(runs, goal)
    known = {**record.static, **(signals or {})}
    failure = certain_failure(record)
    found = [failure, collapsed(record, goal, rates), overfitting(record, goal)]
    if failure is None:
        found += [diverging(record), not_learning(record, goal, rates)]
    found += [
        conflicting_labels(known) or noisy_labels(record, goal, known),
        data_model_mismatch(record, goal, known),
        truncated_inputs(known),
        train_eval_overlap(known),
    ]
    kept = [diagnosis for diagnosis in found if diagnosis is not None]
    if not kept and forecaster is not None:
        # More steps are no cure for a run that has something else.
        more = too_few_steps(record, goal, forecaster)
        kept = [] if more is None else [more]
    order = {"fatal": 0, "warning": 1, "info": 2}
    return tuple(sorted(kept, key=lambda diagnosis: order[diagnosis.severity]))


def _is_rl(record: RunRecord) -> bool:
    return bool(record.settings.get("reinforcement_learning"))


def _spread(values: np.ndarray) -> float:
    """Noise of a curve: robust standard deviation of its successive differences, over root 2."""
    if values.size < 3:
        return 0.0
    steps = np.diff(values)
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2.0))


def diverging(record: RunRecord) -> Diagnosis | None:
    """Training loss above where it began, after it had been lower, by more than its noise.

    Or, where it was thrown up within the first steps, so that windows hardly see what it began
    with: above that, and the evaluation loss above its lowest value for good.
    """
    if _is_rl(record):
        return None
    return _rising(record) or _thrown_up(record)


_LOWER_RATE = "Lower the learning rate by a factor of 3 to 10, or warm up over 6-10 % of the steps."


def _rising(record: RunRecord) -> Diagnosis | None:
    steps, loss = record.finite_losses()
    if loss.size < 3 * WINDOW:
        return None
    # Windows grow with the log: the lowest of thousands of short ones would be low by chance.
    window = max(WINDOW, loss.size // 20)
    stride = max(1, window // WINDOW)
    views = np.lib.stride_tricks.sliding_window_view(loss, window)[::-stride][::-1]
    centres = np.lib.stride_tricks.sliding_window_view(steps, window)[::-stride][::-1, window // 2]
    medians = np.median(views, axis=1)
    first, lowest, last = float(medians[0]), float(medians.min()), float(medians[-1])
    noise = _spread(loss) / window**0.5
    drop = max(first - lowest, 0.0)
    if last <= first or last - lowest <= max(6.0 * noise, 0.5 * drop, 0.1 * abs(lowest)):
        return None
    at = int(centres[int(np.argmin(medians))])
    return Diagnosis(
        name="diverging",
        message=f"The training loss rose from {lowest:.3g} at step {at} to {last:.3g} at step "
        f"{int(steps[-1])}; it began at {first:.3g}.",
        advice=_LOWER_RATE,
        evidence={"first": first, "lowest": lowest, "last": last, "lowest_step": float(at)},
    )


def _thrown_up(record: RunRecord) -> Diagnosis | None:
    risen = _risen(record)
    if risen is None:
        return None
    step, lowest, _, last = risen
    before, recent = _train_loss_at(record, step), _train_loss_at(record, math.inf)
    if not before.size or recent.size < WINDOW:
        return None
    first, now = float(np.median(before)), float(np.median(recent))
    _, loss = record.finite_losses()
    noise = _spread(loss) / before.size**0.5
    if now <= loss[0] or now - first <= max(3.0 * noise, 0.1 * abs(first)):
        return None
    return Diagnosis(
        name="diverging",
        message=f"eval_loss rose from {lowest:.3g} at step {int(step)} to {last:.3g}, and the "
        f"training loss from {first:.3g} to {now:.3g}.",
        advice=_LOWER_RATE,
        evidence={"first": first, "lowest": lowest, "last": now, "lowest_step": step},
    )


def _risen(record: RunRecord) -> tuple[float, float, float, float] | None:
    """Step and value of the lowest and of the last evaluation loss, if it rose for good."""
    steps, loss = record.finite("eval_loss")
    if loss.size < 3:
        return None
    low = int(np.argmin(loss))
    lowest, last = float(loss[low]), float(loss[-1])
    if low > loss.size - 3 or last < 1.05 * lowest or np.any(loss[low + 1 :] < 1.01 * lowest):
        return None
    return float(steps[low]), lowest, float(steps[-1]), last


def _train_loss_at(record: RunRecord, step: float) -> np.ndarray:
    """The last training losses up to a step, at most `WINDOW`; of a step before all, the first."""
    steps, loss = record.finite_losses()
    upto = max(int(np.searchsorted(steps, step, side="right")), 1)
    return np.asarray(loss[:upto][-WINDOW:])


def not_learning(record: RunRecord, goal: Goal, rates: GoodRates | None = None) -> Diagnosis | None:
    """Neither training loss nor goal metric moved by more than their noise."""
    _, loss = record.finite_losses()
    if _is_rl(record) or record.progress < MIN_PROGRESS or loss.size < 2 * WINDOW:
        return None
    # During warm-up the loss has had no chance yet.
    drift = _drift(record)
    if drift < MIN_PROGRESS or _loss_falls(record):
        return None
    quarter = max(loss.size // 4, WINDOW)
    spread, level = _spread(loss), abs(float(np.median(loss[:quarter])))
    if level == 0.0 or 3.0 * spread > MOVE * level * quarter**0.5:
        return None
    # Windows as short as lets a move that matters be told from noise: a loss may fall fast.
    wide = min(max(math.ceil((3.0 * spread / (MOVE * level)) ** 2), WINDOW), quarter)
    noise = spread / wide**0.5
    first, last = float(np.median(loss[:wide])), float(np.median(loss[-wide:]))
    if abs(first - last) > max(3.0 * noise, 0.02 * abs(first)):
        return None
    _, values = record.curve(goal.metric)
    baseline = record.baseline(goal)
    if values.size and baseline is not None and goal.is_better(float(values[-1]), baseline):
        return None
    return Diagnosis(
        name="not_learning",
        message=f"The training loss is {last:.3g} after {record.progress:.0%} of the run, "
        f"{first:.3g} at its start: no change beyond its noise of {noise:.2g}.",
        advice=_learn_advice(record, rates),
        severity="warning" if drift >= SLOW_START else "info",
        evidence={"first": first, "last": last, "noise": noise, "progress": record.progress},
    )


_CHECK_ROWS = (
    "read 50 training rows with their labels (a column that was shuffled, or labels numbered in "
    "another order than the model's, looks like this), and compare the data with those runs'"
)


def _learn_advice(record: RunRecord, rates: GoodRates | None) -> str:
    """What to change where the loss does not move: the learning rate, unless it is a good one."""
    mine = peak_rate(record)
    if mine is None or rates is None:
        shown = "" if mine is None else f" (its peak is {mine:.2g})"
        return (
            f"Raise the learning rate by a factor of 3 to 10{shown}. Where such a rate has worked "
            "for this model before, or raising it changes nothing, check that the labels belong to "
            "their rows and that the trained parameters reach the loss."
        )
    if rates.holds(mine):
        return (
            f"Leave the learning rate: its peak of {mine:.2g} is that of runs that ended well "
            f"({rates}). Look at the labels: {_CHECK_ROWS}."
        )
    verb = "Raise" if mine < rates.low else "Lower"
    return f"{verb} the learning rate: its peak is {mine:.2g} here, and {rates}."


def _collapse_advice(record: RunRecord, rates: GoodRates | None) -> str:
    """What to change where one class is predicted: seed and rate, unless the rate is a good one."""
    mine = peak_rate(record)
    if mine is None or rates is None or (mine > rates.high and not rates.holds(mine)):
        return (
            "Restart with another seed and bias-corrected AdamW, a learning rate two to five "
            "times lower and warm-up over 10 % of the steps."
        )
    if rates.holds(mine):
        return (
            f"Restart with another seed, bias-corrected AdamW and the same learning rate: its peak "
            f"of {mine:.2g} is that of runs that ended well ({rates}). If that collapses too, look "
            f"at the labels: {_CHECK_ROWS}."
        )
    return f"Raise the learning rate: its peak is {mine:.2g} here, and {rates}."


def collapsed(record: RunRecord, goal: Goal, rates: GoodRates | None = None) -> Diagnosis | None:
    """Accuracy exactly at the majority rate, or a correlation of 0, and no sign of a take-off.

    Many good runs stand there at first. Those whose evaluation loss falls meanwhile have not
    collapsed; those that were better before, or show no gain by half the learning, have.
    """
    steps, values = record.curve(goal.metric)
    if values.size < 2 or goal.kind not in ("rate", "correlation"):
        return None
    constant = 0.0 if goal.kind == "correlation" else record.baseline(goal)
    if constant is None or (goal.kind == "rate" and constant <= 0.0):
        return None
    stuck = np.abs(values - constant) < 1e-6 + 1e-4 * abs(constant)
    count = int(stuck[::-1].cumprod().sum())
    if count < 2:
        return None
    fell = any(goal.is_better(float(value), constant) for value in values[:-count])
    if not fell and (_drift(record) < COLLAPSE_PROGRESS or _loss_falls(record)):
        return None
    since = int(steps[-count])
    return Diagnosis(
        name="collapsed",
        message=f"{goal.metric} is {values[-1]:.4g} in the last {count} evaluations, since step "
        f"{since}: the value of a model that always predicts one class.",
        advice=_collapse_advice(record, rates),
        evidence={"value": float(values[-1]), "evaluations": float(count)},
    )


def _drift(record: RunRecord) -> float:
    """Share of the planned learning (summed learning rate) that has passed, in [0, 1]."""
    return float(clocks(record).at(np.array([record.last_step])).drift[0])


def _loss_falls(record: RunRecord) -> bool:
    """Whether the evaluation loss is below where it began."""
    _, loss = record.finite("eval_loss")
    return bool(loss.size >= 2 and loss[-1] < (1.0 - _LOSS_GAIN) * loss[0])


def overfitting(record: RunRecord, goal: Goal) -> Diagnosis | None:
    """Evaluation loss rising from its lowest point while the training loss still falls."""
    risen = _risen(record)
    if risen is None or _is_rl(record):
        return None
    step, lowest, end, last = risen
    before, recent = _train_loss_at(record, step), _train_loss_at(record, math.inf)
    if recent.size == WINDOW and np.median(recent) > np.median(before):
        return None
    steps, values = record.finite(goal.metric)
    then = values[steps <= step]
    better = (
        goal.metric != "eval_loss"
        and 0 < then.size < values.size
        and goal.is_better(float(values[-1]), float(then[-1]))
    )
    return Diagnosis(
        name="overfitting",
        message=f"eval_loss rose from {lowest:.3g} at step {int(step)} to {last:.3g} at step "
        f"{int(end)}"
        + (f", while {goal.metric} still improved to {values[-1]:.4g}." if better else "."),
        advice=f"Choose the checkpoint by {goal.metric}: load_best_model_at_end=True, "
        f"metric_for_best_model={goal.metric.removeprefix('eval_')!r}."
        if better
        else f"Stop near step {int(step)}, or keep the best checkpoint with "
        "load_best_model_at_end=True.",
        severity="info" if better else "warning",
        evidence={"lowest": lowest, "lowest_step": step, "last": last},
    )


def noisy_labels(record: RunRecord, goal: Goal, signals: Mapping[str, float]) -> Diagnosis | None:
    """Training loss of a classifier that has stalled well above its evaluation loss.

    What both sets share was learnt; what the training rows have besides is not learnable. Noise
    that the evaluation labels have as well cannot be seen this way.
    """
    if goal.kind != "rate" and "classes" not in signals:
        return None
    if _is_rl(record) or record.settings.get("label_smoothing_factor"):
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
    gap, noise = last - held_out, _spread(train) / quarter**0.5
    learnt = first - last > max(3.0 * noise, 0.1 * first)
    stalled = before - last < 0.5 * gap
    if not learnt or not stalled or gap < max(NOISE_GAP, 0.1 * held_out, 3.0 * noise):
        return None
    return Diagnosis(
        name="noisy_labels",
        message=f"The training loss stalls at {last:.3g}, {gap:.2g} above the eval_loss of "
        f"{held_out:.3g}: the training labels are harder to fit than the evaluation's. Label noise "
        "does this; label smoothing, strong dropout or augmentation would too.",
        advice="Check by hand 50 training rows on which the model is confident and wrong; drop or "
        "correct what is mislabelled.",
        evidence={"train_loss": last, "eval_loss": held_out, "gap": gap},
    )
