"""Paths that can be nothing: every command that takes one says so."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from hf_ftrisk.cli.app import app

LONG = "a" * 5000
# More than any command reads; a hole in a file takes no space on the disk.
HUGE_BYTES = 1 << 40


@pytest.mark.parametrize(
    "command",
    [
        ["replay", LONG],
        ["report", LONG],
        ["publish", LONG, "me/tiny", "--dry-run"],
        ["card", LONG],
        ["follow", LONG],
        ["history", "list", LONG],
        ["history", "add", "runs.db", LONG],
        ["history", "import", "runs.db", LONG],
        ["history", "export", LONG, "runs.parquet"],
    ],
    ids=" ".join,
)
def test_a_name_too_long_for_any_file_is_told(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "File name too long" in result.output.replace("\n", " ")


@pytest.mark.parametrize(
    "command",
    [
        ["replay", "huge"],
        ["report", "huge"],
        ["publish", "huge", "me/tiny", "--dry-run"],
        ["card", "huge"],
        ["history", "add", "runs.db", "huge"],
        ["history", "import", "runs.db", "huge.parquet"],
    ],
    ids=" ".join,
)
@pytest.mark.timeout(60)
def test_a_file_too_large_for_any_memory_is_told_and_not_read(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    for name in ("huge", "huge.parquet"):
        with open(name, "wb") as file:
            file.truncate(HUGE_BYTES)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    words = " ".join(result.output.replace("\u2502", " ").split())
    assert "1,099,511,627,776 bytes, more than" in words
