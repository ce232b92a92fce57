"""What a watched run says: its lines, what its report notes, and a terminal's status line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TextIO

from tqdm import tqdm

from hf_ftrisk.text import clause, sentence


@dataclass(frozen=True)
class Line:
    """A line for the user.

    Args:
        text: what is said.
        passing: a forecast on the way, which the next one replaces where it can.
    """

    text: str
    passing: bool = False


class Notices:
    """What a watched run says while it trains, and what its report says of it.

    Args:
        silent: no line is given to the user: another rank says them.

    Attributes:
        notes: sentences for the report.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.notes: list[str] = []
        self._silent = silent
        self._lines: list[Line] = []
        self._told: set[str] = set()

    def say(self, text: str, *, passing: bool = False) -> None:
        """A line for the user; a passing one is replaced by the next."""
        self._lines.append(Line(text, passing))

    def tell(self, text: str) -> None:
        """A line, and a note of the report that says the same."""
        self.notes.append(sentence(text))
        self.say(f"[ftrisk] {clause(text)}")

    def is_first(self, kind: str) -> bool:
        """Whether a notice of this kind is the run's first, which alone is given."""
        first = kind not in self._told
        self._told.add(kind)
        return first

    def lines(self) -> list[Line]:
        """The lines since the last call."""
        lines, self._lines = self._lines, []
        return [] if self._silent else lines


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
