"""What a run's evaluations say about the gain still to come, in units of the gain that matters.

Like `forecast.features`, which all forecasts share, but for differences measured in tolerances:
whether a run still gains a point is a question of points, not of shares of what is left.
"""

from __future__ import annotations

import math

import numpy as np

from hf_ftrisk.record.columns import median

_RECENT = 40

GAIN_FEATURES = (
    "below_best",  # best so far less the last
    "since_best",  # steps since the best, as a share of those done
    "since_best_of_run",  # and of the run
    "evaluations_since_best",
    "gain_1",  # gained over the last evaluation, over the last two, ...
    "gain_2",
    "gain_3",
    "gain_5",
    "gain_10",
    "gain_from_quarter",  # gained since a quarter of the steps done, since half of them, ...
    "gain_from_half",
    "gain_from_two_thirds",
    "gain_from_80",
    "gain_from_90",
    "gain_mirrored",  # gained over as many steps as are left
    "doubling",  # gain if each doubling of the steps gains what the last one did
    "slowing",  # gain of the last half of the steps done over that of the quarter before
    "noise",  # median second difference of the evaluations
    "noise_to_come",  # greatest of that noise over the evaluations that are left
    "below_best_5",  # best so far less the mean of the last five
    "change_5",  # mean of the last five less that of the five before
    "slope_to_come",  # what a line over the log of the steps still gains
    "scatter",  # about that line
    "line_end",  # its end less the best so far
    "gained",  # since the first evaluation
    "stale",  # time within a tolerance of the best, as a share of the steps done
    "longest_wait",  # between two gains of a tolerance
    "wait",  # since the last gain of a tolerance
    "wait_over_longest",
    "progress",
    "evaluations_left",
    "headroom",  # between the best so far and the metric's end
    "is_loss",
)


def gain_features(at: np.ndarray, units: np.ndarray) -> dict[str, float]:
    """What the evaluations so far say about the gain to come; `GAIN_FEATURES`, where known.

    Args:
        at: (n,) when they were, as shares of the planned run; n at least 2.
        units: (n,) their values in tolerances, greater is better.
    """
    best = np.maximum.accumulate(units)
    return _gains(at, best) | _noise(at, units) | _line(at, units) | _waits(at, units, best)


def _gains(at: np.ndarray, best: np.ndarray) -> dict[str, float]:
    progress, top, n = float(at[-1]), float(best[-1]), best.size

    def since(share: float) -> float:
        return top - float(
            best[max(int(np.searchsorted(at, share * progress, side="right")) - 1, 0)]
        )

    features = {f"gain_{k}": _log(top - float(best[max(n - 1 - k, 0)])) for k in (1, 2, 3, 5, 10)}
    marks = {"quarter": 0.25, "half": 0.5, "two_thirds": 0.67, "80": 0.8, "90": 0.9}
    features |= {f"gain_from_{name}": _log(since(share)) for name, share in marks.items()}
    features["gain_mirrored"] = _log(since(max(2.0 - 1.0 / progress, 0.0)))
    features["doubling"] = _log(since(0.5) * math.log2(1.0 / progress))
    last, previous = since(0.5), since(0.25) - since(0.5)
    features["slowing"] = 1.5 if last > 0 else 0.0
    if previous > 1e-9:
        features["slowing"] = min(last / previous, 1.5)
    features["gained"] = _log(top - float(best[0]))
    return features


def _noise(at: np.ndarray, units: np.ndarray) -> dict[str, float]:
    n, progress = units.size, float(at[-1])
    evaluations_left = max((1.0 - progress) / max(median(np.diff(at)), 1e-9), 0.0)
    noise = abs(float(units[-1] - units[-2]))
    if n > 3:
        noise = median(np.abs(np.diff(units[-_RECENT:], 2))) / 2.4
    recent = float(units[-5:].mean())
    earlier = units[-10:-5] if n >= 10 else units[: max(n - 5, 1)]
    return {
        "noise": _log(noise),
        "noise_to_come": _log(noise * math.sqrt(2.0 * math.log1p(evaluations_left))),
        "below_best_5": _log(float(units.max()) - recent),
        "change_5": _log(recent - float(earlier.mean())),
        "progress": progress,
        "evaluations_left": math.log1p(evaluations_left),
    }


def _line(at: np.ndarray, units: np.ndarray) -> dict[str, float]:
    """A line over the log of the steps, through the last half of those done."""
    half = int(np.searchsorted(at, float(at[-1]) / 2))
    if at.size - half < 3:
        return {}
    x, y = np.log(at[half:]), units[half:]
    middle = float(x.mean())
    slope = float((x - middle) @ y / ((x - middle) @ (x - middle) + 1e-12))
    residuals = y - y.mean() - slope * (x - middle)
    end = float(y.mean()) - slope * middle
    return {
        "slope_to_come": _log(-slope * math.log(float(at[-1]))),
        "scatter": _log(float(residuals.std())),
        "line_end": _log(end - float(units.max())),
    }


def _waits(at: np.ndarray, units: np.ndarray, best: np.ndarray) -> dict[str, float]:
    progress, best_at = float(at[-1]), int(np.argmax(units))
    longest, base, since = 0.0, float(best[0]), float(at[0])
    for share, value in zip(at[1:].tolist(), best[1:].tolist(), strict=True):
        if value > base + 1.0:
            longest, base, since = max(longest, share - since), value, share
    behind = np.flatnonzero(best[-1] - best > 1.0)
    entered = float(at[behind[-1]]) if behind.size else 0.0
    return {
        "below_best": _log(float(best[-1] - units[-1])),
        "since_best": (progress - float(at[best_at])) / progress,
        "since_best_of_run": progress - float(at[best_at]),
        "evaluations_since_best": math.log1p(units.size - 1 - best_at),
        "stale": (progress - entered) / progress,
        "longest_wait": longest / progress,
        "wait": (progress - since) / progress,
        "wait_over_longest": min((progress - since) / (longest + 1e-9), 20.0),
    }


def _log(value: float) -> float:
    """Signed logarithm: any number of tolerances as a number that trees can cut."""
    return math.copysign(math.log1p(abs(value)), value)
