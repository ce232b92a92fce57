"""A training loss that exploded: far above where it began, longer than good runs ever were.

No good run of the evidence (docs/evidence/finishing.md) stayed above 1.5 times its beginning
at all, nor above 1.25 times for more than 8 % of its steps; how long a loss may be there before a
run is ended leaves a margin over both. A blow-up within the first logged window hides the
beginning: then the untrained model's own evaluation is held against, where there was one.
"""

from __future__ import annotations

import math

import numpy as np

from hf_ftrisk.diagnoses.advice import on_divergence
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.columns import median
from hf_ftrisk.verdict import Diagnosis

# Ratio to the beginning -> share of the run that a loss may stay above it.
ALLOWED = {1.25: 0.15, 1.5: 0.05}
# Above the untrained model's evaluation loss, or the trivial predictor's, by this ratio.
ABOVE_UNTRAINED = 1.5
# Logs that are smoothed over: at least so many, and this share of all.
_WINDOW, _WINDOW_SHARE = 3, 0.02
# Where logs are this share of the run apart or more, the beginning is read off one, else off two.
_COARSE = 0.02
# Ratios are at least so many standard deviations of single logs above 1: a first batch may be easy.
_DEVIATIONS = 3.0
_NOISE_LOGS = 500
_MIN_STEPS = 10


def exploded_loss(record: RunRecord) -> Diagnosis | None:
    """The diagnosis, None while the loss is where good runs are.

    Args:
        record: the run so far.
    """
    if record.settings.get("reinforcement_learning"):
        return None
    steps, loss = record.train_curve()
    is_finite = np.isfinite(loss)
    steps, loss = steps[is_finite], loss[is_finite]
    if loss.size <= _WINDOW or loss[0] <= 0:
        return None
    return _above_beginning(record, steps, loss) or _above_untrained(record, steps, loss)


def beginning(steps: np.ndarray, loss: np.ndarray, max_steps: int) -> float:
    """What the loss (n,) logged at `steps` (n,) began with."""
    return float(loss[0] if steps[0] >= _COARSE * max_steps else loss[:2].max())


def _above_beginning(record: RunRecord, steps: np.ndarray, loss: np.ndarray) -> Diagnosis | None:
    start = beginning(steps, loss, record.max_steps)
    least = math.exp(_DEVIATIONS * _noise(loss))
    for ratio, share in sorted(ALLOWED.items(), reverse=True):
        level = start * max(ratio, least)
        since = _since(steps, loss, level)
        allowed = max(share * record.max_steps, _MIN_STEPS)
        if since is not None and steps[-1] - since >= allowed:
            recent = float(np.median(loss[-_WINDOW:]))
            return _diagnosis(record, recent, start, since, steps[-1], "its initial value")
    return None


def _above_untrained(record: RunRecord, steps: np.ndarray, loss: np.ndarray) -> Diagnosis | None:
    """Training and evaluation loss both above the untrained model's evaluation loss."""
    at, values = record.curve("eval_loss")
    untrained = float(values[0]) if at.size and at[0] == 0 else record.baselines.get("eval_loss")
    if (
        untrained is None
        or not at.size
        or at[-1] == 0
        or not math.isfinite(untrained)
        or untrained <= 0
    ):
        return None
    level = ABOVE_UNTRAINED * untrained
    since = _since(steps, loss, level * max(1.0, math.exp(_DEVIATIONS * _noise(loss)) / 1.5))
    allowed = max(ALLOWED[1.5] * record.max_steps, _MIN_STEPS)
    if since is None or not values[-1] > level or steps[-1] - since < allowed:
        return None
    recent = float(np.median(loss[-_WINDOW:]))
    return _diagnosis(record, recent, untrained, since, steps[-1], "that of the untrained model")


def _since(steps: np.ndarray, loss: np.ndarray, level: float) -> float | None:
    """Step since which the smoothed loss has stayed above a level, None if it is not above now."""
    width = max(_WINDOW, int(loss.size * _WINDOW_SHARE))
    if median(loss[-width:]) <= level:
        return None
    medians = np.median(np.lib.stride_tricks.sliding_window_view(loss, width), axis=1)
    below = np.flatnonzero(medians <= level)
    first = width - 1 if not below.size else int(below[-1]) + width
    return float(steps[min(first, steps.size - 1)] if below.size else steps[0])


def _noise(loss: np.ndarray) -> float:
    """Robust standard deviation of a single log of the loss's logarithm."""
    changes = np.abs(np.diff(np.log(np.maximum(loss[-_NOISE_LOGS:], 1e-12))))
    return 1.4826 * median(changes) / math.sqrt(2.0)


def _diagnosis(
    record: RunRecord, now: float, start: float, since: float, step: float, compared: str
) -> Diagnosis:
    return Diagnosis(
        name="exploded_loss",
        message=f"The training loss is {now:.3g}, {now / start:.1f} times {compared} "
        f"({start:.3g}), and has stayed that high since step {int(since)}: longer than in any "
        "good run on record.",
        advice=f"{on_divergence(record)} Keep no checkpoint of this run.",
        severity="fatal",
        evidence={"loss": now, "start": start, "since_step": since, "step": float(step)},
    )
