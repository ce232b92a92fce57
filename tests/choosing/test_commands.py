"""Scripts as candidates: the unchanged script, one process each."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hf_ftrisk.choosing import run_study
from hf_ftrisk.choosing.child import report_of
from hf_ftrisk.choosing.commands import collect, emitted, varied
from hf_ftrisk.choosing.options import RankOptions
from hf_ftrisk.choosing.orders import Order
from hf_ftrisk.choosing.study import Study
from hf_ftrisk.cli.app import app
from hf_ftrisk.goal import Goal
from hf_ftrisk.jsonfile import read_json
from tests.choosing.simulated import Curves

ROOT = Path(__file__).parents[2]

SCRIPT = """
import argparse
from pathlib import Path
from tests.watch.tiny import bert_trainer
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--broken", default="no")
options = parser.parse_args()
if options.broken == "yes":
    raise SystemExit("no such model")
trainer = bert_trainer(Path({folder!r}) / "own", learning_rate=options.rate)
trainer.train()
print("the script's end", trainer.state.global_step)
"""


def test_all_combinations_are_candidates_in_the_order_given() -> None:
    programs = varied(["lr=1,2", "--model=a,b"], ["train.py", "--x", "y"])
    assert list(programs) == ["lr=1 model=a", "lr=1 model=b", "lr=2 model=a", "lr=2 model=b"]
    assert programs["lr=2 model=a"] == ["train.py", "--x", "y", "--lr", "2", "--model", "a"]


@pytest.mark.parametrize(
    "options", [[], ["lr"], ["lr="], ["lr=1,,2"], ["=1"], ["lr=1,1"], ["lr=1", "lr=2"]]
)
def test_a_variation_that_is_none_is_refused(options: list[str]) -> None:
    with pytest.raises(ValueError, match="--vary"):
        varied(options, ["train.py"])


def test_what_excludes_each_other_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["rank", "--vary", "lr=1,2", "--go", "--emit", "--folder", str(tmp_path), "x.py"]
    )
    assert done.exit_code == 2
    assert "exclude each other" in done.output


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "train.py"
    path.write_text(SCRIPT.format(folder=str(tmp_path)))
    return path


def _arguments(script: Path, *more: str, vary: str = "rate=5e-2,1e-7") -> list[str]:
    return ["rank", "--vary", vary, "--goal", "eval_accuracy", *more, str(script)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_script_is_ranked_and_its_winner_run_on_to_the_end(
    script: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = CliRunner().invoke(app, _arguments(script, "--jobs", "2", "--budget", "0.6", "--go"))
    assert done.exit_code == 0, done.output
    assert "rate=5e-2 chosen among 2" in done.output
    assert f"python {script} --rate 5e-2" in done.output
    assert "the script's end 40" in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_script_that_fails_is_told_and_the_others_are_ranked(script: Path) -> None:
    arguments = _arguments(script, "--jobs", "2", vary="broken=yes,no")
    done = CliRunner().invoke(app, [*arguments, "--rate", "1e-2"])
    assert done.exit_code == 0, done.output
    assert "broken=no chosen among 2" in done.output
    assert "status 1: no such model (see" in done.output


def test_rounds_of_emitted_orders_come_to_the_ranking_of_one_process(tmp_path: Path) -> None:
    """Each round is written, carried out elsewhere and collected by a process that begins anew."""
    ends: dict[str, float | None] = {"a": 0.62, "b": 0.9, "c": 0.7, "d": 0.8}
    programs = {name: ["train.py", "--name", name] for name in ends}
    options = RankOptions(Goal("accuracy"), budget=0.4, at_once=len(ends))

    def opened(folder: str) -> Study:
        return Study.open(tuple(ends), options, tmp_path / folder)

    engine, lost = Curves(ends), ["c"]  # whose job does not come to its end at first
    while commands := emitted(opened("far"), programs):
        missing = 0
        for path in (Path(shlex.split(command)[3]) for command in commands):
            order = Order.from_dict(read_json(path))
            if order.name in lost:
                lost.remove(order.name)
                missing += 1
                continue
            (reached,) = engine.carry_out([order])
            report_of(path).write_text(json.dumps(reached.to_dict()))
        assert collect(opened("far")) == missing
    whole = run_study(opened("near"), Curves(ends))
    far = opened("far").ranking()
    assert [(e.name, e.step, e.prob_best) for e in far.entries] == [
        (e.name, e.step, e.prob_best) for e in whole.entries
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_emitted_commands_are_run_elsewhere_and_collected(script: Path) -> None:
    emitted = CliRunner().invoke(app, _arguments(script, "--emit"))
    commands = emitted.output.splitlines()
    assert len(commands) == 2
    first = subprocess.run(
        [sys.executable, *shlex.split(commands[0])[1:]],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert first.returncode == 0, first.stderr
    collected = CliRunner().invoke(app, _arguments(script, "--collect"))
    assert "1 report is still missing" in collected.output
