"""How a field of a card's metadata comes from a report, onto a card, and back from one.

A field is declared once, where `CardMetadata` has it: `CardField` says all of this. What is read
back may come from anybody: it is checked, and text in it is one clean line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from hf_ftrisk.errors import CardError
from hf_ftrisk.text import printable

if TYPE_CHECKING:
    from hf_ftrisk.report import RiskReport

_MAX_NAME = 120
_LARGEST = 1e300


@dataclass(frozen=True)
class CardField:
    """How one field of a dataclass comes onto a card and back: the annotation of its type.

    Args:
        of_report: its value, from a report.
        read: its value, from a mapping of a card and the key there: one of this module's readers.
        plain: the value as plain data; a dataclass is plain enough.
        group: key of the mapping that it stands in; empty: the card's own.
        key: its key there; empty: its name.
    """

    of_report: Callable[[RiskReport], Any]
    read: Callable[[Mapping[str, Any], str], Any]
    plain: Callable[[Any], Any] = lambda value: value
    group: str = ""
    key: str = ""


def card_fields(kind: type) -> dict[str, CardField]:
    """Name -> how each field of a dataclass comes onto a card, in the order of the card."""
    types = get_type_hints(kind, include_extras=True)
    return {one.name: types[one.name].__metadata__[0] for one in fields(kind)}


# --- readers ----------------------------------------------------------------------------------


def mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping that has to be there."""
    value = data.get(name)
    if not isinstance(value, Mapping):
        raise CardError(f"the card's {name} must be a mapping, got {shown(value)}")
    return value


def number(data: Mapping[str, Any], name: str) -> float | None:
    """A finite number; None where there is none."""
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return value
    raise CardError(f"the card's {name} must be a finite number, got {shown(value)}")


def whole(data: Mapping[str, Any], name: str) -> int | None:
    """A number without its fraction; None where there is none."""
    value = number(data, name)
    return None if value is None else int(value)


def required(data: Mapping[str, Any], name: str) -> float:
    """A finite number that has to be there."""
    value = number(data, name)
    if value is None:
        raise CardError(f"the card's prediction lacks {name!r}")
    return value


def required_whole(data: Mapping[str, Any], name: str) -> int:
    """A number that has to be there, without its fraction."""
    return int(required(data, name))


def text(data: Mapping[str, Any], name: str) -> str:
    """One clean line that has to be there."""
    value = data.get(name)
    if not isinstance(value, str):
        raise CardError(f"the card's {name} must be text, got {shown(value)}")
    return printable(value, _MAX_NAME)


def optional_text(data: Mapping[str, Any], name: str) -> str:
    """One clean line; empty where there is none."""
    return text(data, name) if name in data else ""


def names(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of names, each one clean line; empty where there is none."""
    values = data.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise CardError(f"the card's {name} must be a list of names, got {shown(values)}")
    return tuple(printable(value, _MAX_NAME) for value in values)


def shown(value: object) -> str:
    """A value from a card as a message may quote it."""
    try:
        return printable(repr(value), _MAX_NAME)
    except ValueError:  # a number of more digits than Python writes
        return f"a very large {type(value).__name__}"


# --- plain data -------------------------------------------------------------------------------


def compact(data: Mapping[str, Any]) -> dict[str, Any]:
    """Six significant digits; not-a-number and infinities as nothing; absent values left out."""
    values = {name: _plain(value) for name, value in data.items()}
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if is_dataclass(value):
        return compact(vars(value))
    return compact(value) if isinstance(value, dict) else value
