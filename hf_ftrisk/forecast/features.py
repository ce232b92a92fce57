"""What a run has shown so far, as bounded numbers that mean the same for every run.

All differences of the metric are in units of z (`scale`), oriented so that greater is better; steps
are shares of the planned run; losses, gradient norms and counts are logarithms. Each feature is
clipped to a range that real runs fill: nothing a log may hold moves a forecast without bound.
What was not logged is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hf_ftrisk.forecast.network import trajectory
from hf_ftrisk.forecast.scale import Scale
from hf_ftrisk.forecast.static import (
    STATIC_RANGES,
    probe_level,
    static_features,
    untrained_loss,
)
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.columns import finite_points, median

# Name -> range. The order is that of the model's columns.
RANGES: dict[str, tuple[float, float]] = {
    "progress": (0.0, 1.0),  # share of the run at the last evaluation
    "logged": (0.0, 1.0),  # share of the run at the last log
    "evaluations": (0.0, 5.0),  # log of their number
    "spacing": (-6.0, 0.0),  # log of the last gap between evaluations, as a share of the run
    "level": (-6.0, 6.0),  # z of the last evaluation
    "below_best": (0.0, 3.0),  # best z less the last
    "since_best": (0.0, 1.0),  # steps since the best, as a share of those done
    "last_change": (-3.0, 3.0),  # last difference of z
    "change_before": (-3.0, 3.0),  # the difference before it
    "trend": (-3.0, 3.0),  # last slope times what is left
    "since_half": (-4.0, 4.0),  # z less z at half the steps done
    "since_three_quarters": (-3.0, 3.0),
    "half_trend": (-3.0, 3.0),  # slope over the last half of what is done times what is left
    "doubling": (
        -3.0,
        3.0,
    ),  # left to gain if each doubling of the steps gives a like share
    "above_recent": (-3.0, 3.0),  # z less the median of the last evaluations
    "since_first": (-6.0, 6.0),  # z less the first z
    "roughness": (0.0, 2.0),  # median absolute second difference
    "ties": (0.0, 1.0),  # share of evaluations that repeat the one before
    "above_trivial": (-4.0, 6.0),  # z less the trivial predictor's
    "train_level": (-8.0, 5.0),  # log of the recent training loss
    "train_fall": (-4.0, 6.0),  # log of the first over the recent
    "train_fall_third": (-2.0, 3.0),  # log of the middle third over the last third
    "train_fall_sixth": (-2.0, 3.0),  # log of the last sixth but one over the last
    "train_doubling": (-3.0, 3.0),
    "train_noise": (0.0, 2.0),
    "train_below_trivial": (-3.0, 6.0),  # log of the trivial loss over the recent training loss
    "loss_below_trivial": (-3.0, 6.0),  # log of the trivial loss over the last eval loss
    "gap": (-3.0, 6.0),  # log of the eval loss over the recent training loss
    "gap_change": (-3.0, 3.0),  # its change since half the steps done
    "loss_level": (-8.0, 5.0),  # log of the last eval loss
    "loss_last_change": (-2.0, 2.0),  # last difference of the log eval loss
    "loss_above_best": (0.0, 3.0),
    "loss_since_half": (-3.0, 3.0),
    "score_level": (-6.0, 6.0),  # z of the first known score beside a loss
    "score_last_change": (-3.0, 3.0),
    "score_below_best": (0.0, 3.0),
    "epochs_done": (-3.0, 5.0),  # logs
    "epochs": (-3.0, 5.0),
    "steps": (2.0, 12.0),  # log of the planned steps
    "rate_left": (0.0, 1.0),  # learning rate now over its peak so far
    "peak_rate": (-16.0, 0.0),  # log of the peak learning rate
    "gradient_level": (-6.0, 8.0),
    "gradient_rise": (-4.0, 4.0),  # log of the recent gradient norm over the first
    "below_probe": (-6.0, 6.0),  # z of the frozen model's probe less the last z
    "learned": (-3.0, 6.0),  # log of the loss before training over the last eval loss
    **STATIC_RANGES,
}
FEATURES = tuple(RANGES)
_LOW = np.array([low for low, _ in RANGES.values()])
_HIGH = np.array([high for _, high in RANGES.values()])
_TINY = 1e-8
_RECENT = 5
_FAR_BELOW = 1.0  # in units of z
_MAX_DOUBLINGS = 6.0
_MANY_EPOCHS = 1e4  # beyond: max_steps alone was set, and the count of epochs says nothing


@dataclass(frozen=True, eq=False)
class RunState:
    """A record's metric so far.

    Args:
        scale: coordinate of the metric.
        steps: (n,) steps of the evaluations, as shares of the planned run.
        z: (n,) evaluations.
        evaluations: (n,) the same in the metric's own units.
        features: (n_features,) of `FEATURES`.
        curve: (n_inputs,) of `network.trajectory`.
    """

    scale: Scale
    steps: np.ndarray
    z: np.ndarray
    evaluations: np.ndarray
    features: np.ndarray
    curve: np.ndarray

    @property
    def last(self) -> float:
        """z of the last evaluation."""
        return float(self.z[-1])

    @property
    def best(self) -> float:
        """z of the best evaluation."""
        return float(self.z.max())


def run_state(record: RunRecord, goal: Goal, scale: Scale | None = None) -> RunState | None:
    """What a record shows of a goal's metric; None before its first finite evaluation.

    Args:
        record: the run so far.
        goal: the metric.
        scale: coordinate to use; None: as name and values say.
    """
    steps, values = record.finite(goal.metric)
    if not values.size:
        return None
    goal, _ = record.goal_scale(goal)
    scale = scale or Scale.of(goal, values, eval_rows(record))
    at = np.minimum(steps / record.max_steps, 1.0)
    z = scale.forward(values)
    features = _metric(at, z) | _losses(record, goal) | _scores(record, goal) | _run(record, at)
    trivial = record.baseline(goal)
    if trivial is not None and math.isfinite(trivial):
        features["above_trivial"] = float(z[-1] - scale.forward(trivial))
    features |= static_features(record, goal, scale)
    features["below_probe"] = probe_level(record, goal, scale) - float(z[-1])
    curve = trajectory(at, z, features.get("rate_left", math.nan))
    return RunState(scale, at, z, values, bounded(features), curve)


def plan_features(record: RunRecord, goal: Goal) -> dict[str, float]:
    """Features, not yet bounded, that need no evaluation: training loss, plan, gradients."""
    return _losses(record, goal) | _run(record, np.zeros(1))


def began_far_below(record: RunRecord, goal: Goal) -> bool:
    """Whether a run's first evaluation lies far below the trivial predictor, if that is known.

    With many classes an untrained head does far worse than the most frequent class.
    """
    goal, _ = record.goal_scale(goal)
    values, trivial = record.finite(goal.metric)[1], record.baseline(goal)
    if not values.size or trivial is None or not math.isfinite(trivial):
        return False
    scale = Scale.of(goal, values)
    first, level = float(scale.forward(values[0])), float(scale.forward(trivial))
    return first <= level - _FAR_BELOW


def bounded(features: dict[str, float]) -> np.ndarray:
    """The features (n_features,) in order, clipped; NaN where not known."""
    row = np.array([features.get(name, math.nan) for name in FEATURES])
    return np.asarray(np.clip(np.where(np.isinf(row), np.nan, row), _LOW, _HIGH))


def eval_rows(record: RunRecord) -> float | None:
    """Rows that the evaluations were measured on, None if not known.

    The settings say what a probe saw of the set, the signals how many rows the whole set has.
    """
    for source in (record.settings, record.static):
        rows = source.get("eval_rows")
        if isinstance(rows, int | float) and math.isfinite(rows) and rows >= 1:
            return float(rows)
    return None


def _metric(at: np.ndarray, z: np.ndarray) -> dict[str, float]:
    n, done, left = z.size, float(at[-1]), 1.0 - float(at[-1])
    steps = np.diff(at, prepend=0.0)
    best = int(z.size - 1 - np.argmax(z[::-1]))
    features = {
        "progress": done,
        "evaluations": math.log(n),
        "spacing": _log(float(steps[-1])),
        "level": float(z[-1]),
        "below_best": float(z.max() - z[-1]),
        "since_best": (done - float(at[best])) / max(done, _TINY),
        "since_first": float(z[-1] - z[0]),
    }
    if n >= 2:
        change = np.diff(z)
        features["last_change"] = float(change[-1])
        features["trend"] = float(change[-1] / max(steps[-1], _TINY) * left)
        features["since_half"] = float(z[-1] - np.interp(done / 2, at, z))
        features["since_three_quarters"] = float(z[-1] - np.interp(0.75 * done, at, z))
        features["above_recent"] = float(z[-1]) - median(z[-_RECENT:])
        features["half_trend"] = _slope(at, z) * left
        features["doubling"] = _doubling(at, z)
        features["ties"] = float(np.mean(np.abs(change) < 1e-9))
    if n >= 3:
        features["change_before"] = float(z[-2] - z[-3])
        features["roughness"] = median(np.abs(np.diff(z[-12:], 2)))
    return features


def _losses(record: RunRecord, goal: Goal) -> dict[str, float]:
    """Training loss, and the eval loss beside it."""
    steps, loss = record.finite_losses()
    logs = _logs(loss)
    features: dict[str, float] = {}
    recent = math.nan
    if logs.size:
        tail = max(1, logs.size // 5)
        recent = float(logs[-tail:].mean())
        features["train_level"] = recent
        features["train_fall"] = float(logs[:tail].mean()) - recent
    for name, parts in (("train_fall_third", 3), ("train_fall_sixth", 6)):
        if logs.size >= parts:
            cut = np.array_split(logs, parts)
            features[name] = float(cut[-2].mean() - cut[-1].mean())
    if logs.size >= 4:
        features["train_doubling"] = -_doubling(steps / record.max_steps, _smooth(logs))
        features["train_noise"] = median(np.abs(np.diff(logs)))
    trivial = record.baselines.get("eval_loss", math.nan)
    level = _log(trivial) if math.isfinite(trivial) else math.nan
    features["train_below_trivial"] = level - recent
    at, held_out = record.finite("eval_loss")
    if not held_out.size:
        return features
    z = _logs(held_out)
    features["loss_below_trivial"] = level - float(z[-1])
    features["learned"] = untrained_loss(record) - float(z[-1])
    features["gap"] = float(z[-1]) - recent
    if goal.metric != "eval_loss":
        features["loss_level"] = float(z[-1])
        features["loss_above_best"] = float(z[-1] - z.min())
        if z.size >= 2:
            features["loss_last_change"] = float(z[-1] - z[-2])
            features["loss_since_half"] = float(z[-1] - np.interp(at[-1] / 2, at, z))
    if logs.size >= 2 and z.size >= 2:
        half = at[-1] / 2
        gap_at_half = float(np.interp(half, at, z) - np.interp(half, steps, logs))
        features["gap_change"] = features["gap"] - gap_at_half
    return features


def _scores(record: RunRecord, goal: Goal) -> dict[str, float]:
    """The score evaluated beside a loss, if any."""
    if goal.kind != "loss":
        return {}
    for name in sorted(record.evals):
        try:
            score = Goal(name)
        except ValueError:
            continue  # direction not known
        if name == goal.metric or score.kind != "rate":
            continue
        _, values = record.finite(name)
        if not values.size:
            continue
        z = Scale.of(record.goal_scale(score)[0], values).forward(values)
        features = {"score_level": float(z[-1]), "score_below_best": float(z.max() - z[-1])}
        if z.size >= 2:
            features["score_last_change"] = float(z[-1] - z[-2])
        return features
    return {}


def _run(record: RunRecord, at: np.ndarray) -> dict[str, float]:
    """Length, epochs, schedule and gradients."""
    features = {"logged": record.progress, "steps": math.log(record.max_steps)}
    per_epoch = record.steps_per_epoch
    if per_epoch and math.isfinite(per_epoch) and record.max_steps / per_epoch < _MANY_EPOCHS:
        features["epochs"] = _log(record.max_steps / per_epoch)
        features["epochs_done"] = _log(float(at[-1]) * record.max_steps / per_epoch)
    _, rates = finite_points(record.train_step, record.learning_rate)
    rates = rates[rates >= 0]
    if rates.size and rates.max() > 0:
        features["peak_rate"] = math.log(rates.max())
        features["rate_left"] = float(rates[-1] / rates.max())
    _, norms = finite_points(record.train_step, record.grad_norm)
    if norms.size:
        logs = _logs(norms)
        tail = max(1, logs.size // 5)
        features["gradient_level"] = median(logs[-tail:])
        features["gradient_rise"] = features["gradient_level"] - median(logs[:tail])
    return features


def _slope(at: np.ndarray, z: np.ndarray) -> float:
    """Least-squares slope over the last half of the steps done, at least two evaluations."""
    first = min(int(np.searchsorted(at, at[-1] / 2)), z.size - 2)
    x, y = at[first:] - at[first:].mean(), z[first:]
    return float(x @ y / max(float(x @ x), _TINY))


def _doubling(at: np.ndarray, z: np.ndarray) -> float:
    """Change still to come when each doubling of the steps brings the same share of the last one.

    The shares of a power law. The share is taken from the last two doublings and kept in [0, 1].
    """
    done = float(at[-1])
    quarter, half = np.interp([done / 4, done / 2], at, z)
    last, previous = float(z[-1] - half), float(half - quarter)
    share = min(max(last / previous, 0.0), 1.0) if abs(previous) > _TINY else 0.0
    doublings = min(-math.log2(max(done, _TINY)), _MAX_DOUBLINGS)
    if share == 1.0:
        return last * doublings
    return float(last * share * (1.0 - share**doublings) / (1.0 - share))


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean (n,) over a tenth of the values before each."""
    width = max(1, values.size // 10)
    total = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, values.size + 1)
    starts = np.maximum(ends - width, 0)
    return np.asarray((total[ends] - total[starts]) / (ends - starts))


def _log(value: float) -> float:
    return math.log(max(value, _TINY))


def _logs(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.maximum(values, 1e-6)))
