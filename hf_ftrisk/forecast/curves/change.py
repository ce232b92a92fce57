"""How far a run will still move from its last evaluation, beyond what its own curve says.

The curve model reads one metric. Train loss and eval loss say more: a train loss that still falls
promises more gain, one far below the eval loss promises overfitting, the more the more epochs are
left. The expected change is a sum of few such terms, each of a known sign and each 0 at the end of
the run, with weights fitted on completed runs (`benchmarks.forecasting.fitting`).
"""

from __future__ import annotations

import math

import numpy as np

from hf_ftrisk.forecast.curves.view import CurveView
from hf_ftrisk.record import RunRecord

# Terms of the change of a loss, in units of z; all weights are >= 0.
TERMS = ("gain", "fallen", "recent", "train_fall", "overfit")

# Scores (rates, correlations): the forecast moves this share of the way from the curve model's
# end to what was reached, in full from this share of the run on. Chosen on the benchmark.
_PULL = 0.5
_PULL_FROM = 0.2
# A fall below the best value counts as noise, half of it to be made up for, up to this size in
# units of z: a run that collapsed is not forecast to come back.
_NOISE_CAP = 0.4
# No more gain than this is expected, in units of z: after a leap a curve promises as much again.
_MOST_GAIN = 1.0


def score_change(view: CurveView, max_steps: int, gain: float) -> float:
    """Expected change of a score's z from its last value, given the curve model's `gain`."""
    fallen = min(float(view.z.max() - view.z[-1]), _NOISE_CAP)
    pull = _PULL * min(view.steps[-1] / max_steps / _PULL_FROM, 1.0)
    gain = min(gain, _MOST_GAIN)
    return float(gain + pull * (0.5 * fallen - gain))


def loss_terms(view: CurveView, record: RunRecord, gain: float) -> np.ndarray:
    """Values (n_terms,) of `TERMS` for a loss: how far z, greater being better, would rise.

    Args:
        view: the evaluations so far.
        record: the run so far.
        gain: the curve model's expected change of z.
    """
    drift = view.clocks.at(view.steps).drift
    left = 1.0 - float(drift[-1])
    middle = np.interp(
        drift[-1] / 2, np.concatenate([[0.0], drift]), np.concatenate([[view.start.mean], view.z])
    )
    train = _logs(record.train_curve()[1])
    third = max(1, train.size // 3)
    recent = train[-third:].mean() if train.size else math.nan
    fall = recent - train[:third].mean() if train.size >= 3 else 0.0
    held_out = _logs(record.curve("eval_loss")[1])
    gap = held_out[-1] - recent if held_out.size and train.size else 0.0
    epochs = math.log(record.max_steps / record.steps_per_epoch) if record.steps_per_epoch else 0.0
    return np.array(
        [
            gain,
            left * float(view.z.max() - view.z[-1]),
            left * float(view.z[-1] - middle),
            left * float(np.clip(-fall, -1.0, 3.0)),
            -left * float(np.clip(gap, 0.0, 3.0)) * float(np.clip(epochs, 0.0, 3.5)),
        ]
    )


def _logs(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.maximum(values[np.isfinite(values)], 1e-6)))
