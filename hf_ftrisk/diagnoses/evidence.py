"""What checks look at: a run so far, its goal, what else is known; how its curves are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hf_ftrisk.diagnoses.rates import GoodRates
from hf_ftrisk.forecast.distribution import Predictor
from hf_ftrisk.forecast.schedule import clocks
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

# Logged values a window needs at least before its median says anything about the loss.
WINDOW = 5
# Share of the run that must be seen before "it has not learned" means anything.
MIN_PROGRESS = 0.1
# Relative fall of an evaluation loss that shows a model on its way.
_LOSS_GAIN = 0.03
# Share of its lowest value by which an evaluation loss has to rise, and how far it may come back.
_RISE = 0.05
_BACK = 0.01
# A loss below this is as good as 0: moves of such a loss are no rise.
_ZERO = 1e-3


@dataclass(frozen=True)
class Evidence:
    """What is known when a run is diagnosed.

    Args:
        record: the run so far.
        goal: what it is judged by, on the scale on which it reports its metric.
        signals: static and dynamic signals, name -> value.
        rates: peak learning rates of the good runs of the task, None if none are known.
        forecaster: predicts the end at other budgets, None where that is not asked for.
    """

    record: RunRecord
    goal: Goal
    signals: Mapping[str, float] = field(default_factory=dict)
    rates: GoodRates | None = None
    forecaster: Predictor | None = None


def is_policy_gradient(record: RunRecord) -> bool:
    """Whether the run's loss is a policy gradient, whose level says nothing."""
    return bool(record.settings.get("reinforcement_learning"))


def spread(values: np.ndarray) -> float:
    """Noise of a curve (n,): robust standard deviation of its differences, over root 2."""
    if values.size < 3:
        return 0.0
    steps = np.diff(values)
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2.0))


def risen(record: RunRecord) -> tuple[float, float, float, float] | None:
    """Step and value of the lowest and of the last evaluation loss, if it rose for good."""
    steps, loss = record.finite("eval_loss")
    if loss.size < 3:
        return None
    low = int(np.argmin(loss))
    lowest, last = float(loss[low]), float(loss[-1])
    level = max(abs(lowest), _ZERO)
    back = bool(np.any(loss[low + 1 :] < lowest + _BACK * level))
    if low > loss.size - 3 or last < lowest + _RISE * level or back:
        return None
    return float(steps[low]), lowest, float(steps[-1]), last


def train_loss_at(record: RunRecord, step: float) -> np.ndarray:
    """The last training losses up to a step, at most `WINDOW`; of a step before all, the first."""
    steps, loss = record.finite_losses()
    upto = max(int(np.searchsorted(steps, step, side="right")), 1)
    return np.asarray(loss[:upto][-WINDOW:])


def drift(record: RunRecord) -> float:
    """Share of the planned learning (summed learning rate) that has passed, in [0, 1]."""
    return float(clocks(record).at(np.array([record.last_step])).drift[0])


def eval_loss_falls(record: RunRecord) -> bool:
    """Whether the evaluation loss is below where it began."""
    _, loss = record.curve("eval_loss")
    loss = loss[np.isfinite(loss)]
    return bool(loss.size >= 2 and loss[-1] < loss[0] - _LOSS_GAIN * abs(loss[0]))
