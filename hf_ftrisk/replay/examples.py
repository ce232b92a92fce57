"""Recorded runs that ship with the package, each with something to see."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

# In the order in which they are listed.
NAMES = ("sound", "stopped", "overfits", "stuck", "wrong")


@dataclass(frozen=True)
class Example:
    """A recorded run.

    Args:
        name: what it is asked for by.
        words: what happened in it, a sentence.
        goal: what it is judged by.
        record: the run, with the trivial baseline of its labels.
        state: the trainer state it was read from.
    """

    name: str
    words: str
    goal: Goal
    record: RunRecord
    state: dict[str, Any]


def load_example(name: str) -> Example:
    """One example.

    Raises:
        ValueError: no example of this name.
    """
    if name not in NAMES:
        raise ValueError(
            f"no example {name!r}: `hf-ftrisk replay --example` lists {', '.join(NAMES)}"
        )
    text = (files("hf_ftrisk") / "examples" / f"{name}.json").read_text(encoding="utf-8")
    return example_of(name, json.loads(text))


def example_of(name: str, state: dict[str, Any]) -> Example:
    """An example from its state, which holds besides what a Trainer's state does not."""
    example = state["example"]
    record = RunRecord.from_trainer_state(state, baselines=example["baselines"])
    return Example(name, example["words"], Goal.parse(example["goal"]), record, state)
