"""A run record as bytes, and back: a JSON head and one block of doubles for each column.

The fingerprint is computed over exactly these bytes, so it names a run and is also the checksum
that shows damage when the run is read back.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from hf_ftrisk.history.errors import HistoryError
from hf_ftrisk.record import RunRecord

TRAIN_COLUMNS = ("train_step", "train_loss", "grad_norm", "learning_rate")
_DOUBLES = np.dtype("<f8")


class Column(NamedTuple):
    """One column of a trajectory.

    Args:
        kind: ``"train"``, ``"eval"`` or ``"schedule"``.
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
        HistoryError: settings that are no JSON scalars or lists of them.
    """
    head = {
        "max_steps": record.max_steps,
        "steps_per_epoch": record.steps_per_epoch,
        "status": record.status,
        "task": record.task,
        "seed": record.seed,
        "load_best": record.load_best,
        "metric_for_best": record.metric_for_best,
        "baselines": _floats(record.baselines.items()),
        "final": _floats(record.final.items()),
        "settings": dict(record.settings),
        "static": _floats(record.static.items()),
    }
    try:
        text = json.dumps(head, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError) as error:
        raise HistoryError(f"this run cannot be stored: {error}; settings hold JSON only") from None
    columns = [Column("train", name, _bytes(getattr(record, name))) for name in TRAIN_COLUMNS]
    columns.append(Column("eval", "eval_step", _bytes(record.eval_step)))
    columns += [Column("eval", name, _bytes(record.evals[name])) for name in sorted(record.evals)]
    if record.schedule is not None:
        columns.append(Column("schedule", "schedule", _bytes(record.schedule)))
    return EncodedRun(text, tuple(sorted(columns)))


def decode(run: EncodedRun) -> RunRecord:
    """The record that `encode` stored.

    Raises:
        ValueError: bytes that do not form a record.
    """
    head: Any = json.loads(run.head)
    if not isinstance(head, dict):
        raise ValueError("the head of a stored run must be an object")
    columns = {(c.kind, c.name): _doubles(c.values) for c in run.columns}
    fields: dict[str, Any] = {name: columns["train", name] for name in TRAIN_COLUMNS}
    return RunRecord(
        **fields,
        eval_step=columns["eval", "eval_step"],
        evals={n: v for (kind, n), v in columns.items() if kind == "eval" and n != "eval_step"},
        schedule=columns.get(("schedule", "schedule")),
        **head,
    )


def _floats(items: Iterable[tuple[str, float]]) -> dict[str, float]:
    return {str(name): float(value) for name, value in items}


def _bytes(column: np.ndarray) -> bytes:
    return np.ascontiguousarray(column, dtype=_DOUBLES).tobytes()


def _doubles(values: bytes) -> np.ndarray:
    return np.frombuffer(values, dtype=_DOUBLES).astype(np.float64)


def _parts(column: Column) -> tuple[bytes, bytes, bytes]:
    return column.kind.encode(), column.name.encode(), column.values
