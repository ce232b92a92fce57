"""`hf-ftrisk card`: the prediction in a card, in words."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from hf_ftrisk.cli.app import app
from hf_ftrisk.hub import publish
from hf_ftrisk.hub.parts import build_parts

REPO = "me/tiny"


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, ["card", *map(str, arguments)])


def test_prediction_and_outcome_of_a_file(run, make_report, tmp_path):
    card = build_parts(make_report(outcome=0.871), figure=False).merged_into(None, title="t")
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    result = run(tmp_path)
    assert result.exit_code == 0, result.output
    rows = dict(line.split("  ", 1) for line in result.output.splitlines())
    rows = {label: text.strip() for label, text in rows.items()}
    assert rows["Verdict"] == "GO, predicted before the run"
    assert rows["Goal"] == "eval_accuracy at least 0.85"
    assert rows["Forecast"].startswith("0.8")
    assert "after 120 of 1,000 steps (90 % interval 0.8" in rows["Forecast"]
    assert rows["Outcome"] == "0.871, inside the interval predicted after 120 steps; goal met"
    assert rows["Diagnoses"] == "too_few_steps"


def test_a_model_on_the_hub_as_json(hub, run, report):
    hub.make(REPO)
    publish(report, REPO, figure=False)
    result = run(REPO, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["goal"]["metric"] == "eval_accuracy"


def test_a_card_without_a_prediction_is_wrong_usage(run, tmp_path):
    (tmp_path / "README.md").write_text("# Mine\n", encoding="utf-8")
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "holds no prediction" in result.output


def test_a_hub_without_such_a_model_is_status_1(hub, run):
    assert run("me/nowhere").exit_code == 1
