"""What a person sees on a terminal of 80 columns."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.terminals import drawn, screen, written

SCRIPT = """
import sys
from pathlib import Path
from hf_ftrisk.goal import Goal
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.watch.tiny import bert_trainer
# A number of no known range: without completed runs of the task nothing ends it.
callback = FineTuneRiskCallback(Goal("eval_loss", 0.1, greater_is_better=False, kind="real"))
bert_trainer(Path(sys.argv[1]), callbacks=[callback], disable_tqdm=False).train()
"""


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
    ends = [match.end() for match in re.finditer(r"\[ftrisk \d+/40\][^\r\n\x1b]*", text)]
    return [drawn(text[:end]) for end in ends]
