"""Trainer states of any age and encoding: an answer each, or one line that names the file."""

from __future__ import annotations

import json

import pytest

from hf_ftrisk import Goal, RunRecord


def _state(**changes) -> dict:
    log = [
        entry
        for step in range(10, 60, 10)
        for entry in (
            {"step": step, "epoch": step / 10, "loss": 1.0 / step, "learning_rate": 1e-4},
            {"step": step, "epoch": step / 10, "eval_точность": 0.1, "eval_accuracy": 0.01 * step},
        )
    ]
    return {"global_step": 50, "max_steps": 50, "epoch": 5.0, "log_history": log} | changes


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_a_state_is_read_in_any_encoding_of_json(tmp_path, encoding):
    file = tmp_path / "state.json"
    file.write_bytes(json.dumps(_state(), ensure_ascii=False).encode(encoding))
    run = RunRecord.from_trainer_state(file)
    assert run.outcome(Goal("accuracy")) == pytest.approx(0.5)
    assert "eval_точность" in run.evals


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe{",
        json.dumps({"metric": "точность"}, ensure_ascii=False).encode("cp1251"),
        b"[" * 100_000,
        b'{"log_history": [], "max_steps": ' + b"9" * 5000 + b"}",
        b'{"log_history": {}}',
        b"[1, 2]",
        b'"text"',
    ],
)
def test_what_cannot_be_read_is_told_in_one_line_that_names_the_file(tmp_path, content):
    file = tmp_path / "some_state.json"
    file.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"some_state\.json is (not JSON|not a trainer state|nested too deep)"
    ) as told:
        RunRecord.from_trainer_state(file)
    assert "\n" not in str(told.value)


def test_a_log_without_steps_gets_them_from_its_epochs():
    state = _state()
    bare = [{k: v for k, v in entry.items() if k != "step"} for entry in state["log_history"]]
    run = RunRecord.from_trainer_state(state | {"log_history": bare})
    assert run.eval_step.tolist() == [10, 20, 30, 40, 50]
    assert (run.status, run.last_step) == ("finished", 50)


@pytest.mark.parametrize("lost", [{"epoch": None}, {"global_step": 0}])
def test_a_log_without_steps_or_what_tells_them_is_refused(lost):
    state = _state(**lost)
    bare = [{k: v for k, v in entry.items() if k != "step"} for entry in state["log_history"]]
    with pytest.raises(ValueError, match="10 log entries, and none says its step"):
        RunRecord.from_trainer_state(state | {"log_history": bare})


def test_a_run_longer_than_its_plan_counts_as_planned_that_long():
    run = RunRecord.from_trainer_state(_state(max_steps=20))
    assert (run.status, run.max_steps, run.progress) == ("finished", 50, 1.0)
    assert run.settings["stated_max_steps"] == 20
    assert "stated_max_steps" not in RunRecord.from_trainer_state(_state()).settings


@pytest.mark.parametrize("stated", [0, -1, None, "x", float("nan"), True])
def test_without_a_plan_the_steps_done_are_the_run(stated):
    run = RunRecord.from_trainer_state(_state(max_steps=stated))
    assert (run.status, run.max_steps) == ("finished", 50)
    assert "stated_max_steps" not in run.settings


def test_a_number_of_steps_beyond_all_reason_is_refused():
    with pytest.raises(
        ValueError, match=r"this mapping plans 1\d{,20}\.\.\.\d{,20} steps: expected 2\*\*53"
    ):
        RunRecord.from_trainer_state(_state(max_steps=1e300))


def test_a_metric_measured_once_after_training_is_the_outcome():
    log = [{"step": 10, "loss": 0.5}, {"step": 10, "train_runtime": 1.0, "total_flos": 1.0}]
    log.append({"step": 10, "eval_f1": 0.8})
    run = RunRecord.from_trainer_state(_state(log_history=log, max_steps=10, global_step=10))
    assert run.has_outcome(Goal("f1"))
    assert run.outcome(Goal("f1")) == 0.8


def test_what_a_state_says_of_its_columns_and_length_cannot_be_given_as_well():
    for fields in ({"eval_step": [10.0]}, {"max_steps": 7}):
        with pytest.raises(TypeError, match="multiple values"):
            RunRecord.from_trainer_state(_state(), **fields)
