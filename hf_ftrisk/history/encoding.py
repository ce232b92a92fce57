"""A run record as bytes, and back: a JSON head and one block of doubles for each column.

The fingerprint is computed over exactly these bytes, so it names a run and is also the checksum
that shows damage when the run is read back.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from hf_ftrisk.errors import HistoryError
from hf_ftrisk.privacy import clean_record
from hf_ftrisk.record import ModelSelection, RunRecord

TRAIN_COLUMNS = ("train_step", "train_loss", "grad_norm", "learning_rate")
_DOUBLES = np.dtype("<f8")
_IN_COLUMNS = frozenset({*TRAIN_COLUMNS, "eval_step", "evals", "nan_steps", "schedule"})
_SELECTION = frozenset({"metric_for_best", "greater_is_better"})


class Column(NamedTuple):
    """One column of a trajectory.

    Args:
        kind: ``"train"``, ``"eval"``, ``"nan"`` (steps at which NaN was logged) or
            ``"schedule"``.
        name: ``train_loss``, ``eval_accuracy``, ``eval_step``, ...
        values: (n,) float64, little-endian bytes.
    """

    kind: str
    name: str
    values: bytes


class EncodedRun(NamedTuple):
    """A run as it is stored: everything but the trajectory as JSON, the columns as bytes."""

    head: str
    columns: tuple[Column, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the head and all columns, hexadecimal."""
        digest = hashlib.sha256()
        for part in (self.head.encode(), *(part for c in self.columns for part in _parts(c))):
            digest.update(struct.pack("<Q", len(part)))
            digest.update(part)
        return digest.hexdigest()


def encode(record: RunRecord) -> EncodedRun:
    """Bytes of `record`; equal records give equal bytes.

    Raises:
        HistoryError: a task that is no text, a seed that is no whole number, or settings that are
            no JSON scalars or lists of them.
    """
    task, seed = record.task, record.seed
    if not (task is None or isinstance(task, str)):
        raise HistoryError(f"this run cannot be stored: its task must be text, got {task!r}")
    if not (seed is None or isinstance(seed, int)):
        raise HistoryError(f"this run cannot be stored: its seed must be whole, got {seed!r}")
    # By field, not by a list of names: a field added to the record is stored without a word here.
    head = {
        field.name: _plain(getattr(record, field.name))
        for field in fields(record)
        if field.name not in _IN_COLUMNS
    }
    selection = head.pop("selection")
    head |= selection.to_dict() if selection else {"metric_for_best": None}
    if head["steps_per_epoch"] is not None:
        head["steps_per_epoch"] = float(head["steps_per_epoch"])
    try:
        text = json.dumps(head, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError) as error:
        raise HistoryError(f"this run cannot be stored: {error}; settings hold JSON only") from None
    columns = [Column("train", name, to_bytes(getattr(record, name))) for name in TRAIN_COLUMNS]
    columns.append(Column("eval", "eval_step", to_bytes(record.eval_step)))
    columns += [Column("eval", name, to_bytes(values)) for name, values in record.evals.items()]
    columns += [Column("nan", name, to_bytes(steps)) for name, steps in record.nan_steps.items()]
    if record.schedule is not None:
        columns.append(Column("schedule", "schedule", to_bytes(record.schedule)))
    return EncodedRun(text, tuple(sorted(columns)))


def decode(run: EncodedRun) -> RunRecord:
    """The record that `encode` stored.

    Raises:
        ValueError: bytes that do not form a record.
    """
    columns = {(c.kind, c.name): from_bytes(c.values) for c in run.columns}
    evals = {name: values for (kind, name), values in columns.items() if kind == "eval"}
    try:
        head: Any = json.loads(run.head)
        if not isinstance(head, dict):
            raise ValueError("the head of a stored run must be an object")
        trajectory: dict[str, Any] = {name: columns["train", name] for name in TRAIN_COLUMNS}
        return RunRecord(
            **trajectory,
            eval_step=evals.pop("eval_step"),
            evals=evals,
            nan_steps={n: v for (kind, n), v in columns.items() if kind == "nan"},
            schedule=columns.get(("schedule", "schedule")),
            selection=ModelSelection.from_dict(head),
            **{name: value for name, value in head.items() if name not in _SELECTION},
        )
    except (AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a stored run: {error}") from None


def shared_form(run: EncodedRun) -> EncodedRun:
    """The run as it may leave the machine; its fingerprint is its name there."""
    return encode(clean_record(decode(run)))


def to_bytes(column: np.ndarray) -> bytes:
    """A column (n,) as little-endian float64."""
    return np.ascontiguousarray(column, dtype=_DOUBLES).tobytes()


def from_bytes(values: bytes) -> np.ndarray:
    """Inverse of `to_bytes`."""
    return np.frombuffer(values, dtype=_DOUBLES).astype(np.float64)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _parts(column: Column) -> tuple[bytes, bytes, bytes]:
    return column.kind.encode(), column.name.encode(), column.values
