"""What a campaign counts, and what all of them use."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hf_ftrisk.record import RunRecord

ROOT = Path(__file__).parents[2]


@dataclass
class Outcome:
    """What came of one campaign.

    Args:
        cases: number of cases.
        became: what became of them -> how often.
        lost: what was lost, in words; empty when nothing was.
    """

    cases: int = 0
    became: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


Campaign = Callable[[random.Random, int], Outcome]


def run_of(seed: int) -> RunRecord:
    """A small completed run."""
    steps = np.arange(10, 101, 10)
    rng = np.random.default_rng(seed)
    return RunRecord(
        max_steps=100,
        train_step=steps,
        train_loss=rng.random(10),
        eval_step=steps,
        evals={"eval_accuracy": rng.random(10)},
        task="faults",
        seed=seed,
    )


def changed(content: bytes, rng: random.Random) -> bytes:
    """`content` with a piece written over, and sometimes cut."""
    at = rng.randrange(len(content))
    piece = rng.randbytes(rng.choice([1, 1, 1, 8, 300]))
    result = content[:at] + piece + content[at + len(piece) :]
    return result[: rng.randrange(len(result))] if rng.random() < 0.1 else result


def started(code: str, *arguments: Any, **environment: str) -> subprocess.Popen[str]:
    """A process of Python code, its standard output to be read."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
