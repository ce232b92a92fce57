"""`hf-ftrisk run --json`: one document on standard output, whatever the program prints."""

from __future__ import annotations

import json

import pytest

from hf_ftrisk.report import RiskReport
from tests.cli.test_json import valid
from tests.run.test_command import run

GIVEN = ["--json", "--history", "off", "--goal", "eval_accuracy>=0.6", "--action", "warn"]
LOUD = """\
import atexit
import os
from pathlib import Path
from tests.probing.models import bert_trainer
print("by print")
os.system("echo by a process")
atexit.register(print, "by atexit")
trainer = bert_trainer(Path("out"), max_steps=8, eval_strategy="steps", eval_steps=4)
trainer.train()
"""
BREAKING = """\
from transformers import TrainerCallback
class Breaks(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        1 / (6 - state.global_step)
"""


@pytest.mark.slow
def test_what_a_script_prints_is_apart_from_what_was_found_of_it(tmp_path):
    (tmp_path / "loud.py").write_text(LOUD)
    budget = ["--budget", "0.5", "--seeds", "1", "--report-dir", "reports"]
    done = run(*GIVEN, *budget, "loud.py", cwd=tmp_path)
    output = valid("run", done.stdout)
    assert output["status"] == done.returncode == 0, done.stderr
    [training] = output["trainings"]
    assert training["training"] == 1
    assert training["preflight"]["stage"] == "preflight"
    assert training["watch"]["run"]["train_step"][-1] == 8
    for stage in ("preflight", "watch"):
        saved = RiskReport.load(tmp_path / "reports" / f"{stage}.json")
        assert training[stage]["forecast"] == saved.to_dict()["forecast"]
    for said in ("by print", "by a process", "by atexit"):
        assert said in done.stderr


@pytest.mark.slow
def test_what_a_command_prints_is_apart_from_what_was_found_of_it(tmp_path):
    (tmp_path / "loud.py").write_text(LOUD)
    done = run(*GIVEN, "--no-preflight", "python", "loud.py", cwd=tmp_path)
    output = valid("run", done.stdout)
    assert output["status"] == done.returncode == 0, done.stderr
    [training] = output["trainings"]
    assert training["preflight"] is None
    assert training["watch"]["run"]["train_step"][-1] == 8
    assert "by a process" in done.stderr


@pytest.mark.slow
def test_of_a_training_that_breaks_off_there_is_what_was_found_until_then(tmp_path):
    (tmp_path / "breaks.py").write_text(
        BREAKING + LOUD.replace(".train()", ".add_callback(Breaks())\ntrainer.train()")
    )
    done = run(*GIVEN, "--no-preflight", "--report-dir", "reports", "breaks.py", cwd=tmp_path)
    output = valid("run", done.stdout)
    assert "ZeroDivisionError" in done.stderr
    assert output["status"] == done.returncode == 1
    [training] = output["trainings"]
    assert training["watch"]["run"]["status"] == "running"
    assert training["watch"]["run"]["eval_step"] == [4]


def test_of_a_program_that_trains_nothing_there_are_no_trainings(tmp_path):
    (tmp_path / "idle.py").write_text("import sys; print('idle'); sys.exit(7)")
    done = run("--json", "idle.py", cwd=tmp_path)
    assert valid("run", done.stdout) == {"status": 1, "trainings": []}
    assert done.returncode == 1
    assert "idle" in done.stderr


def test_the_first_of_several_ranks_prints_alone(tmp_path):
    (tmp_path / "idle.py").write_text("")
    printed = [run("--json", "idle.py", cwd=tmp_path, RANK=rank).stdout for rank in ("0", "1")]
    assert json.loads(printed[0])["status"] == 0
    assert printed[1] == ""
