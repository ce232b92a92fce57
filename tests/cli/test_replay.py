"""`hf-ftrisk replay`: examples, the Hub, and what goes to a pipe."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hf_ftrisk.cli.app import app
from hf_ftrisk.record.state_file import STATE_FILE
from hf_ftrisk.replay.examples import NAMES, load_example

REPO = "me/tiny"


def run(*arguments):
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


def test_examples_are_listed_and_replayed_by_name():
    listed = run("--example")
    assert listed.exit_code == 0
    assert all(name in listed.output for name in NAMES)
    assert "example wrong: finished" in run("--example", "wrong").output


def test_the_run_that_cannot_move_says_why_it_is_not_stopped_and_what_to_read_first():
    output = " ".join(run("--example", "stuck").output.split())
    assert "stopped: never. P(eval_accuracy > 0.03516) = 0.000" in output
    assert "this one began far below its trivial baseline" in output
    assert "Read 50 training rows with their labels first" in output


@pytest.fixture
def checkpoint(tmp_path):
    """A Trainer's output folder with one checkpoint, as a Trainer leaves it."""
    folder = tmp_path / "out" / "checkpoint-500"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps(load_example("stopped").state))
    (folder / "config.json").write_text('{"model_type": "bert"}')
    return folder


@pytest.mark.parametrize("given", [Path(), Path("checkpoint-500")])
def test_a_folder_of_one_run_shows_that_run(checkpoint, given):
    output = run(checkpoint.parent / given).output
    assert "checkpoint-500/trainer_state.json: finished, step 500 of 500" in output
    assert "config.json" not in output


def test_a_checkpoint_folder_is_one_run_in_json_too(checkpoint):
    file, folder = (run(place, "--json").output for place in (checkpoint / STATE_FILE, checkpoint))
    assert folder == file
    assert json.loads(folder)["last_step"] == 500


def test_a_checkpoint_folder_is_set_beside_another_run(checkpoint):
    output = run(checkpoint, "--compare", checkpoint.parent).output
    assert "compared with checkpoint-500/trainer_state.json" in output


def test_a_folder_of_several_runs_cannot_be_set_beside_one(checkpoint):
    for name in ("a", "b"):
        copied = checkpoint.parent / name
        copied.mkdir()
        (copied / STATE_FILE).write_text((checkpoint / STATE_FILE).read_text())
    result = run(checkpoint.parent, "--compare", checkpoint)
    assert result.exit_code == 2
    assert "holds 3: name the folder or file of one" in " ".join(words(result.output))


def test_a_goal_that_a_finished_run_never_evaluated_is_refused_with_those_it_has(checkpoint):
    result = run(checkpoint, "--goal", "eval_acc")
    assert result.exit_code == 2
    said = " ".join(words(result.output))
    assert "never evaluated 'eval_acc': choose one of ['eval_accuracy'," in said


def words(output):
    """The words of a message, without the box around it."""
    return output.replace("│", " ").split()


def test_without_anything_to_replay_the_next_command_is_named():
    result = run()
    assert result.exit_code == 2
    assert "hf-ftrisk replay --example" in result.output.replace("\n", " ")


def test_a_pipe_gets_neither_plot_nor_color():
    output = run("--example", "sound").output
    assert "┤" not in output
    assert "\x1b" not in output


def test_the_states_and_the_card_of_a_hub_repository_are_read(hub):
    state = json.dumps(load_example("sound").state).encode()
    hub.make(
        REPO,
        {"README.md": b"# Mine\n", "last-checkpoint/trainer_state.json": state},
    )
    result = run(REPO)
    assert result.exit_code == 0, result.output
    assert "me/tiny on the Hub" in result.output
    assert "The card holds no prediction." in result.output
    assert "step 1500 of 1500" in result.output


def test_a_repository_without_states_says_what_to_look_at(hub):
    hub.make(REPO, {"README.md": b"# Mine\n"})
    result = run(REPO)
    assert result.exit_code == 1
    assert "hf-ftrisk card me/tiny" in result.output


@pytest.mark.parametrize("name", ["no/such/file.json", "nothing.json"])
def test_a_file_that_is_not_there_is_wrong_usage(name):
    assert run(name).exit_code == 2


