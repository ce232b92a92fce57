"""Lines that a watched run says, and where on a terminal those stand that the next one replaces."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TextIO

from tqdm import tqdm


@dataclass(frozen=True)
class Line:
    """A line for the user.

    Args:
        text: what is said.
        passing: a forecast on the way, which the next one replaces where it can.
    """

    text: str
    passing: bool = False


class StatusLine:
    """One line of a terminal, below the Trainer's progress bar.

    It is a bar of tqdm without a bar: whatever is written past tqdm's bars clears and redraws it.

    Args:
        stream: the terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        # Opened before the Trainer has a bar, which takes the first row; later bars stand below.
        self._row = tqdm(file=stream, bar_format="{desc}", position=1, leave=False, total=0)
        self._last = ""

    def show(self, text: str) -> None:
        """Replace the line."""
        self._last = text
        self._row.set_description_str(text)

    def close(self) -> str:
        """Take the line away; what it said last."""
        self._row.close()
        return self._last


def status_line(stream: TextIO) -> StatusLine | None:
    """A status line on a terminal whose cursor can be moved, else None: a line for each look."""
    if not stream.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return None
    return StatusLine(stream)
