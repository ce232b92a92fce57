"""Runs as Parquet: for other tools, other machines and the Hub.

One row a run: what it is looked up by, its trajectory as lists of doubles, everything else as one
JSON object. A file is read as untrusted input: types are fixed, sizes are bounded, every row is
checked against its fingerprint and every value against what a run can be. Nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_ftrisk.errors import HistoryError
from hf_ftrisk.history.encoding import (
    TRAIN_COLUMNS,
    Column,
    EncodedRun,
    decode,
    from_bytes,
    to_bytes,
)
from hf_ftrisk.history.pages import unpacked
from hf_ftrisk.history.untrusted import check_head, check_record
from hf_ftrisk.record import RunRecord

FORMAT_VERSION = 1
MAX_FILE_BYTES = 256 << 20
MAX_UNPACKED_BYTES = 1 << 29
MAX_VALUES = 1 << 26
MAX_ROWS = 100_000
_VERSION_KEY = b"hf_ftrisk.runs"
_ROWS_AT_ONCE = 64
# What pyarrow raises over a damaged file; names that are no text among them.
_UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)

_VALUES = pa.list_(pa.float64())
_NAMED = pa.list_(pa.struct([("name", pa.string()), ("values", _VALUES)]))
_LISTS = (*TRAIN_COLUMNS, "eval_step")
SCHEMA = pa.schema(
    [
        ("fingerprint", pa.string()),
        ("task", pa.string()),
        ("status", pa.string()),
        ("max_steps", pa.int64()),
        ("seed", pa.int64()),
        *((name, _VALUES) for name in _LISTS),
        ("evals", _NAMED),
        ("nan_steps", _NAMED),
        ("schedule", _VALUES),
        ("head", pa.string()),
    ],
    metadata={_VERSION_KEY: str(FORMAT_VERSION).encode()},
)


@dataclass(frozen=True)
class RunsRead:
    """What a file held.

    Args:
        records: the runs that passed every check.
        refused: (row, reason) of the others.
    """

    records: tuple[RunRecord, ...]
    refused: tuple[tuple[int, str], ...] = ()


def to_parquet(runs: Iterable[EncodedRun]) -> bytes:
    """A Parquet file with one row a run."""
    rows = [_to_row(run) for run in runs]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink, compression="zstd")
    return bytes(sink.getvalue())


def read_parquet(content: bytes) -> RunsRead:
    """Runs of a file that `to_parquet` wrote; `hf_ftrisk.history.apart` reads a stranger's.

    Raises:
        HistoryError: no Parquet, another table, a newer format, or too large a file.
    """
    return checked(rows_of(content))


def rows_of(content: bytes) -> Iterator[EncodedRun | str]:
    """What each row of a file holds: a run with the fingerprint it claims, or why it does not.

    Raises:
        HistoryError: as `read_parquet`.
    """
    try:
        with _open(content) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=SCHEMA.names):
                for index in range(batch.num_rows):
                    try:
                        yield _from_row(batch, index)
                    except (ValueError, RecursionError) as error:
                        yield str(error)
    except _UNREADABLE as error:
        raise HistoryError(f"not a readable Parquet file: {error}") from None


def index_of(content: bytes) -> dict[str, str | None]:
    """Fingerprint -> task of the runs in a file, without their trajectories.

    Raises:
        HistoryError: as `read_parquet`.
    """
    try:
        with _open(content) as file:
            table = file.read(columns=["fingerprint", "task"])
            pairs = zip(table["fingerprint"].to_pylist(), table["task"].to_pylist(), strict=True)
            return {name: task for name, task in pairs if name is not None}
    except _UNREADABLE as error:
        raise HistoryError(f"not a readable Parquet file: {error}") from None


def checked(rows: Iterable[EncodedRun | str]) -> RunsRead:
    """The runs among `rows` that a training can have left, and what is wrong with the others."""
    records: list[RunRecord] = []
    refused: list[tuple[int, str]] = []
    for number, row in enumerate(rows):
        if isinstance(row, str):
            refused.append((number, row))
            continue
        try:
            record = decode(row)
            check_record(record)
        except ValueError as error:
            refused.append((number, str(error)))
        else:
            records.append(record)
    return RunsRead(tuple(records), tuple(refused))


def _open(content: bytes) -> pq.ParquetFile:
    if len(content) > MAX_FILE_BYTES:
        raise HistoryError(f"the file has {len(content)} bytes, more than {MAX_FILE_BYTES}")
    file = pq.ParquetFile(pa.BufferReader(content))
    schema, facts = file.schema_arrow, file.metadata
    version = (schema.metadata or {}).get(_VERSION_KEY, b"")
    if not version.isdigit():
        raise HistoryError("not a table of runs: its metadata lack the key 'hf_ftrisk.runs'")
    if int(version) > FORMAT_VERSION:
        raise HistoryError(
            f"the file has format version {int(version)}, this release reads up to "
            f"{FORMAT_VERSION}: update hf-ftrisk"
        )
    for field in SCHEMA:
        if schema.get_field_index(field.name) < 0 or schema.field(field.name).type != field.type:
            raise HistoryError(f"not a table of runs: column {field.name!r} must be {field.type}")
    _check_size(content, facts)
    return file


def _check_size(content: bytes, facts: pq.FileMetaData) -> None:
    """Refuse what would unpack to more than a file of runs does."""
    if facts.num_rows > MAX_ROWS or facts.num_row_groups > MAX_ROWS:
        raise HistoryError(
            f"the file holds {facts.num_rows} rows in {facts.num_row_groups} groups, more than "
            f"{MAX_ROWS} rows or groups"
        )
    try:
        size = unpacked(content, facts, rows=_ROWS_AT_ONCE)
    except ValueError as error:
        raise HistoryError(f"not a readable Parquet file: {error}") from None
    if size.size > MAX_UNPACKED_BYTES or size.values > MAX_VALUES:
        raise HistoryError(
            f"the file unpacks to {size.values} values and {size.size} bytes, more than "
            f"{MAX_VALUES} values or {MAX_UNPACKED_BYTES} bytes"
        )


# --- rows ------------------------------------------------------------------------------------


def _to_row(run: EncodedRun) -> dict[str, Any]:
    head = json.loads(run.head)
    row: dict[str, Any] = {
        "fingerprint": run.fingerprint,
        **{name: head[name] for name in ("task", "status", "max_steps")},
        # Seeds of torch reach 2^64 - 1; the head has the true one.
        "seed": head["seed"] if _fits(head["seed"]) else None,
        "evals": [],
        "nan_steps": [],
        "schedule": None,
        "head": run.head,
    }
    for kind, name, values in run.columns:
        column = from_bytes(values)
        if name in _LISTS or kind == "schedule":
            row[name] = column
        else:
            row["evals" if kind == "eval" else "nan_steps"].append({"name": name, "values": column})
    return row


def _from_row(batch: pa.RecordBatch, index: int) -> EncodedRun:
    head = batch["head"][index].as_py()
    check_head(head)
    columns = [
        Column("train" if name in TRAIN_COLUMNS else "eval", name, _bytes(batch[name][index]))
        for name in _LISTS
    ]
    for source, kind in (("evals", "eval"), ("nan_steps", "nan")):
        for item in _items(batch[source][index]):
            columns.append(Column(kind, _name(item["name"]), _bytes(item["values"])))
    if batch["schedule"][index].is_valid:
        columns.append(Column("schedule", "schedule", _bytes(batch["schedule"][index])))
    run = EncodedRun(head, tuple(sorted(columns)))
    if run.fingerprint != batch["fingerprint"][index].as_py():
        raise ValueError("damaged or changed: it does not have the fingerprint it claims")
    return run


def _fits(seed: int | None) -> bool:
    return seed is not None and abs(seed) < 1 << 63


def _items(scalar: pa.ListScalar) -> Sequence[pa.StructScalar]:
    if not scalar.is_valid:
        raise ValueError("a trajectory is missing")
    return list(scalar)


def _name(scalar: pa.StringScalar) -> str:
    name = scalar.as_py()
    if not isinstance(name, str):
        raise ValueError("a column without a name")
    return name


def _bytes(scalar: pa.ListScalar) -> bytes:
    if not scalar.is_valid or scalar.values.null_count:
        raise ValueError("a trajectory is missing, or has holes that are not NaN")
    # Through dlpack: pyarrow's own to_numpy imports pandas where that is installed.
    return to_bytes(np.from_dlpack(scalar.values))
