"""What `hf-ftrisk run` says: on standard error, since a program's standard output is its own."""

from __future__ import annotations

import os
import sys


def say(message: str) -> None:
    """Print a message, each of its lines under our name."""
    for line in message.splitlines():
        print(f"hf-ftrisk: {line}", file=sys.stderr, flush=True)


def is_first_process() -> bool:
    """Whether this is the first of the processes that a launcher started together."""
    return os.environ.get("RANK", "0") == "0"
