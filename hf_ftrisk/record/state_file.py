"""A Trainer's ``trainer_state.json`` as the fields of a run record."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_ftrisk.jsonfile import read_json
from hf_ftrisk.record.columns import MAX_STEPS
from hf_ftrisk.record.settings import declared
from hf_ftrisk.record.trainer_log import log_fields, number, read_log, step_of

# The file that every checkpoint of a Trainer has.
STATE_FILE = "trainer_state.json"


def state_fields(
    source: str | Path | Mapping[str, Any],
    given: Mapping[str, Any],
    planned: int | None = None,
) -> dict[str, Any]:
    """The fields of a record from a Trainer's state, besides those that are given.

    Args:
        source: the file in any encoding of JSON, the checkpoint folder that holds it, or its
            parsed content.
        given: fields of the record; they count before what the state says.
        planned: optimizer steps of a state that does not say how many were planned.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, not a trainer state (no ``log_history``), a log of which no entry has
            a step or an epoch, or more planned steps than a record can have.
        TypeError: `max_steps` or a column of the log is given as well.
    """
    state, name = _read_state(source)
    log = read_log(_with_steps(state, name))
    last_step = max(_step_count(state.get("global_step")), log.last_step)
    stated = _step_count(state.get("max_steps")) or (planned or 0)
    max_steps = max(stated, last_step, 1)
    if max_steps > MAX_STEPS:
        too_many = reprlib.repr(max_steps)  # hundreds of digits are cut
        raise ValueError(f"{name} plans {too_many} steps: expected 2**53 at most")
    ended = "stopped" if log.ended else "running"
    told: dict[str, Any] = {"status": "finished" if last_step >= max_steps else ended}
    if log.steps_per_epoch is None and (per_epoch := _steps_per_epoch(state, last_step)):
        told["steps_per_epoch"] = per_epoch
    fields = {**told, **given}
    if 0 < stated < max_steps:
        settings = declared(stated_max_steps=stated)
        fields["settings"] = {**settings, **given.get("settings", {})}
    return dict(max_steps=max_steps, **log_fields(log, fields))


def _steps_per_epoch(state: Mapping[str, Any], last_step: int) -> float | None:
    epoch = number(state.get("epoch"))
    if not last_step or not epoch or not math.isfinite(epoch) or epoch < 0:
        return None
    return last_step / epoch


def _step_count(value: Any) -> int:
    """A step count as an int; 0 for anything that is none."""
    count = number(value)
    return max(int(count), 0) if count is not None and math.isfinite(count) else 0


def _read_state(source: str | Path | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """A Trainer's state, and what to call it in messages.

    Args:
        source: the file in any encoding of JSON, the checkpoint folder that holds it, or its
            parsed content.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no file of JSON, or not a trainer state (no ``log_history``).
    """
    name = "this mapping"
    state: Any = source
    if not isinstance(source, Mapping):
        file = Path(source)
        if file.is_dir():
            file = file / STATE_FILE
        name = str(file)
        state = read_json(file)
    if not isinstance(state, Mapping) or not isinstance(state.get("log_history"), list):
        raise ValueError(
            f"{name} is not a trainer state: expected an object with a list 'log_history'"
        )
    return state, name


def _with_steps(state: Mapping[str, Any], name: str) -> list[Any]:
    """The log of a state; where no entry has a step, each gets the one its epoch tells.

    Raises:
        ValueError: entries, and not one of them with a step or an epoch to tell it from.
    """
    log: list[Any] = state["log_history"]
    entries = [entry for entry in log if isinstance(entry, Mapping)]
    if not entries or any(step_of(entry) is not None for entry in entries):
        return log
    reached, epoch = number(state.get("global_step")), number(state.get("epoch"))
    epochs = [value for entry in entries if (value := number(entry.get("epoch"))) is not None]
    if not epochs or not reached or not epoch or not math.isfinite(reached / epoch):
        raise ValueError(
            f"{name} has {len(log)} log entries, and none says its step: expected a number of 0 "
            "or more as 'step', or epochs together with the state's global_step and epoch"
        )
    steps_per_epoch = reached / epoch
    return [
        {**entry, "step": round(at * steps_per_epoch)}
        for entry in entries
        if (at := number(entry.get("epoch"))) is not None and math.isfinite(at)
    ]
