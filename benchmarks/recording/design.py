"""What the plans of short and long runs share: names of settings, and points spread evenly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol


class _Named(Protocol):
    dataset: str
    model: str
    method: str


def task_of(setting: _Named) -> str:
    """Data set x model x method."""
    return f"{setting.dataset}/{setting.model}/{setting.method}"


def stable_name(setting: _Named, content: Mapping[str, Any]) -> str:
    """Name of a setting by the content that decides it."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{setting.dataset}-{setting.model}-{setting.method}-{digest[:10]}"


def check_evaluations(max_steps: int, evaluations: int) -> None:
    """Refuse a plan whose last step would not be evaluated."""
    if max_steps % evaluations:
        raise ValueError(
            f"max_steps={max_steps} is no multiple of evaluations={evaluations}: "
            "the last step would not be evaluated"
        )


def halton(index: int, base: int) -> float:
    """Element of the Halton sequence, in (0, 1)."""
    result, fraction, index = 0.0, 1.0, index + 1
    while index:
        fraction /= base
        index, digit = divmod(index, base)
        result += fraction * digit
    return result
