"""What is known of a run before its first step, as numbers that mean the same for every run.

Static signals: what the frozen model tells of the labels, how far the loss is from what an
untrained model says, what the planned schedule can move. Levels of the metric are in units of z.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from hf_ftrisk.forecast.scale import Scale
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

# Name -> range.
STATIC_RANGES: dict[str, tuple[float, float]] = {
    "signal": (-3.0, 6.0),  # z of a probe on the labels less that on shuffled ones
    "gain": (-8.0, 8.0),  # log of the loss that the schedule moves to first order
    "classes": (0.0, 6.0),  # log of their number
    "conflicts": (0.0, 1.0),  # share of rows whose twin has another label
    "low_rank": (0.0, 1.0),  # 1: LoRA, 0: all weights
}


def static_features(record: RunRecord, goal: Goal, scale: Scale) -> dict[str, float]:
    """Features of `STATIC_RANGES`, not yet bounded, as far as the signals were measured.

    Args:
        record: the run.
        goal: the metric, on the scale of its values.
        scale: its coordinate.
    """
    static = _measured(record)
    features = {
        "gain": _log(static.get("schedule_gain", static.get("predicted_gain", math.nan))),
        "classes": _log(static.get("classes", math.nan)),
        "conflicts": static.get("conflicting_label_share", math.nan),
    }
    if "lora_rank" in static:
        features["low_rank"] = float(static["lora_rank"] > 0)
    real, shuffled = static.get("signal_score"), static.get("signal_shuffled")
    if scale.shape == "rate" and real is not None and shuffled is not None:
        features["signal"] = float(
            scale.forward(real * scale.unit) - scale.forward(shuffled * scale.unit)
        )
    return features


def probe_level(record: RunRecord, goal: Goal, scale: Scale) -> float:
    """z of a linear probe on the frozen model, for the metrics that it measures; else NaN."""
    static = _measured(record)
    share = static.get("linear_probe_accuracy", static.get("signal_eval_score"))
    measured = goal.metric.endswith(("accuracy", "_acc", "f1")) and scale.shape == "rate"
    if share is None or not measured:
        return math.nan
    return float(scale.forward(share * scale.unit))


def untrained_loss(record: RunRecord) -> float:
    """Log of the loss before training, NaN if not known."""
    known = record.baselines.get("eval_loss", math.nan)
    return _log(_measured(record).get("zero_shot_loss", known))


def _measured(record: RunRecord) -> Mapping[str, float]:
    return {name: value for name, value in record.static.items() if math.isfinite(value)}


def _log(value: float) -> float:
    return math.log(value) if value > 0 else math.nan
