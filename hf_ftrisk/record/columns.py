"""What a run record is made of: read-only columns, frozen dicts, and their JSON form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

# Rates of a planned schedule that are kept: those of every step, or of so many evenly spread ones.
MAX_RATES = 4096
# Planned steps of a run at most: beyond this a step is no longer told from the next by a float.
MAX_STEPS = 2**53
# Far beyond what single precision holds: a number that large has overflowed, and its square would.
_LARGEST = 1e100


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed; everything else that reads a dict reads it."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a run record cannot be changed: use dataclasses.replace")

    __setitem__ = __delitem__ = update = pop = setdefault = _refuse
    clear = popitem = __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


def empty() -> np.ndarray:
    """A column without rows."""
    return np.empty(0, dtype=np.float64)


def frozen_column(values: Any) -> np.ndarray:
    """`values` (n,) as read-only float64: itself when it is that already, else a copy.

    What has overflowed is infinite in it.
    """
    if isinstance(values, np.ndarray) and values.dtype == np.float64:
        owns = values.base is None
        if owns and not values.flags.writeable:
            return values
    made = np.array(values, dtype=np.float64)
    overflowed = np.abs(made) > _LARGEST
    made[overflowed] = np.copysign(np.inf, made[overflowed])
    made.setflags(write=False)
    return made


def scalar(value: Any) -> float:
    """A number as a float; infinite where it has overflowed."""
    number = float(value)
    return math.copysign(math.inf, number) if abs(number) > _LARGEST else number


def schedule_steps(max_steps: int) -> np.ndarray:
    """Steps (n_rates,), from 0, whose planned learning rates a record keeps.

    All of them, or the middles of `MAX_RATES` equal parts of a longer run.
    """
    n_rates = min(max_steps, MAX_RATES)
    return np.asarray((np.arange(n_rates) + 0.5) * (max_steps / n_rates), dtype=np.int64)


def rate_sum(schedule: np.ndarray, max_steps: int) -> float:
    """Sum of the learning rates of all planned steps, from those (n_rates,) that are kept."""
    return float(schedule.sum()) * (max_steps / schedule.size)


def kept_schedule(schedule: np.ndarray, max_steps: int) -> np.ndarray:
    """A schedule (n_rates,) as a record keeps it, from one of every step or one that is thinned.

    Raises:
        ValueError: another number of rates.
    """
    n_rates, rates = min(max_steps, MAX_RATES), np.asarray(schedule)
    if rates.shape == (max_steps,) and max_steps > n_rates:
        rates = rates[schedule_steps(max_steps)]
    if rates.shape != (n_rates,):
        also = f" or ({n_rates},)" if n_rates < max_steps else ""
        raise ValueError(
            f"schedule has shape {rates.shape}, expected ({max_steps},){also}: one learning rate "
            "for each planned step, or for each of schedule_steps(max_steps)"
        )
    return frozen_column(rates)


def finite_points(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values (n,), (n,) where the value is finite."""
    is_finite = np.isfinite(values)
    return steps[is_finite], values[is_finite]


def median(values: np.ndarray) -> float:
    """Median of finite values (n,), at least one: that of numpy, at a fraction of its cost."""
    middle = values.size // 2
    if values.size % 2:
        return float(np.partition(values, middle)[middle])
    parted = np.partition(values, (middle - 1, middle))
    return float((parted[middle - 1] + parted[middle]) / 2.0)


def check_length(name: str, values: np.ndarray, expected: int) -> None:
    """Refuse a column that is not (expected,)."""
    if values.shape != (expected,):
        raise ValueError(f"{name} has shape {values.shape}, expected ({expected},)")


def to_json(value: float) -> float | str | None:
    """A float as JSON can hold it: None for NaN, the strings "inf" and "-inf" for infinities."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def from_json(value: float | str | None) -> float:
    """Inverse of `to_json`."""
    return math.nan if value is None else float(value)


def to_list(values: np.ndarray) -> list[Any]:
    """A column (n,) as a JSON-ready list."""
    return [to_json(value) for value in values.tolist()]


def from_list(values: Sequence[Any]) -> np.ndarray:
    """Inverse of `to_list`."""
    return np.array([from_json(value) for value in values], dtype=np.float64)
