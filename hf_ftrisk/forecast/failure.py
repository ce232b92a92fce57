"""The chance that a run ends no better than a trivial predictor, from all that it logged.

The curve model sees the metric alone, and a metric at its trivial level says little about whether
it will leave it. The losses, the gradient norm and the metric's repetitions do: a constant
predictor scores exactly the same again and again, its losses stay at the trivial loss. A logistic
regression on bounded moves of these, fitted on completed runs of other tasks
(`benchmarks.forecasting.fitting`), gives the chance of failure; the forecast is reweighted to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_ftrisk.forecast.conformal import DEPTHS
from hf_ftrisk.forecast.curves.view import CurveView
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

FEATURES = (
    "curve",  # log odds of failure under the curve model
    "ties",  # share of evaluations that repeat an earlier value or the trivial one
    "tied",  # whether the last one does
    "risen",  # last value above the trivial one
    "best",  # best value above the trivial one
    "eval_loss",  # eval loss above the trivial loss
    "eval_loss_least",  # its least value
    "train_loss",  # recent train loss above the trivial loss
    "train_fall",  # train loss, last third over first third
    "train_fall_t",  # the same in units of its noise
    "grad_norm",  # gradient norm, last third over first third
)
_SURE = 0.01  # no chance of failure below this, or above one minus it
_ENDING = DEPTHS[-1]  # from here on the metric itself decides more and more
_SAME = 1e-9
# Share of failed outcomes that stay at the trivial or last value, the rest the curve model's.
_STAY = 0.5
_FEW = 0.02
_BARELY = 1e-3


def failure_features(
    view: CurveView, record: RunRecord, goal: Goal, baseline: float, curve: float
) -> np.ndarray:
    """Values (n_features,) of `FEATURES`, bounded; 0 for what the run did not log.

    Args:
        view: the evaluations so far.
        record: the run so far.
        goal: what is forecast.
        baseline: value of a trivial predictor, in the metric's units.
        curve: chance of failure under the curve model.
    """
    chance = min(max(curve, _SURE), 1.0 - _SURE)
    ties, tied = _repetitions(record, goal, baseline)
    train = _logs(record.train_curve()[1])
    held_out = _logs(record.curve("eval_loss")[1])
    trivial = _trivial_loss(record, goal, baseline, held_out, train)
    third = max(1, train.size // 3)
    trivial_z = view.coordinate(baseline)
    level = trivial if trivial is not None or held_out.size < 2 else float(held_out[0])
    fall = float(train[-third:].mean() - train[:third].mean()) if train.size >= 3 else 0.0
    noise = float(np.std(np.diff(train))) / math.sqrt(2 * third) if train.size >= 6 else math.inf
    norms = _logs(record.grad_norm)
    part = norms.size // 3
    moved = np.array(
        [
            2.0 * float(view.z[-1] - trivial_z),
            2.0 * float(view.z.max() - trivial_z),
            5.0 * float(held_out[-1] - level) if held_out.size and level is not None else 0.0,
            5.0 * float(held_out.min() - level) if held_out.size and level is not None else 0.0,
            5.0 * float(train[-third:].mean() - trivial)
            if train.size and trivial is not None
            else 0.0,
            5.0 * fall,
            fall / (noise + 1e-3) / 3.0,
            float(np.median(norms[-part:]) - np.median(norms[:part])) if part >= 2 else 0.0,
        ]
    )
    return np.concatenate([[math.log(chance / (1.0 - chance)), ties, tied], np.tanh(moved)])


def _logs(values: np.ndarray) -> np.ndarray:
    """Logarithms of the finite values; nothing where some are below 0 and have none."""
    known = values[np.isfinite(values)]
    return np.empty(0) if np.any(known < 0) else np.asarray(np.log(np.maximum(known, 1e-6)))


def _repetitions(record: RunRecord, goal: Goal, baseline: float) -> tuple[float, float]:
    """Share of the evaluations after step 0 that repeat an earlier value or the trivial one, and
    whether the last does."""
    steps, values = record.finite(goal.metric)
    known = np.concatenate([[baseline], values])
    repeats = [
        bool(np.any(np.abs(known[: i + 1] - values[i]) <= _SAME))
        for i in range(values.size)
        if steps[i] > 0
    ]
    return (float(np.mean(repeats)), float(repeats[-1])) if repeats else (0.0, 0.0)


def _trivial_loss(
    record: RunRecord, goal: Goal, baseline: float, held_out: np.ndarray, train: np.ndarray
) -> float | None:
    """Log of the loss of a trivial predictor; None where nothing tells it.

    Recorded, or the entropy of the labels, or that of two classes with the baseline's majority
    where the first losses agree with it.
    """
    known = record.baselines.get("eval_loss") or record.static.get("label_entropy")
    if known is not None and known > 0:
        return math.log(known)
    if goal.kind != "rate" or not 0.45 < baseline < 0.98:
        return None
    entropy = -(baseline * math.log(baseline) + (1 - baseline) * math.log(1 - baseline))
    first = [float(x[0]) for x in (held_out, train) if x.size]
    agrees = bool(first) and abs(max(first) - math.log(entropy)) < 0.3
    return math.log(entropy) if agrees else None


@dataclass(frozen=True)
class FailureModel:
    """Logistic regressions of failure, one for each of `conformal.DEPTHS`.

    Args:
        intercepts: (n_depths,) log odds where every feature is 0.
        weights: (n_depths, n_features) of `FEATURES`.

    Raises:
        ValueError: another number of depths or features.
    """

    intercepts: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        shape = (len(self.intercepts), *{len(row) for row in self.weights})
        if shape != (len(DEPTHS), len(FEATURES)) or len(self.weights) != len(DEPTHS):
            raise ValueError(
                f"{len(DEPTHS)} depths and {len(FEATURES)} features are expected, got {shape}; "
                "fit them again with benchmarks/fit_priors.py"
            )

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> FailureModel:
        """Model from its form in priors.json."""
        return cls(
            tuple(float(x) for x in stored["intercepts"]),
            tuple(tuple(float(x) for x in row) for row in stored["weights"]),
        )

    def chance(self, features: np.ndarray, progress: float) -> float:
        """Chance of failure in [0.01, 0.99] at a share `progress` of the run.

        Between two depths their log odds are interpolated; near the end they go over into the
        curve model's.
        """
        odds = np.array(self.intercepts) + np.array(self.weights) @ features
        own = float(np.interp(progress, DEPTHS, odds))
        ending = min(max((progress - _ENDING) / (1.0 - _ENDING), 0.0), 1.0)
        total = (1.0 - ending) * own + ending * float(features[0])
        return min(max(1.0 / (1.0 + math.exp(-total)), _SURE), 1.0 - _SURE)


def reweighted(z: np.ndarray, trivial: float, last: float, chance: float) -> np.ndarray:
    """Draws (n,) of which a share `chance` is no better than the trivial predictor, sorted.

    On either side the draws keep their own distribution. Failed runs mostly stay where they are,
    so half of theirs lie at the trivial or the last value, whichever is worse; a side that has
    hardly a draw is filled up: above the trivial value, or between the last and the trivial one.

    Args:
        z: (n,) draws in oriented coordinates, greater is better.
        trivial: coordinate of the trivial predictor; a draw equal to it has failed.
        last: coordinate of the last evaluation.
        chance: chance of failure, in (0, 1).
    """
    n = z.size
    failed, better = z[z <= trivial], z[z > trivial]
    n_failed = round(chance * n)
    if better.size < _FEW * n:
        better = np.concatenate([better, trivial + np.linspace(0.02, 0.5, 20)])
    if failed.size < _FEW * n:
        failed = np.concatenate([failed, np.linspace(min(last, trivial), trivial, 20)])
    stay = np.full(1, min(trivial, last))
    n_stay = round(_STAY * n_failed)
    parts = [_spread(stay, n_stay), _spread(better, n - n_failed)]
    if n_failed > n_stay:
        parts.append(_spread(failed, n_failed - n_stay))
    return np.sort(np.concatenate(parts))


def kept_above(z: np.ndarray, trivial: float, by: float) -> np.ndarray:
    """Draws (n,), those better than the trivial predictor moved without ceasing to be."""
    moved = np.maximum(z + by, trivial + _BARELY)
    return np.asarray(np.where(z > trivial, moved, z))


def _spread(values: np.ndarray, n: int) -> np.ndarray:
    """`n` evenly spaced quantiles of `values`."""
    if not n:
        return np.empty(0)
    # As np.quantile, which takes far longer; a forecast is asked for at every look.
    last = values.size - 1
    at = (np.arange(n) + 0.5) / n * last
    return np.asarray(np.interp(at, np.arange(last + 1), np.sort(values)))
