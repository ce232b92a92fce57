"""A real terminal of 80 columns, and what stands on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]


def screen(command: list[str], kind: str = "dumb") -> list[str]:
    """Lines that a command leaves on a terminal of a kind."""
    return drawn(written(command, kind))


def written(
    command: list[str], kind: str, meanwhile: Callable[[str], None] = lambda _: None
) -> str:
    """All that a command writes to a terminal, with what moves the cursor.

    Args:
        command: what is run.
        kind: name of the terminal's kind, as in ``TERM``.
        meanwhile: called with all that was written so far, after each part of it.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    environment |= {"TERM": kind, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT) as run:
        os.close(theirs)
        raw = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # how a terminal ends on Linux
                break
            raw += part
            meanwhile(raw.decode(errors="replace"))
        os.close(ours)
    assert run.returncode == 0, raw.decode()
    return raw.decode()


def drawn(text: str) -> list[str]:
    """What stands on the screen in the end: rows are overwritten, and the cursor may go up."""
    rows, row, column = [""], 0, 0
    for piece in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", text):
        if piece == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        elif piece == "\r":
            column = 0
        elif piece == "\x1b[A":
            row = max(row - 1, 0)
        elif piece[0] != "\x1b":
            before = rows[row].ljust(column)
            rows[row] = before[:column] + piece + before[column + len(piece) :]
            column += len(piece)
    return [line.rstrip() for line in rows]
