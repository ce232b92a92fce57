"""Runs as rows of an Arrow table: the storage form of the packaged reference.

One row per run. Trajectories are float32 lists (NaN kept as NaN), settings a JSON string. What
describes the recording rather than the run (``run_id``, ``setting_id``, ``cpu_seconds``,
``environment``) has columns of its own and does not enter the `RunRecord`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_ftrisk.record import ModelSelection, RunRecord

_STEPS = pa.list_(pa.int32())
_VALUES = pa.list_(pa.float32())
_SCALARS = pa.map_(pa.string(), pa.float64())

SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("setting_id", pa.string()),
        ("cpu_seconds", pa.float32()),
        ("environment", pa.string()),
        ("task", pa.string()),
        ("seed", pa.int32()),
        ("max_steps", pa.int32()),
        ("steps_per_epoch", pa.float32()),
        ("status", pa.string()),
        ("load_best", pa.bool_()),
        ("metric_for_best", pa.string()),
        ("train_step", _STEPS),
        ("train_loss", _VALUES),
        ("grad_norm", _VALUES),
        ("learning_rate", _VALUES),
        ("schedule", _VALUES),
        ("eval_step", _STEPS),
        ("evals", pa.map_(pa.string(), _VALUES)),
        ("baselines", _SCALARS),
        ("final", _SCALARS),
        ("static", _SCALARS),
        ("settings", pa.string()),
        ("probe", pa.string()),
        ("depth", pa.float32()),
    ]
)
# What float32 can tell apart in a rate. Evaluations and baselines are compared with each other: a
# model that predicts the majority class must come out equal to the majority rate, not above it.
_DECIMALS = 7
_COLUMNS = ("train_step", "train_loss", "grad_norm", "learning_rate", "eval_step")
# Steps as differences and measurements byte by byte: both compress better than plainly.
_ENCODING = {
    "train_step.list.element": "DELTA_BINARY_PACKED",
    "eval_step.list.element": "DELTA_BINARY_PACKED",
    "train_loss.list.element": "BYTE_STREAM_SPLIT",
    "grad_norm.list.element": "BYTE_STREAM_SPLIT",
    "learning_rate.list.element": "BYTE_STREAM_SPLIT",
    "schedule.list.element": "BYTE_STREAM_SPLIT",
    "evals.key_value.value.list.element": "BYTE_STREAM_SPLIT",
    "static.key_value.value": "BYTE_STREAM_SPLIT",
}
_DICTIONARY = [
    *("run_id", "setting_id", "environment", "task", "status", "metric_for_best", "settings"),
    *("probe", "evals.key_value.key", "baselines.key_value.key", "final.key_value.key"),
    "static.key_value.key",
]


@dataclass(frozen=True)
class RecordedRun:
    """A run and how it was recorded.

    Args:
        record: the run.
        run_id: stable name of the run.
        setting_id: stable name of its setting, shared by all seeds of the setting.
        cpu_seconds: processor time the whole run took, evaluations included.
        environment: device and library versions, such as ``"cpu, torch 2.13.0, ..."``.
        probe: kind of the probe, such as ``"jump"``, where this is no full run but what a
            pre-flight saw of the run with this `run_id`; None for the full run.
        depth: steps of the probe as a share of the full run's; None for the full run.
    """

    record: RunRecord
    run_id: str
    setting_id: str
    cpu_seconds: float
    environment: str
    probe: str | None = None
    depth: float | None = None


def to_table(runs: Sequence[RecordedRun]) -> pa.Table:
    """Arrow table of `SCHEMA`, one row per run."""
    return pa.Table.from_pylist([_to_row(run) for run in runs], schema=SCHEMA)


def _to_row(run: RecordedRun) -> dict[str, Any]:
    record = run.record
    row = {name: getattr(record, name) for name in _COLUMNS}
    return row | {
        "run_id": run.run_id,
        "setting_id": run.setting_id,
        "cpu_seconds": run.cpu_seconds,
        "environment": run.environment,
        "task": record.task,
        "seed": record.seed,
        "max_steps": record.max_steps,
        "steps_per_epoch": record.steps_per_epoch,
        "status": record.status,
        "load_best": record.load_best,
        "metric_for_best": record.selection and record.selection.metric,
        "schedule": record.schedule,
        "evals": list(record.evals.items()),
        "baselines": list(record.baselines.items()),
        "final": list(record.final.items()),
        "static": list(record.static.items()),
        "settings": json.dumps(dict(record.settings), sort_keys=True),
        "probe": run.probe,
        "depth": run.depth,
    }


def from_table(table: pa.Table) -> tuple[RecordedRun, ...]:
    """Runs of a table written by `to_table`.

    Raises:
        ValueError: a column of the schema is missing.
    """
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise ValueError(f"not a table of recorded runs: it lacks the columns {missing}")
    columns = {name: _lists(table[name]) for name in _COLUMNS}
    schedules = _lists(table["schedule"])
    has_schedule = table["schedule"].is_valid().to_pylist()
    plain = table.drop_columns([*_COLUMNS, "schedule"]).to_pylist()
    return tuple(
        _from_row(
            row,
            {name: column[i] for name, column in columns.items()},
            schedules[i] if has_schedule[i] else None,
        )
        for i, row in enumerate(plain)
    )


def write_runs(runs: Sequence[RecordedRun], file: Path) -> None:
    """Write `to_table` as a small Parquet file; an interruption leaves no half of it behind."""
    part = file.with_suffix(f".{os.getpid()}.part")
    pq.write_table(
        to_table(runs),
        part,
        compression="zstd",
        compression_level=19,
        use_dictionary=_DICTIONARY,
        column_encoding=_ENCODING,
    )
    os.replace(part, file)


def read_runs(file: Path) -> tuple[RecordedRun, ...]:
    """Runs of a Parquet file written from `to_table`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a table of something else.
    """
    # Not pyarrow.parquet.read_table: it imports pandas where that is installed.
    with pq.ParquetFile(file) as parquet:
        return from_table(parquet.read())


def _lists(column: pa.ChunkedArray) -> list[np.ndarray]:
    """Lists of a column as float64 arrays, without a Python object per value; null is empty."""
    # Through dlpack: pyarrow's own to_numpy imports pandas where that is installed.
    array = column.combine_chunks()
    values = np.from_dlpack(array.values)
    offsets = np.from_dlpack(array.offsets)
    return [values[start:end].astype(np.float64) for start, end in pairwise(offsets)]


def _from_row(
    row: dict[str, Any], columns: dict[str, Any], schedule: np.ndarray | None
) -> RecordedRun:
    record = RunRecord(
        max_steps=row["max_steps"],
        **columns,
        schedule=schedule,
        evals={name: np.round(values, _DECIMALS) for name, values in row["evals"]},
        steps_per_epoch=row["steps_per_epoch"],
        status=row["status"],
        task=row["task"],
        seed=row["seed"],
        load_best=row["load_best"],
        selection=ModelSelection.named(row["metric_for_best"]),
        baselines={name: round(value, _DECIMALS) for name, value in row["baselines"]},
        final={name: round(value, _DECIMALS) for name, value in row["final"]},
        static=dict(row["static"]),
        settings=json.loads(row["settings"]),
    )
    depth = row["depth"]
    return RecordedRun(
        record,
        row["run_id"],
        row["setting_id"],
        row["cpu_seconds"],
        row["environment"],
        row["probe"],
        None if depth is None else round(depth, _DECIMALS),
    )
