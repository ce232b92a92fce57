"""What may leave the machine: text without paths, names and secrets; settings on a list.

Numbers may leave; text is cleaned, and a setting leaves only when it is declared as
shared in `hf_ftrisk.record.settings`.
Cleaning twice changes nothing more.
"""

from __future__ import annotations

import contextlib
import getpass
import math
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hf_ftrisk.record import ModelSelection, RunRecord
from hf_ftrisk.record.settings import SHARED
from hf_ftrisk.text import MAX_TEXT, printable

T = TypeVar("T")
Cleaner = Callable[[Any], Any]

MAX_NAME = 120
MAX_ITEMS = 200

_DATA_FILE = (
    r"\.(?:arrow|bin|csv|db|feather|gguf|h5|ipynb|jsonl?|log|npy|npz|parquet|pdf|pkl|pth?|py|"
    r"safetensors|sqlite|tsv|txt|ya?ml|zip)"
)
_PART = r"[^\s/\\'\"<>|*?`,;()\[\]{}]"
_REPLACED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (r"\bhf_[A-Za-z0-9]{8,}\b", "[token]"),
        (r"(?i)\b(?:token|api[_-]?key|password|passwd|secret)\s*[=:]\s*[^\s,;]+", "[token]"),
        (r"(?i)\bfile:/+\S+", "[path]"),
        # In quotes a path may hold spaces.
        (r"(?<=')(?:~?/|\.{1,2}/|[A-Za-z]:\\|\\\\)[^'\r\n]+(?=')", "[path]"),
        (r"(?<=\")(?:~?/|\.{1,2}/|[A-Za-z]:\\|\\\\)[^\"\r\n]+(?=\")", "[path]"),
        (rf"\b[A-Za-z]:[\\/](?:{_PART}|[\\/])+", "[path]"),
        (rf"\\\\{_PART}+(?:\\{_PART}+)+", "[path]"),
        (rf"(?<![\w/:.\]])(?:~\w*|\.{{1,2}})/(?:{_PART}|/)+", "[path]"),
        (rf"(?<![\w/:\]])/{_PART}+/(?:{_PART}|/)*", "[path]"),
        (r"(?<![\w/:\]])/(?:home|root|tmp|mnt|data|scratch|workspace|content)\b", "[path]"),
        (rf"(?<![\w/:.\]-])(?:[\w.-]+/)*[\w.-]+{_DATA_FILE}\b(?![\w/])", "[file]"),
        (r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b", "[address]"),
        (r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])", "[address]"),
    )
)
# Names so common that they are words, not a person or a machine.
_COMMON_NAMES = frozenset(
    {"admin", "colab", "home", "localhost", "root", "runner", "ubuntu", "user"}
)


def clean_text(text: object, limit: int = MAX_TEXT) -> str:
    """`text` on one line, without paths, files, addresses, tokens, this host's or user's name."""
    line = printable(text, limit=8 * limit)
    for pattern, word in _REPLACED:
        line = pattern.sub(word, line)
    for name in _own_names():
        line = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "[name]", line, flags=re.IGNORECASE)
    return printable(line, limit)


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
    kept = {}
    for name, value in list(values.items())[:MAX_ITEMS]:
        if isinstance(value, int | float | np.number) and math.isfinite(value):
            kept[clean_text(name, MAX_NAME)] = float(value)
    return kept


def unchanged(value: T) -> T:
    """A field that may leave as it is: a number, numbers, or one of a few fixed words."""
    return value


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
    kept = {name: clean(getattr(value, name)) for name, clean in rules.items()}
    return replace(value, **kept)  # type: ignore[type-var]


def clean_record(record: RunRecord) -> RunRecord:
    """The run with its numbers, and only the settings, names and task that may be sent."""
    return cleaned(record, _RECORD)


def _clean_selection(selection: ModelSelection | None) -> ModelSelection | None:
    rules: dict[str, Cleaner] = {"metric": _metric_name, "greater_is_better": unchanged}
    return selection and cleaned(selection, rules)


def _metric_name(name: str) -> str:
    return clean_text(name, MAX_NAME)


def _under_clean_names(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {_metric_name(name): values for name, values in columns.items()}


def _clean_task(task: str | None) -> str | None:
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
    "task": _clean_task,
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


@lru_cache(maxsize=1)
def _own_names() -> tuple[str, ...]:
    names = {socket.gethostname(), socket.gethostname().split(".")[0], Path.home().name}
    # In many containers the user has no entry: then there is no name to hide.
    with contextlib.suppress(OSError, KeyError):
        names.add(getpass.getuser())
    kept = (name for name in names if len(name) >= 3 and name.lower() not in _COMMON_NAMES)
    return tuple(sorted(kept, key=len, reverse=True))
