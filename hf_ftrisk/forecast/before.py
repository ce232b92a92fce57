"""The forecast before the first evaluation: from static signals, the plan and the training loss.

A reference value is known or not: the training loss for an eval loss, else the loss of the model
before training; the frozen model's linear probe for a score, else the trivial predictor's value.
How far runs ended from theirs, in units of z, is learned by the same kind of forest as the change
still to come (`change_model`), from what runs were before any evaluation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from hf_ftrisk.forecast.change_model import (
    MODEL_FILE,
    Family,
    Outcomes,
    adjusted,
    outcomes_of,
    spread,
    stored_outcomes,
)
from hf_ftrisk.forecast.features import RANGES, eval_rows, plan_features
from hf_ftrisk.forecast.forest import Forest
from hf_ftrisk.forecast.scale import Scale
from hf_ftrisk.forecast.static import (
    STATIC_RANGES,
    probe_level,
    static_features,
    untrained_loss,
)
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import metric_facts
from hf_ftrisk.record import RunRecord

_PLAN = (
    "logged",
    "epochs",
    "steps",
    "peak_rate",
    "rate_left",
    "train_level",
    "train_fall",
    "train_fall_third",
    "train_noise",
    "gradient_level",
    "gradient_rise",
)
_LEVELS: dict[str, tuple[float, float]] = {
    "trivial": (-6.0, 6.0),  # z of the trivial predictor
    "probe_gain": (-3.0, 6.0),  # z of the frozen model's probe less the trivial one
    "untrained": (-6.0, 6.0),  # log of the loss before training
    "learned": (-3.0, 6.0),  # log of that loss over the recent training loss
}
BEFORE_RANGES = {name: RANGES[name] for name in _PLAN} | _LEVELS | STATIC_RANGES
_LOW = np.array([low for low, _ in BEFORE_RANGES.values()])
_HIGH = np.array([high for _, high in BEFORE_RANGES.values()])


@dataclass(frozen=True, eq=False)
class KnownBefore:
    """What is known of a run before its first evaluation.

    Args:
        scale: coordinate of the metric.
        reference: z that the end is forecast from.
        features: (n_features,) of `BEFORE_RANGES`.
    """

    scale: Scale
    reference: float
    features: np.ndarray


def known_before(record: RunRecord, goal: Goal) -> KnownBefore:
    """What is known of a run's end before its first evaluation.

    Args:
        record: the run so far.
        goal: the metric, on the scale of its values.
    """
    losses = record.train_curve()[1]
    facts = metric_facts(goal.metric)
    is_loss = goal.metric.endswith("loss") or (
        facts is not None and facts.loss_form == "exponential"
    )
    shown = losses[np.isfinite(losses)] if is_loss else np.empty(0)
    trivial = record.baseline(goal)
    if trivial is not None and math.isfinite(trivial):
        # A metric of any size has no scale but what is known of it.
        shown = np.append(shown, trivial)
    scale = Scale.of(goal, shown, eval_rows(record))
    features = plan_features(record, goal) | static_features(record, goal, scale)
    trivial_z = math.nan
    if trivial is not None and math.isfinite(trivial):
        trivial_z = features["trivial"] = float(scale.forward(trivial))
    probe_z = probe_level(record, goal, scale)
    features["probe_gain"] = probe_z - trivial_z
    untrained = features["untrained"] = untrained_loss(record)
    train = features.get("train_level", math.nan)
    features["learned"] = untrained - train
    row = np.array([features.get(name, math.nan) for name in BEFORE_RANGES])
    candidates = (probe_z, trivial_z)
    if scale.shape == "loss" and is_loss:
        candidates = (-train, -untrained)
    reference = next((z for z in candidates if math.isfinite(z)), 0.0)
    return KnownBefore(scale, reference, np.clip(row, _LOW, _HIGH))


@dataclass(frozen=True, eq=False)
class BeforeModel:
    """How far runs ended from their reference value, for one family of metrics.

    Args:
        forest: known runs in a like state.
        outcomes: their ends less their references, in units of z, and the calibration.
        sources: number of sources behind it.
        runs: number of runs behind it.
    """

    forest: Forest
    outcomes: Outcomes
    sources: int
    runs: int

    def ends(self, plan: KnownBefore, progress: float, n: int) -> np.ndarray:
        """Equally likely z (n,) of the run's last evaluation, ascending."""
        weights = self.forest.weights(plan.features)
        draws = spread(weights, self.outcomes.change, n)
        return plan.reference + adjusted(draws, self.outcomes, progress)


def stored_before(model: BeforeModel, name: str) -> dict[str, np.ndarray]:
    """Arrays of a model under names that start with its family's."""
    arrays = {f"{name}/before/forest/{k}": v for k, v in model.forest.arrays().items()}
    arrays |= stored_outcomes(model.outcomes, f"{name}/before")
    return arrays | {f"{name}/before/counts": np.array([model.sources, model.runs])}


@cache
def load_before_model(name: Family) -> BeforeModel:
    """The packaged model of a family of metrics, ``"loss"`` or ``"score"``."""
    with np.load(MODEL_FILE, allow_pickle=False) as arrays:
        sources, runs = (int(x) for x in arrays[f"{name}/before/counts"])
        outcomes = outcomes_of(arrays, f"{name}/before", sources)
        forest = Forest.from_arrays(arrays, f"{name}/before/forest/")
    return BeforeModel(forest, outcomes, sources, runs)
