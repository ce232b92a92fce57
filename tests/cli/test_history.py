"""`hf-ftrisk history`: runs in, out and shared."""

import dataclasses

import pytest
from typer.testing import CliRunner

from hf_ftrisk.cli.app import app
from hf_ftrisk.goal import Goal
from hf_ftrisk.history import RunHistory
from hf_ftrisk.report import Cost, RiskReport
from hf_ftrisk.verdict import Verdict
from tests.history.records import make_record
from tests.history.test_run_history import write_state

REPO = "team/runs"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, status=0):
        result = CliRunner().invoke(app, ["history", *map(str, arguments)])
        assert result.exit_code == status, result.output
        return result.output

    return run


def saved_report(path, **fields):
    goal = Goal("accuracy", target=0.8)
    report = RiskReport(goal, Verdict.GO, (), Cost(full_steps=30), stage="watch", **fields)
    return report.save(path)


def test_add_takes_the_runs_of_reports(run, tmp_path):
    path = saved_report(tmp_path / "watch.json", run=make_record(3))
    assert run("add", "runs.db", path) == "1 added, 0 known already\n"
    assert run("add", "runs.db", path, path) == "0 added, 2 known already\n"
    assert [record.seed for record in RunHistory(tmp_path / "runs.db")] == [3]


def test_add_refuses_a_report_without_a_finished_run(run, tmp_path):
    none = saved_report(tmp_path / "preflight.json")
    assert "holds no run" in run("add", "runs.db", none, status=2)
    running = dataclasses.replace(make_record(), status="running")
    assert "running" in run("add", "runs.db", saved_report(none, run=running), status=2)


def test_import_list_and_export(run, tmp_path):
    write_state(tmp_path / "outputs" / "a", 30)
    write_state(tmp_path / "outputs" / "b", 20)
    output = run("import", "runs.db", "outputs", "--task", "sst2", status=1)
    assert output.splitlines()[0] == "1 added, 0 known already, 1 refused"
    assert "refused b/trainer_state.json: ends at step 20 of 30" in output
    assert run("export", "runs.db", "runs.parquet") == "1 runs in runs.parquet\n"
    assert run("import", "more.db", "runs.parquet") == "1 added, 0 known already\n"
    RunHistory("more.db").add(make_record(task="a\x1b[31m\nb"))
    assert run("list", "more.db").splitlines() == [
        "     1  a[31m b  (recorded here)",
        "     1  sst2     runs.parquet",
        "     2  runs in all",
    ]
    assert "leave --task out" in run("import", "x.db", "runs.parquet", "--task", "y", status=2)


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_the_status_of_an_import_says_whether_something_was_refused(run, tmp_path, form):
    write_state(tmp_path / "outputs" / "a", 30)
    (tmp_path / "outputs" / "b").mkdir()
    (tmp_path / "outputs" / "b" / "trainer_state.json").write_text("{")
    output = run("import", "runs.db", "outputs/b/trainer_state.json", *form, status=2)
    assert "trainer_state.json" in output
    for _ in ("new", "known already"):
        assert "b/trainer_state.json" in run("import", "runs.db", "outputs", *form, status=1)
    assert len(RunHistory("runs.db")) == 1
    run("import", "runs.db", "outputs/a", *form)


def test_of_several_reports_the_refused_one_is_named_and_none_is_added(run, tmp_path):
    good = saved_report(tmp_path / "good.json", run=make_record(3))
    running = dataclasses.replace(make_record(), status="running")
    for name, held in (("running", running), ("none", None)):
        saved_report(tmp_path / f"{name}.json", run=held)
        assert f"{name}.json" in run("add", "runs.db", good, f"{name}.json", status=2)
    assert not (tmp_path / "runs.db").exists() or len(RunHistory("runs.db")) == 0


def test_a_typing_error_creates_no_file(run, tmp_path):
    for command in (["list", "no.db"], ["export", "no.db", "x.parquet"], ["push", "no.db", REPO]):
        assert "no run history at no.db" in run(*command, status=2)
    assert "no such file or folder" in run("import", "no.db", "nowhere", status=2)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_run_is_bad_input_and_creates_no_file(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "outputs" / "a").mkdir(parents=True)
    (tmp_path / "outputs" / "a" / "state.json").write_text("{}")
    output = run("import", "no.db", "outputs", status=2)
    assert "no run in outputs: neither it nor a folder below it has a trainer_state.json" in output
    assert not (tmp_path / "no.db").exists()


def test_push_and_pull(hub, run):
    RunHistory("mine.db").add(make_record(0)).add(make_record(1, task="rte"))
    output = run("push", "mine.db", REPO, "--private", "--dry-run")
    assert output.endswith("2 runs to add, 0 known already\nnothing was sent\n")
    assert hub.repos == {}
    output = run("push", "mine.db", REPO, "--private", "--task", "rte")
    assert output.splitlines()[-1].startswith(f"{hub.url}/datasets/{REPO}/commit/")
    assert run("pull", "theirs.db", REPO) == "1 added, 0 known already\n"
    again = run("push", "mine.db", REPO, "--task", "rte")
    assert again == "0 runs to add, 1 known already\nnothing to send\n"


def test_a_hub_that_fails_is_status_1(hub, run):
    assert "no such repository" in run("pull", "theirs.db", REPO, status=1)


@pytest.mark.parametrize("command", [[], ["list"]])
def test_without_a_file_the_default_one_is_shown(run, tmp_path, monkeypatch, command):
    assert "no run is remembered by default" in run(*command)
    file = tmp_path / "runs.db"
    monkeypatch.setenv("HF_FTRISK_HISTORY", str(file))
    assert f"no run is remembered yet; completed ones will be in {file}" in run(*command)
    RunHistory(file).add(make_record())
    shown = run(*command)
    assert str(file) in shown
    assert "1  sst2  (recorded here)" in shown


def test_swapped_arguments_of_an_import_are_told_and_leave_nothing(run, tmp_path):
    write_state(tmp_path / "outputs" / "a", 30)
    RunHistory("runs.db").add(make_record())
    state = "outputs/a/trainer_state.json"
    words = " ".join(run("import", state, "runs.db", status=2).replace("\u2502", " ").split())
    assert "runs.db is a history itself, and the history to add to comes first" in words
    assert "not a run history" in run("import", state, "outputs", status=2)
    assert [file.name for file in (tmp_path / "outputs" / "a").iterdir()] == ["trainer_state.json"]
