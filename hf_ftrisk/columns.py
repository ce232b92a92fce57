"""What a run record is made of: read-only columns, frozen dicts, and their JSON form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np


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
    """`values` (n,) as read-only float64: itself when it is that already, else a copy."""
    if isinstance(values, np.ndarray) and values.dtype == np.float64:
        owns = values.base is None
        if owns and not values.flags.writeable:
            return values
    made = np.array(values, dtype=np.float64)
    made.setflags(write=False)
    return made


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
