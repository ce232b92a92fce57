"""The planned learning-rate schedule, and the two clocks that run on it.

In the diffusion view of SGD the drift still to come grows with the sum of the learning rates left,
the noise still to come with the sum of their squares. Both are known before the run ends, because
the schedule is planned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.columns import schedule_steps

# A logged learning rate repeats to this relative accuracy.
_SAME = 0.02


@dataclass(frozen=True, eq=False)
class Times:
    """Clock readings at n moments of a run, each (n,) and in [0, 1].

    Args:
        drift: share of the summed learning rate that has passed.
        noise: share of the summed squared learning rate that has passed.
        cooled: one minus the learning rate over its peak; 0 during warm-up.
    """

    drift: np.ndarray
    noise: np.ndarray
    cooled: np.ndarray


@dataclass(frozen=True, eq=False)
class Clocks:
    """What the planned schedule says about every moment of a run.

    Args:
        drift: (n_rates + 1,) share of the summed learning rate that has passed.
        noise: (n_rates + 1,) share of the summed squared learning rate that has passed.
        cooled: (n_rates + 1,) one minus the learning rate over its peak; 0 before the peak.
        width: optimizer steps from one value to the next: 1, more for a very long run.
    """

    drift: np.ndarray
    noise: np.ndarray
    cooled: np.ndarray
    width: float = 1.0

    def at(self, steps: np.ndarray) -> Times:
        """Readings after `steps` (n,) optimizer steps."""
        grid = np.arange(self.drift.size)
        return Times(
            *(
                np.interp(np.asarray(steps) / self.width, grid, c)
                for c in (self.drift, self.noise, self.cooled)
            )
        )


def planned_schedule(record: RunRecord) -> np.ndarray:
    """Learning rates (n_rates,) of the planned run's `schedule_steps`, up to a common factor.

    The record's own schedule when it has one. Otherwise the family (warm-up, then constant,
    linear or cosine decay) that fits the logged learning rates best; the Trainer's default,
    linear decay to zero, when too few were logged to tell.
    """
    if record.schedule is not None and np.all(np.isfinite(record.schedule)):
        planned: np.ndarray = np.maximum(record.schedule, 0.0)
        if planned.sum() > 0:
            return planned
    is_rate = np.isfinite(record.learning_rate) & (record.learning_rate >= 0)
    steps, rates = record.train_step[is_rate], record.learning_rate[is_rate]
    total = record.max_steps
    grid = schedule_steps(total).astype(np.float64)
    if steps.size < 2 or rates.max(initial=0.0) <= 0:
        return np.asarray(1.0 - grid / total)
    warmup = _warmup_steps(steps, rates)
    after = steps >= warmup
    best = _decay("linear", grid, total, warmup)
    best_error = np.inf
    for name in ("linear", "constant", "cosine"):
        shape = _decay(name, grid, total, warmup)
        # A log at step s shows the rate set for the step after it, or the one before: either fits.
        for shift in (0.0, 1.0):
            at = np.interp(steps[after] - shift, grid, shape)
            weight = float(at @ at)
            if weight <= 0:
                continue
            factor = float(at @ rates[after]) / weight
            error = float(np.sum((rates[after] - factor * at) ** 2))
            if error < best_error * (1.0 - 1e-6):
                best, best_error = shape, error
    if best_error > (_SAME * rates.max()) ** 2 * max(after.sum(), 1) * 4:
        return _interpolated(steps, rates, grid)
    return best


def _warmup_steps(steps: np.ndarray, rates: np.ndarray) -> float:
    """Step at which the learning rate has stopped rising; 0 when it never rose."""
    peak = rates.max()
    first_high = int(np.argmax(rates >= peak * (1.0 - _SAME)))
    if first_high == 0:
        return 0.0
    # On a linear ramp rate / step is constant: extend it to the peak.
    slope = float(np.median(rates[:first_high] / np.maximum(steps[:first_high], 1.0)))
    if slope <= 0:
        return float(steps[first_high])
    if first_high == steps.size - 1:
        return float(steps[first_high])
    return float(min(peak / slope, steps[first_high]))


def _decay(name: str, grid: np.ndarray, total: int, warmup: float) -> np.ndarray:
    """Warm-up followed by one of the usual decays, (n_rates,), peak 1."""
    ramp = np.minimum((grid + 1.0) / max(warmup, 1.0), 1.0)
    share = np.clip((grid - warmup) / max(total - warmup, 1.0), 0.0, 1.0)
    if name == "constant":
        return ramp
    if name == "cosine":
        return ramp * 0.5 * (1.0 + np.cos(np.pi * share))
    return ramp * (1.0 - share)


def _interpolated(steps: np.ndarray, rates: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Logged rates where they were logged; a linear decay to zero of what is left after that."""
    planned = np.interp(grid, steps, rates)
    beyond = grid > steps[-1]
    if beyond.any():
        planned[beyond] = rates[-1] * np.linspace(1.0, 0.0, int(beyond.sum()) + 1)[:-1]
    return planned if planned.sum() > 0 else np.ones_like(grid)


def clocks(record: RunRecord) -> Clocks:
    """Clocks of a run's planned schedule."""
    planned = planned_schedule(record)
    peak = int(np.argmax(planned))
    cooled = 1.0 - planned / planned[peak]
    cooled[:peak] = 0.0
    return Clocks(
        drift=_passed(planned),
        noise=_passed(planned**2),
        cooled=np.concatenate([cooled[:1], cooled]),
        width=record.max_steps / planned.size,
    )


def _passed(rate: np.ndarray) -> np.ndarray:
    total = np.concatenate([[0.0], np.cumsum(rate)])
    return np.asarray(total / total[-1])
