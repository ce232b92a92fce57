"""Logs of other trackers as a Trainer's log: TensorBoard event files, CSV exports (W&B and others).

What a Trainer calls ``loss`` and ``eval_accuracy`` is ``train/loss`` and ``eval/accuracy`` there.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hf_ftrisk.extras import named_extras
from hf_ftrisk.jsonfile import MAX_BYTES
from hf_ftrisk.record.run_record import RunRecord
from hf_ftrisk.record.trainer_log import number, read_log

EVENT_MARK = "events.out.tfevents"
# Columns that hold the optimizer step, the best first: W&B counts its own calls in the last two.
_STEP_COLUMNS = ("train/global_step", "global_step", "step", "Step", "_step")
# What W&B adds to a column of a chart that it exports.
_ADDED = ("__MIN", "__MAX")
_UNPLANNED = (
    "the log does not say how many steps were planned: it is read as a run of {steps}; "
    "give --max-steps where it was to be longer."
)


def is_other_log(file: Path) -> bool:
    """Whether a file's name is that of a log this module reads."""
    return file.suffix == ".csv" or EVENT_MARK in file.name


def read_other_log(
    file: Path, *, max_steps: int | None = None, **fields: Any
) -> tuple[RunRecord, str | None]:
    """A run from another tracker's log, and what is to be said of its length.

    Args:
        file: a TensorBoard event file or a CSV file.
        max_steps: planned optimizer steps; None: what the log says, else as far as it goes.
        fields: any other field of the record.

    Raises:
        MissingExtraError: an event file, and the extra ``tensorboard`` is not installed.
        ValueError: no step, nothing that a Trainer logs, or several runs; more than `MAX_BYTES`
            bytes.
    """
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"{file} has more than {MAX_BYTES:,} bytes")
    entries, planned = _read_events(file) if EVENT_MARK in file.name else (_read_csv(file), None)
    log = read_log(entries)
    if not log.last_step:
        raise ValueError(
            f"{file} has no logged step: expected a column of steps ({', '.join(_STEP_COLUMNS)}) "
            "and loss, eval_... or train/loss, eval/..."
        )
    note = None
    n_steps = max_steps or planned
    if n_steps is None and not log.ended:
        note = _UNPLANNED.format(steps=log.last_step)
    steps = max(n_steps or 0, log.last_step)
    fields.setdefault("status", "finished" if log.last_step >= steps else "running")
    return RunRecord.from_log_history(entries, max_steps=steps, **fields), note


def _name(column: str) -> str:
    """A tracker's name as a Trainer's: ``run - eval/f1`` is ``eval_f1``."""
    name = column.rpartition(" - ")[2]
    group, slash, rest = name.partition("/")
    if slash and group in ("train", "eval"):
        return rest if group == "train" else f"eval_{rest}"
    return name


def _read_csv(file: Path) -> list[dict[str, Any]]:
    text = file.read_bytes().decode("utf-8-sig", errors="replace")
    try:
        rows = list(csv.DictReader(io.StringIO(text)))
    except csv.Error as error:
        raise ValueError(f"{file} is not a CSV file: {error}") from None
    columns = [name for name in (rows[0] if rows else {}) if isinstance(name, str)]
    step = next((name for name in _STEP_COLUMNS if name in columns), None)
    if step is None:
        column_words = ", ".join(columns[:8]) or "none"
        raise ValueError(
            f"{file} has no column of steps: expected one of {', '.join(_STEP_COLUMNS)}; it has "
            f"{column_words}"
        )
    value_columns = [n for n in columns if n not in _STEP_COLUMNS and not n.endswith(_ADDED)]
    # A chart of several runs has a column ``run - metric`` for each.
    runs = sorted({run for run, dash, _ in (n.rpartition(" - ") for n in value_columns) if dash})
    if len(runs) > 1:
        raise ValueError(
            f"{file} holds {len(runs)} runs, {', '.join(runs[:5])}: export the chart with one of "
            "them selected"
        )
    return list(
        _merged((row[step], {_name(n): row[n] for n in value_columns if row[n]}) for row in rows)
    )


def _merged(cells: Iterable[tuple[Any, Mapping[str, Any]]]) -> Iterable[dict[str, Any]]:
    """Entries of a Trainer's log: steps, evaluations and the summary of a `train` apart."""
    for step, values in cells:
        evaluated = {n: v for n, v in values.items() if n.startswith("eval_")}
        summary = {n: v for n, v in values.items() if n.startswith("train_") or n == "total_flos"}
        apart = evaluated.keys() | summary.keys()
        trained = {n: v for n, v in values.items() if n not in apart}
        for part in (trained, evaluated, summary):
            if part:
                yield {**part, "step": step}


def _read_events(file: Path) -> tuple[list[dict[str, Any]], int | None]:
    """Entries of a TensorBoard event file, and the planned steps where its arguments say them."""
    with named_extras():
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(file), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    rows: dict[int, dict[str, Any]] = {}
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            rows.setdefault(event.step, {})[_name(tag)] = event.value
    entries = list(_merged(sorted(rows.items())))
    return entries, _planned(events, entries)


def _planned(events: Any, entries: Iterable[Mapping[str, Any]]) -> int | None:
    """Planned steps, from the TrainingArguments that a Trainer writes beside its scalars."""
    for tag in events.Tags()["tensors"]:
        if not tag.startswith("args/"):
            continue
        text = events.Tensors(tag)[0].tensor_proto.string_val[0]
        try:
            args = json.loads(text)
        except ValueError:
            continue
        steps, epochs = number(args.get("max_steps")), number(args.get("num_train_epochs"))
        if steps is not None and steps > 0:
            return int(steps)
        per_epoch = read_log(entries).steps_per_epoch
        if epochs and per_epoch:
            return round(epochs * per_epoch)
    return None
