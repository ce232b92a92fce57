"""Scripts as candidates: the unchanged script, one process each."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hf_ftrisk.choosing.commands import varied
from hf_ftrisk.cli.app import app

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
    found = varied(["lr=1,2", "--model=a,b"], ["train.py", "--x", "y"])
    assert list(found) == ["lr=1 model=a", "lr=1 model=b", "lr=2 model=a", "lr=2 model=b"]
    assert found["lr=2 model=a"] == ["train.py", "--x", "y", "--lr", "2", "--model", "a"]


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
    assert "no such model" in done.output


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
    assert "1 reports missing" in collected.output