@pytest.mark.parametrize(
    ("command", "next_command"),
    [
        (["replay", "none.json"], "hf-ftrisk replay --example sound"),
        (["report", "none.json"], "hf-ftrisk run --report-dir"),
        (["publish", "none.json", "me/tiny"], "hf-ftrisk run --report-dir"),
    ],
)
def test_a_file_that_is_not_there_is_told_in_words_with_the_next_command(command, next_command):
    result = CliRunner().invoke(app, command)
    said = " ".join(result.output.split())
    assert "no such file or folder: none.json" in said
    assert next_command in said
    assert "Errno" not in said


@pytest.mark.parametrize("command", ["follow", "run"])
def test_paragraphs_of_a_help_text_fill_their_lines(command):
    text = CliRunner().invoke(app, [command, "--help"]).output.partition("╭")[0]
    paragraphs = [part.splitlines() for part in re.split(r"\n\s*\n", text.strip())]
    inner = [line for lines in paragraphs for line in lines[:-1]]
    assert all(len(line.rstrip()) > 60 for line in inner), inner


def test_the_command_that_needs_a_file_alone_stands_first():
    box = CliRunner().invoke(app, ["--help"]).output.partition("Commands")[2]
    assert re.findall(r"^│ (\w+) ", box, re.MULTILINE)[:3] == ["replay", "follow", "run"]


def flat(output):
    """The text of a command without its frame and line ends."""
    return " ".join(re.sub(r"[\u2500-\u257f]", " ", output).split())


@pytest.mark.parametrize(
    ("asked", "words"), [(1000, "the file plans 500 steps"), (100, "the file holds 500 steps")]
)
def test_planned_steps_that_a_state_contradicts_are_told_and_not_used(checkpoint, asked, words):
    output = flat(run(checkpoint, "--max-steps", asked).output)
    assert "step 500 of 500" in output
    assert f"{words}, and is read as a run of as many: --max-steps {asked}" in output


def test_planned_steps_of_a_state_that_does_not_say_them_are_those_given(checkpoint):
    file = checkpoint / STATE_FILE
    state = json.loads(file.read_text())
    file.write_text(json.dumps({"log_history": state["log_history"]}))
    output = flat(run(file, "--max-steps", 1000).output)
    assert "running, step 500 of 1000" in output
    assert "--max-steps" not in output


def test_planned_steps_below_those_of_a_table_are_told(tmp_path):
    file = tmp_path / "run.csv"
    file.write_text("step,loss,eval_accuracy\n50,1.0,0.5\n100,0.9,0.6\n")
    assert "the file holds 100 steps" in flat(run(file, "--max-steps", 40).output)
    assert "--max-steps" not in flat(run(file, "--max-steps", 400).output)


def test_a_folder_in_place_of_the_page_is_named_with_what_to_give(checkpoint, tmp_path):
    result = run(checkpoint, "--html", tmp_path)
    assert result.exit_code == 2
    words = re.sub(r"\s", "", flat(result.output))
    assert f"{tmp_path}isafolder:--htmltakesthefiletowrite" in words
    assert "Errno" not in words


def test_a_page_below_a_file_is_told_by_its_own_name(checkpoint):
    target = checkpoint / STATE_FILE / "page.html"
    words = re.sub(r"\s", "", flat(run(checkpoint, "--html", target).output))
    assert str(target) in words
    assert ".tmp" not in words
    assert "Errno" not in words


def test_a_line_end_in_the_name_of_a_run_breaks_no_table(checkpoint):
    for name in ("a\nb", "c\x1b[31md"):
        folder = checkpoint.parent.parent / name
        folder.mkdir()
        (folder / STATE_FILE).write_bytes((checkpoint / STATE_FILE).read_bytes())
    (checkpoint.parent.parent / "e\nf.json").write_text("{}")
    result = run(checkpoint.parent.parent)
    table = result.output.split("\n\n")[0].splitlines()
    assert len(table) == 4
    assert {line.split("eval_")[0].strip() for line in table[1:]} >= {
        f"a b/{STATE_FILE}",
        f"c[31md/{STATE_FILE}",
    }
    assert "left out e f.json: e f.json is not a trainer state" in result.output


@pytest.mark.parametrize("off", ["off", "OFF"])
def test_a_history_that_is_off_is_none(checkpoint, off):
    assert run(checkpoint, "--history", off).output == run(checkpoint).output


def test_the_history_kept_by_default_is_named_by_default(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_FTRISK_HISTORY", str(tmp_path / "mine.db"))
    assert "mine.db" in flat(run(checkpoint, "--history", "default").output)
    monkeypatch.setenv("HF_FTRISK_HISTORY", "off")
    assert run(checkpoint, "--history", "default").exit_code == 0
