"""`hf-ftrisk report` and `hf-ftrisk publish`."""

import json

import pytest
from typer.testing import CliRunner

from hf_ftrisk.cli.app import app
from hf_ftrisk.report import RiskReport
from tests.local_hub import READER, WRITER

REPO = "me/tiny"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def saved(report, tmp_path):
    return report.save(tmp_path / "report.json")


def test_report_shows_a_saved_report(run, saved):
    result = run("report", saved)
    assert result.exit_code == 0
    assert "eval_accuracy at least 0.85" in result.output
    assert run("report", saved, "--markdown").output == RiskReport.load(saved).to_markdown()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format_version": 1}', None])
def test_what_is_no_report_is_wrong_usage(run, tmp_path, content):
    path = tmp_path / "odd.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    for command in (["report", path], ["publish", path, REPO]):
        result = run(*command)
        assert result.exit_code == 2
        assert "odd.json" in result.output or "format_version" in result.output


def test_publish_commits_and_says_where(hub, run, saved):
    hub.make(REPO, {"README.md": b"# Mine\n"})
    result = run("publish", saved, REPO, "--no-figure")
    assert result.exit_code == 0
    head = hub.repos["model", REPO].history()[0]
    assert result.output.splitlines()[-1] == f"{hub.url}/{REPO}/commit/{head.oid}"
    assert "ftrisk/report.json" in result.output
    assert b"Fine-tuning risk" in head.files["README.md"]
    again = run("publish", saved, REPO, "--no-figure", "--dry-run")
    assert again.output.startswith("the card stays as it is\n")


def test_publish_dry_run_shows_the_change(hub, run, saved):
    hub.make(REPO, {"README.md": b"# Mine\n"})
    result = run("publish", saved, REPO, "--dry-run", "--no-figure")
    assert result.exit_code == 0
    assert "\n+  verdict:" in result.output
    assert result.output.endswith("nothing was sent\n")
    assert len(hub.repos["model", REPO].history()) == 1


def test_publish_options_reach_the_hub(hub, run, saved):
    assert run("publish", saved, REPO, "--private", "--no-figure").exit_code == 0
    repo = hub.repos["model", REPO]
    assert repo.private is True
    repo.branches["v2"] = repo.history()[-1].oid
    result = run("publish", saved, REPO, "--create-pr", "--revision", "v2", "--no-figure")
    assert result.output.splitlines()[-1].endswith("/discussions/1")
    assert "refs/pr/1" in repo.branches


def test_a_hub_that_refuses_is_status_1_and_leaves_the_files(
    hub, run, saved, tmp_path, monkeypatch
):
    hub.make(REPO)
    monkeypatch.setenv("HF_TOKEN", READER)
    result = run("publish", saved, REPO, "--no-figure")
    assert result.exit_code == 1
    assert "may not write here" in result.output
    assert READER not in result.output
    kept = tmp_path / "ftrisk" / "unsent" / "me--tiny"
    assert json.loads((kept / "ftrisk" / "report.json").read_bytes())["verdict"] == "GO"


def test_no_command_takes_a_token_on_the_command_line(run, saved):
    """Arguments are seen by every user of a machine and stay in the shell's history."""
    for command in (["publish", saved, REPO], ["history", "push", "runs.db", REPO]):
        result = run(*command, "--token", WRITER)
        assert result.exit_code == 2
        assert "No such option" in result.output
