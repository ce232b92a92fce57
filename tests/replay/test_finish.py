"""Replay shows where a run would have been finished, and what that would have given up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hf_ftrisk.cli.app import app
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.replay.finish import replay_finish

# Rises, lies flat from a quarter of the run on, and gains two points at its very end.
FLAT = [0.50, 0.70, 0.78, 0.80, 0.81, *[0.81, 0.80] * 7, 0.81]


def state(values: list[float], **fields: Any) -> dict[str, Any]:
    log = [
        {
            "step": 10 * (i + 1),
            "epoch": float(i + 1),
            "eval_accuracy": value,
            "eval_loss": 1 - value,
        }
        for i, value in enumerate(values)
    ]
    steps = 10 * len(values)
    return {"global_step": steps, "max_steps": steps, "log_history": log, **fields}


def replayed(folder: Path, values: list[float], *options: str) -> dict[str, Any]:
    file = folder / "trainer_state.json"
    file.write_text(json.dumps(state(values)))
    result = CliRunner().invoke(app, ["replay", str(file), "--json", *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_flat_run_is_finished_and_gives_up_what_came_later(tmp_path: Path):
    replay = replayed(tmp_path, [*FLAT[:-1], 0.83], "--finish", "--tolerance", "0.01")
    assert 20 <= replay["finished_at"] < 200
    assert replay["given_up"] == pytest.approx(0.02)
    assert replay["finished_by"] == "eval_accuracy"


def test_a_run_that_climbs_to_its_end_is_not_finished(tmp_path: Path):
    climbing = [0.05 * i for i in range(1, 20)]
    replay = replayed(tmp_path, climbing, "--finish", "--tolerance", "0.01")
    assert replay["finished_at"] is None
    assert replay["given_up"] == 0.0


def test_nothing_is_said_of_it_unless_asked(tmp_path: Path):
    assert "finished_at" not in replayed(tmp_path, FLAT)


def test_a_run_with_nothing_to_gain_is_hinted_at_where_nobody_asked(tmp_path: Path):
    (hint,) = replayed(tmp_path, FLAT)["diagnoses"]
    assert (hint["name"], hint["severity"]) == ("nothing_to_gain", "info")
    assert 0.25 * 200 <= hint["evidence"]["step"] < 200
    assert "finish='gain'" in hint["advice"]
    assert "less than 1 point counts as none" in hint["message"]
    assert replayed(tmp_path, FLAT, "--finish")["diagnoses"] == []


def test_a_run_that_still_gains_gets_no_such_hint(tmp_path: Path):
    climbing = [0.05 * i for i in range(1, 20)]
    names = [one["name"] for one in replayed(tmp_path, climbing)["diagnoses"]]
    assert "nothing_to_gain" not in names


def test_the_text_names_the_checkpoint_to_keep(tmp_path: Path):
    file = tmp_path / "trainer_state.json"
    file.write_text(json.dumps(state(FLAT)))
    result = CliRunner().invoke(app, ["replay", str(file), "--finish"])
    assert "keep the checkpoint of step 50" in " ".join(result.stdout.split())


def test_a_tolerance_that_cannot_be_is_a_wrong_usage(tmp_path: Path):
    file = tmp_path / "trainer_state.json"
    file.write_text(json.dumps(state(FLAT)))
    result = CliRunner().invoke(app, ["replay", str(file), "--finish", "--tolerance", "-1"])
    assert result.exit_code == 2


def test_percent_and_fractions_are_finished_at_the_same_step():
    def record(unit: float) -> RunRecord:
        log = [{"step": 10 * (i + 1), "eval_accuracy": unit * v} for i, v in enumerate(FLAT)]
        return RunRecord.from_log_history(log, max_steps=10 * len(FLAT))

    goal = Goal("accuracy")
    assert (
        replay_finish(record(1.0), goal).finished_at
        == replay_finish(record(100.0), goal).finished_at
        is not None
    )
