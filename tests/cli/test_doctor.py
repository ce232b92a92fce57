"""`hf-ftrisk doctor`: what a person reads is what `--json` holds."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from hf_ftrisk.cli.app import app


def test_the_words_name_every_version_that_the_json_has():
    data = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    words = " ".join(CliRunner().invoke(app, ["doctor"]).stdout.split())
    assert data["versions"]["numpy"]
    for name, number in data["versions"].items():
        assert f"{name} {number}" in words
