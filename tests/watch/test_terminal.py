"""What a person sees on a terminal of 80 columns."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.watch.tiny import bert_trainer
callback = FineTuneRiskCallback("eval_loss<=0.1")
bert_trainer(Path(sys.argv[1]), callbacks=[callback], disable_tqdm=False).train()
"""


def screen(command: list[str], kind: str = "dumb") -> list[str]:
    """Lines that a command leaves on a terminal of a kind."""
    return drawn(written(command, kind))


def written(command: list[str], kind: str) -> str:
    """All that a command writes to a terminal, with what moves the cursor."""
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


@pytest.mark.slow
def test_looks_and_report_are_not_torn_by_the_progress_bar(tmp_path: Path):
    lines = screen([sys.executable, "-c", SCRIPT, str(tmp_path)])
    looks = [line for line in lines if "[ftrisk " in line]
    assert len(looks) >= 5
    assert all(line.startswith("[ftrisk ") and len(line) <= 80 for line in looks)
    top = next(i for i, line in enumerate(lines) if "Watched run" in line)
    bottom = next(i for i, line in enumerate(lines) if "╰" in line)
    assert lines[top].startswith("╭─ Watched run ─")
    page = lines[top : bottom + 1]
    assert all(len(line) == 80 for line in page)
    assert all(line[0] in "╭│╰" and line[-1] in "╮│╯" for line in page)
    # Why the rule stops nothing stands there once.
    said = " ".join(line.strip("│ ") for line in page).lower()
    assert said.count("the rule cannot stop yet") == 1


@pytest.mark.slow
def test_on_a_terminal_looks_take_turns_in_one_line_below_the_progress_bar(tmp_path: Path):
    text = written([sys.executable, "-c", SCRIPT, str(tmp_path)], "xterm-256color")
    said = re.findall(r"\[ftrisk \d+/40\]", text)
    assert len(set(said)) >= 5
    assert all(sum(map(is_look, shown)) <= 1 for shown in moments(text))
    lines = drawn(text)
    (last,) = (line for line in lines if is_look(line))  # the others have left the screen
    assert last.startswith(said[-1])
    assert len(last) <= 80
    page = lines[next(i for i, line in enumerate(lines) if "Watched run" in line) :]
    assert page[0].startswith("╭─ Watched run ─")
    assert lines.index(last) < lines.index(page[0])


def is_look(line: str) -> bool:
    return bool(re.match(r"\[ftrisk \d+/", line))


def moments(text: str) -> list[list[str]]:
    """The screen as it stood after each time a forecast was shown."""
    ends = [found.end() for found in re.finditer(r"\[ftrisk \d+/40\][^\r\n\x1b]*", text)]
    return [drawn(text[:end]) for end in ends]
