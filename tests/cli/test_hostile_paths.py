"""Paths that can be nothing: every command that takes one says so."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from hf_ftrisk.cli.app import app

LONG = "a" * 5000


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
