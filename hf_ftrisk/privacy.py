"""What may leave the machine: text without paths, names and secrets; settings on a list.

Numbers may leave; text is cleaned, and a setting leaves only when it is declared as
shared in `hf_ftrisk.record.settings`.
Cleaning twice changes nothing more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hf_ftrisk.record import ModelSelection, RunRecord
from hf_ftrisk.record.settings import SHARED
from hf_ftrisk.redaction import clean_text

T = TypeVar("T")
Cleaner = Callable[[Any], Any]

MAX_NAME = 120
MAX_ITEMS = 200

# The words of verdicts, kinds, forms and regimes; nothing that hides anything looks like one.
_WORD = re.compile(r"[A-Za-z_-]{1,20}")


def clean_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings on the list, with clean values: numbers, short text, lists and tables of them."""
    cleaned = {}
    for name in sorted(SHARED & settings.keys()):
        value = _clean_value(settings[name], depth=2)
        if value is not None:
            cleaned[name] = value
    return cleaned


def clean_numbers(values: Mapping[str, float]) -> dict[str, float]:
    """Finite numbers under clean names."""
    numbers = {}
    for name, value in list(values.items())[:MAX_ITEMS]:
        if isinstance(value, int | float | np.number) and math.isfinite(value):
            numbers[clean_text(name, MAX_NAME)] = float(value)
    return numbers


def unchanged(value: T) -> T:
    """A field that may leave as it is: a number, numbers, or one of a few fixed words.

    Raises:
        TypeError: text that could be anything. Nothing leaves then.
    """
    _refuse_text(value)
    return value


def _refuse_text(value: object) -> None:
    if isinstance(value, str):
        if not isinstance(value, Enum) and not _WORD.fullmatch(value):
            raise TypeError("text stands in a field of a report that holds numbers; it is not sent")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _refuse_text(name)
            _refuse_text(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            _refuse_text(item)
    elif isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise TypeError(f"numbers of a report are of type {value.dtype}; they are not sent")
    elif is_dataclass(value):
        for item in fields(value):
            _refuse_text(getattr(value, item.name))
    elif not (value is None or isinstance(value, bool | int | float | np.number)):
        raise TypeError(f"a {type(value).__name__} in a report is not declared; it is not sent")


def cleaned(value: T, rules: Mapping[str, Cleaner]) -> T:
    """A dataclass with each of its fields cleaned by its rule.

    Args:
        value: an instance of a dataclass.
        rules: name -> how the field is cleaned, for every field of the class.

    Raises:
        TypeError: a field without a rule, or a rule without a field. Nothing leaves then.
    """
    names = {item.name for item in fields(value)}  # type: ignore[arg-type]
    if names != rules.keys():
        raise TypeError(
            f"whether these fields of {type(value).__name__} may leave the machine is not "
            f"declared: {sorted(names ^ rules.keys())}"
        )
    fields_cleaned = {name: clean(getattr(value, name)) for name, clean in rules.items()}
    return replace(value, **fields_cleaned)  # type: ignore[type-var]


def clean_record(record: RunRecord) -> RunRecord:
    """The run with its numbers, and only the settings, names and task that may be sent."""
    return cleaned(record, _RECORD)


def _clean_selection(selection: ModelSelection | None) -> ModelSelection | None:
    rules: dict[str, Cleaner] = {"metric": clean_label, "greater_is_better": unchanged}
    return selection and cleaned(selection, rules)


def clean_label(name: str) -> str:
    """A name such as a metric's or a diagnosis's as it may be sent."""
    return clean_text(name, MAX_NAME)


def _under_clean_names(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {clean_label(name): values for name, values in columns.items()}


def clean_task(task: str | None) -> str | None:
    """A task's name as it may be sent."""
    return None if task is None else _clean_name(task)


_RECORD: dict[str, Cleaner] = {
    "max_steps": unchanged,
    "train_step": unchanged,
    "train_loss": unchanged,
    "grad_norm": unchanged,
    "learning_rate": unchanged,
    "eval_step": unchanged,
    "evals": _under_clean_names,
    "nan_steps": _under_clean_names,
    "schedule": unchanged,
    "steps_per_epoch": unchanged,
    "status": unchanged,
    "task": clean_task,
    "seed": unchanged,
    "load_best": unchanged,
    "selection": _clean_selection,
    "baselines": clean_numbers,
    "final": clean_numbers,
    "settings": clean_settings,
    "static": clean_numbers,
}


def _clean_value(value: Any, depth: int) -> Any:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return _clean_name(value)
    if depth and isinstance(value, Mapping):
        pairs = list(value.items())[:MAX_ITEMS]
        return {clean_text(k, MAX_NAME): _clean_value(v, depth - 1) for k, v in pairs}
    if depth and isinstance(value, Iterable):
        return [_clean_value(item, depth - 1) for item in list(value)[:MAX_ITEMS]]
    return None


def _clean_name(name: str) -> str:
    """A name such as a model's: ``owner/name`` passes, a folder that exists here does not."""
    if len(name) < 1000 and "/" in name and Path(name).exists():
        return "[path]"
    return clean_text(name, MAX_NAME)
