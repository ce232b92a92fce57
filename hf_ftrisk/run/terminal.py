"""Who prints where: `hf-ftrisk run` on standard error, the program on its own standard output."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def say(message: str) -> None:
    """Print a message, each of its lines under our name."""
    for line in message.splitlines():
        print(f"hf-ftrisk: {line}", file=sys.stderr, flush=True)


def stdout_apart() -> TextIO:
    """Standard output, which is ours alone from now on.

    What the program prints there, its processes and ``atexit`` functions included, goes to standard
    error: the descriptor is changed, for as long as this process lasts.
    """
    sys.stdout.flush()
    ours = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return ours


def is_first_process() -> bool:
    """Whether this is the first of the processes that a launcher started together."""
    return os.environ.get("RANK", "0") == "0"
