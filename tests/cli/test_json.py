"""``--json``: what every command prints is what its shipped schema says."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator
from typer.main import get_command
from typer.testing import CliRunner

from hf_ftrisk.choosing import rank
from hf_ftrisk.cli.app import app
from hf_ftrisk.cli.outputs import FOLDER, schemas, written
from hf_ftrisk.replay.examples import load_example
from hf_ftrisk.report import RiskReport
from tests.choosing.simulated import Curves
from tests.cli.test_history import saved_report
from tests.history.records import make_record

REPO = "me/tiny"


def commands(of, *path):
    """Every command below one, as the words that call it -> its options."""
    if hasattr(of, "commands"):
        for name, command in of.commands.items():
            yield from commands(command, *path, name)
    else:
        yield path, {option for parameter in of.params for option in parameter.opts}


COMMANDS = dict(commands(get_command(app)))


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def stdout(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments]).stdout


def valid(name, output):
    """The parsed output, after its schema has accepted it."""
    data = json.loads(output)
    schema = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(data)
    return data


@pytest.fixture
def states(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    for name in ("sound", "stopped"):
        (folder / f"{name}.json").write_text(json.dumps(load_example(name).state))
    (folder / "odd.json").write_text("[]")
    return folder


def test_the_shipped_schemas_are_those_of_the_types():
    files = {file.stem: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.json")}
    assert files == {name: written(schema) for name, schema in schemas().items()}


def test_a_replayed_run_is_as_its_schema_says(states):
    command = ["replay", states / "stopped.json", "--json", "--goal", "eval_accuracy>=0.6"]
    data = valid("replay", run(*command, "--finish", "--compare", states / "sound.json"))
    assert data["good"] is False
    assert data["keep"]["step"] == 0


def test_a_replayed_folder_is_as_its_schema_says(states):
    data = valid("replay-folder", run("replay", states, "--json"))
    assert [one["name"] for one in data["refused"]] == ["odd.json"]


def test_doctor_is_as_its_schema_says():
    data = valid("doctor", run("doctor", "--json"))
    assert data["versions"]["numpy"]
    assert {extra["extra"] for extra in data["extras"]} >= {"train", "html"}


def test_history_commands_are_as_their_schemas_say(states, tmp_path, hub):
    runs, source = tmp_path / "runs.db", tmp_path / "source"
    for name in ("sound", "stopped"):
        (source / name).mkdir(parents=True)
        (source / name / "trainer_state.json").write_text((states / f"{name}.json").read_text())
    added = valid("history-import", run("history", "import", runs, source, "--task", "t", "--json"))
    assert (added["added"], added["known"]) == (2, 0)
    assert valid("history-list", run("history", "list", runs, "--json"))["runs"] == 2
    target = tmp_path / "runs.parquet"
    assert valid("history-export", run("history", "export", runs, target, "--json"))["runs"] == 2
    hub.make(REPO, {}, kind="dataset")
    pushed = valid("history-push", run("history", "push", runs, REPO, "--dry-run", "--json"))
    assert pushed["sent"] is False
    valid("history-push", run("history", "push", runs, REPO, "--json"))
    more = tmp_path / "more.db"
    pulled = valid("history-import", run("history", "pull", more, REPO, "--json"))
    assert pulled["added"] == 2


def test_the_history_kept_by_default_is_as_its_schema_says(states, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_FTRISK_HISTORY", str(tmp_path / "default.db"))
    assert json.loads(stdout("history", "--json")) == {"tasks": [], "runs": 0}
    (tmp_path / "trainer_state.json").write_text((states / "sound.json").read_text())
    run("history", "import", tmp_path / "default.db", tmp_path / "trainer_state.json")
    shown = stdout("history", "--json")
    assert valid("history-list", shown)["runs"] == 1
    assert shown == stdout("history", "list", "--json")


def test_json_before_a_command_of_history_is_told_to_go_behind_it(tmp_path):
    result = CliRunner().invoke(app, ["history", "--json", "list"])
    assert result.exit_code == 2
    assert "after 'list'" in result.output


def test_what_is_added_of_a_report_is_as_its_schema_says(tmp_path):
    saved = saved_report(tmp_path / "watch.json", run=make_record(3))
    added = run("history", "add", tmp_path / "runs.db", saved, "--json")
    assert valid("history-import", added)["added"] == 1


def test_a_line_of_what_is_followed_is_as_its_schema_says(tmp_path):
    state = tmp_path / "checkpoint-500" / "trainer_state.json"
    state.parent.mkdir()
    state.write_text(json.dumps(load_example("sound").state))
    assert valid("replay", run("follow", tmp_path, "--json"))["outcome"] > 0.9


def test_report_publish_and_card_are_as_their_schemas_say(report, tmp_path, hub):
    saved = report.save(tmp_path / "report.json")
    data = valid("report", run("report", saved, "--json"))
    assert data == RiskReport.load(saved).to_dict()
    hub.make(REPO, {"README.md": b"# Mine\n"})
    sent = valid("publish", run("publish", saved, REPO, "--no-figure", "--json"))
    assert sent["sent"] is True
    assert valid("card", run("card", REPO, "--json"))["verdict"] == "GO"


def test_a_ranking_whose_reports_are_missing_is_as_its_schema_says(tmp_path):
    command = ["rank", "--vary", "lr=1,2", "--goal", "eval_accuracy", "--folder", tmp_path]
    data = valid("rank", run(*command, "--collect", "--json", "train.py"))
    assert [entry["status"] for entry in data["entries"]] == ["open", "open"]


def test_a_ranking_is_as_its_schema_says(tmp_path):
    ends = {"a": 0.62, "b": 0.9, "c": None}
    makes = {name: lambda: None for name in ends}
    ranking = rank(makes, "eval_accuracy", engine=Curves(ends), folder=tmp_path)
    valid("rank", json.dumps(ranking.to_dict(), allow_nan=False))


def test_a_schema_refuses_a_field_that_it_does_not_name(states):
    data = json.loads(run("replay", states / "sound.json", "--json"))
    with pytest.raises(Exception, match="surprise"):
        valid("replay", json.dumps({**data, "surprise": 1}))


@pytest.mark.parametrize("command", [(), ("history",), *COMMANDS], ids=" ".join)
def test_every_command_has_an_example_in_its_help(command):
    output = run(*command, "--help")
    assert " ".join(("hf-ftrisk", *command)) in output.partition("Example")[2]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_what_it_found_as_json(command):
    assert "--json" in COMMANDS[command]


def test_a_shell_can_complete_commands(monkeypatch):
    monkeypatch.setenv("_HF_FTRISK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "hf-ftrisk rep")
    monkeypatch.setenv("COMP_CWORD", "1")
    result = CliRunner().invoke(app, [], prog_name="hf-ftrisk")
    assert {"replay", "report"} <= set(result.output.split())
