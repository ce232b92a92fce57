"""Checks of a run that came from outside, before it may calibrate anything."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_ftrisk.privacy import MAX_ITEMS, MAX_NAME
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import MAX_TEXT, printable

MAX_HEAD_CHARACTERS = 64 << 10
MAX_POINTS = 1_000_000
MAX_STEPS = 1_000_000_000
_DEPTH = 3
_METRIC = re.compile(r"eval_.")


def check_head(head: object) -> None:
    """Refuse a head that is no JSON object of a sane size, before it is parsed for its fields.

    Raises:
        ValueError: what is wrong with it.
    """
    if not isinstance(head, str) or len(head) > MAX_HEAD_CHARACTERS:
        raise ValueError(f"the head must be text of up to {MAX_HEAD_CHARACTERS} characters")
    if not isinstance(json.loads(head), dict):
        raise ValueError("the head must be an object")


def check_record(record: RunRecord) -> None:
    """Refuse a run that cannot have come from a training.

    Raises:
        ValueError: what is wrong with it.
    """
    if record.status == "running":
        raise ValueError("it is still running")
    if record.max_steps > MAX_STEPS:
        raise ValueError(f"max_steps must be at most {MAX_STEPS:,}, got {record.max_steps:,}")
    if record.seed is not None and (isinstance(record.seed, bool) or not _is_int(record.seed)):
        raise ValueError(f"seed must be a whole number, got {record.seed!r}")
    if not isinstance(record.load_best, bool):
        raise ValueError(f"load_best must be true or false, got {record.load_best!r}")
    if not (record.steps_per_epoch is None or _is_positive(record.steps_per_epoch)):
        raise ValueError(f"steps_per_epoch must be above 0, got {record.steps_per_epoch!r}")
    chooser = record.selection
    if chooser is not None and not isinstance(chooser.greater_is_better, bool):
        raise ValueError(
            f"greater_is_better must be true or false, got {chooser.greater_is_better!r}"
        )
    for text in (record.task, chooser and chooser.metric):
        if text is not None:
            _check_text(text, MAX_NAME)
    _check_steps(record)
    for name in (*record.evals, *record.final, *record.baselines):
        _check_text(name, MAX_NAME)
    for name in record.evals:
        if not _METRIC.match(name):
            raise ValueError(f"an evaluation metric is named eval_..., got {name!r}")
    for values in (record.evals, record.nan_steps, record.final, record.baselines, record.static):
        if len(values) > MAX_ITEMS:
            raise ValueError(f"more than {MAX_ITEMS} names in one place")
    for name in (*record.nan_steps, *record.static):
        _check_text(name, MAX_NAME)
    _check_value(dict(record.settings), _DEPTH)


def _check_steps(record: RunRecord) -> None:
    for steps in (record.train_step, record.eval_step, *record.nan_steps.values()):
        if steps.size > MAX_POINTS:
            raise ValueError(f"a trajectory has {steps.size} points, more than {MAX_POINTS}")
        if steps.size and (steps.min() < 0 or steps.max() > record.max_steps):
            raise ValueError(f"steps must lie in [0, {record.max_steps}], the planned length")
        if not np.all(steps == np.floor(steps)):
            raise ValueError("steps must be whole numbers")


def _check_value(value: Any, depth: int) -> None:
    if isinstance(value, str):
        _check_text(value, MAX_TEXT)
    elif isinstance(value, Mapping | list) and depth:
        if len(value) > MAX_ITEMS:
            raise ValueError(f"settings with more than {MAX_ITEMS} items in one place")
        if isinstance(value, Mapping):
            for name in value:
                _check_text(name, MAX_NAME)
        for item in value.values() if isinstance(value, Mapping) else value:
            _check_value(item, depth - 1)
    elif not (value is None or isinstance(value, bool | int | float)):
        raise ValueError(f"settings nested too deep, or a {type(value).__name__} in them")


def _check_text(text: object, limit: int) -> None:
    if not isinstance(text, str) or text != printable(text, limit):
        raise ValueError(f"text must be one clean line of up to {limit} characters")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and abs(value) < 1 << 64


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < float("inf")
