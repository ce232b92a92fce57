"""Run records: reading, views, outcome, storage."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk import Goal, RunRecord
from hf_ftrisk.record import ModelSelection

ACCURACY = Goal("accuracy", target=0.7)


def run(**fields) -> RunRecord:
    known = {
        "max_steps": 40,
        "train_step": [5, 15, 25, 35],
        "train_loss": [0.9, 0.7, 0.5, 0.4],
        "eval_step": [10, 20, 30, 40],
        "evals": {
            "eval_accuracy": [0.6, 0.8, 0.75, 0.7],
            "eval_loss": [0.7, 0.6, 0.5, 0.55],
        },
    }
    return RunRecord(**(known | fields))


def state(**fields):
    history = [
        {"step": 5, "epoch": 0.5, "loss": 0.9, "learning_rate": 1e-4},
        {"step": 10, "epoch": 1.0, "eval_loss": 0.8},
    ]
    return {"global_step": 10, "max_steps": 20, "epoch": 1.0, "log_history": history} | fields


# --- reading ---------------------------------------------------------------------------------


def test_a_file_a_checkpoint_folder_and_a_dict_read_alike(tmp_path):
    file = tmp_path / "trainer_state.json"
    file.write_text(json.dumps(state()))
    records = [RunRecord.from_trainer_state(source) for source in (file, tmp_path, state())]
    assert records[0].to_dict() == records[1].to_dict() == records[2].to_dict()
    assert records[0].max_steps == 20
    assert records[0].steps_per_epoch == 10


@pytest.mark.parametrize("text", ["", "{", '{"log_history": 3}', "[]", '{"a": 1}', "nan"])
def test_a_file_that_is_no_trainer_state_is_named(tmp_path, text):
    file = tmp_path / "trainer_state.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"trainer_state\.json"):
        RunRecord.from_trainer_state(file)


def test_json_literals_nan_and_infinity_are_read(tmp_path):
    file = tmp_path / "trainer_state.json"
    file.write_text(
        '{"max_steps": 3, "log_history": [{"step": 1, "loss": NaN, "grad_norm": Infinity}]}'
    )
    record = RunRecord.from_trainer_state(file)
    assert record.nan_steps["loss"].tolist() == [1]
    assert record.grad_norm.tolist() == [math.inf]


@pytest.mark.parametrize(
    ("fields", "ended", "status"),
    [
        ({"global_step": 20}, False, "finished"),
        ({}, False, "running"),
        ({}, True, "stopped"),
        ({"max_steps": 0}, False, "finished"),
        ({"max_steps": None, "global_step": "nan"}, False, "finished"),
    ],
)
def test_status_tells_a_finished_run_from_one_cut_off_and_one_ended_early(fields, ended, status):
    data = state(**fields)
    if ended:
        data["log_history"] = [*data["log_history"], {"step": 10, "train_runtime": 1.0}]
    assert RunRecord.from_trainer_state(data).status == status


def test_an_empty_log_is_a_run_that_has_not_begun():
    record = RunRecord.from_trainer_state({"max_steps": 100, "log_history": []})
    assert (record.last_step, record.progress, record.status) == (0, 0.0, "running")


def test_a_policy_gradient_log_is_marked_in_the_settings():
    record = RunRecord.from_log_history(
        [{"step": 1, "loss": 0.0, "reward": 1.0}], max_steps=9, settings={"model": "m"}
    )
    assert record.settings == {"reinforcement_learning": True, "model": "m"}


def test_columns_of_one_table_become_train_and_eval_rows():
    record = RunRecord.from_columns(
        {
            "step": [20, 10, 30],
            "loss": [0.5, 0.9, None],
            "eval_accuracy": [0.7, math.nan, 0.8],
        },
        max_steps=30,
        task="t",
    )
    assert record.train_step.tolist() == [10, 20]
    assert record.train_loss.tolist() == [0.9, 0.5]
    assert record.curve("eval_accuracy")[0].tolist() == [20, 30]
    assert not record.nan_steps
    assert record.task == "t"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"loss": [1.0]}, "step"),
        ({"step": [1, 2], "loss": [1.0]}, "one length"),
        ({"step": [1], "accuracy": [1.0]}, "accuracy"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        RunRecord.from_columns(columns, max_steps=3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_steps": 0}, "max_steps"),
        ({"max_steps": 2.5}, "max_steps"),
        ({"max_steps": math.nan}, "max_steps"),
        ({"max_steps": None}, "max_steps"),
        ({"status": "done"}, "status"),
        ({"train_loss": [1.0]}, "train_loss"),
        ({"train_step": [5, 5, 6, 7]}, "train_step"),
        ({"eval_step": [10, 20, math.nan, 40]}, "eval_step"),
        ({"evals": {"eval_accuracy": [0.5]}}, "eval_accuracy"),
        ({"schedule": [1e-4]}, "schedule"),
    ],
)
def test_fields_that_do_not_fit_are_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        run(**fields)


# --- views -----------------------------------------------------------------------------------


@given(st.floats(-5, 60))
def test_a_prefix_holds_nothing_that_came_later(step):
    whole = run(
        final={"eval_accuracy": 0.71},
        grad_norm=[1.0, math.nan, 1.0, 1.0],
        nan_steps={"grad_norm": [15.0], "eval_loss": [30.0]},
        schedule=np.linspace(1e-4, 0, 40),
    )
    prefix = whole.prefix(step)
    steps = [prefix.train_step, prefix.eval_step, *prefix.nan_steps.values()]
    assert all(np.all(column <= step) for column in steps)
    assert all(column.shape == prefix.eval_step.shape for column in prefix.evals.values())
    if step < 40:
        assert prefix.status == "running"
        assert not prefix.final
        assert not prefix.has_outcome(ACCURACY)
    else:
        assert prefix.outcome(ACCURACY) == 0.71
    assert prefix.schedule is not None
    assert prefix.max_steps == 40


logged = st.floats(0.001, 10) | st.just(math.nan)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["loss", "grad_norm", "eval_loss", "eval_b_accuracy"]), logged
        ),
        min_size=1,
        max_size=10,
    ),
    st.integers(0, 11),
)
def test_a_prefix_is_what_the_log_would_have_given_at_that_step(rows, step):
    log = [{"step": i, **row} for i, row in enumerate(rows, start=1)]
    whole = RunRecord.from_log_history(log, max_steps=12)
    then = RunRecord.from_log_history(log[:step], max_steps=12, status="running")
    assert whole.prefix(step).to_dict() == then.to_dict()


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_prefix_of_a_prefix_is_the_shorter_one(first, second):
    twice = run().prefix(max(first, second)).prefix(min(first, second))
    assert twice.to_dict() == run().prefix(min(first, second)).to_dict()


def test_a_curve_leaves_out_steps_where_the_metric_was_not_evaluated():
    record = run(evals={"eval_a": [0.1, math.nan, 0.3, math.nan]})
    assert record.curve("eval_a")[0].tolist() == [10, 30]
    assert record.curve("eval_b")[0].size == 0


def test_the_finite_curve_leaves_out_what_a_diverged_run_logged():
    record = run(evals={"eval_loss": [0.5, math.inf, math.nan, 0.4]})
    assert record.finite("eval_loss")[0].tolist() == [10, 40]
    assert record.curve("eval_loss")[0].tolist() == [10, 20, 40]
    assert record.finite("eval_accuracy")[0].size == 0


def test_evaluations_of_a_trained_model_are_those_after_step_0():
    record = run(eval_step=[0, 20, 30, 40], evals={"eval_loss": [0.9, 0.5, math.inf, 0.4]})
    steps, values = record.trained("eval_loss")
    assert steps.tolist() == [20, 40]
    assert values.tolist() == [0.5, 0.4]
    assert record.trained("eval_accuracy")[0].size == 0


def test_a_baseline_is_put_in_beside_the_others_and_none_changes_nothing():
    record = run().with_baseline(Goal("loss"), 0.69)
    assert record.with_baseline(ACCURACY, 0.5).baselines == {
        "eval_loss": 0.69,
        "eval_accuracy": 0.5,
    }
    assert record.with_baseline(ACCURACY, None) is record


def test_whether_a_run_met_its_goal_is_unknown_without_outcome_or_threshold():
    assert run().met(Goal("accuracy", target=0.6)) is True
    assert run().met(Goal("accuracy", target=0.75)) is False
    assert run().met(Goal("accuracy")) is None
    assert run(status="stopped").met(Goal("accuracy", target=0.6)) is None


# --- outcome ---------------------------------------------------------------------------------


def test_the_outcome_is_the_last_value_or_that_of_the_best_checkpoint():
    assert run().outcome(ACCURACY) == 0.7
    assert run(load_best=True).outcome(ACCURACY) == 0.8
    assert run(load_best=True, selection=ModelSelection.named("loss")).outcome(ACCURACY) == 0.75
    assert run(load_best=True).outcome(Goal("loss")) == 0.5
    assert run(final={"eval_accuracy": 0.66}, load_best=True).outcome(ACCURACY) == 0.66


def test_the_best_checkpoint_is_chosen_in_the_direction_the_trainer_has():
    odd = {"eval_accuracy": [0.6, 0.9, 0.8, 0.7], "eval_quality_index": [1.0, 2.0, 5.0, 3.0]}
    by_greater = ModelSelection("quality_index", greater_is_better=True)
    by_smaller = ModelSelection("eval_quality_index", greater_is_better=False)
    assert run(load_best=True, evals=odd, selection=by_greater).outcome(ACCURACY) == 0.8
    assert run(load_best=True, evals=odd, selection=by_smaller).outcome(ACCURACY) == 0.6


def test_the_selection_survives_storage_and_records_of_the_first_release_are_read():
    record = run(load_best=True, selection=ModelSelection("quality_index", True))
    assert RunRecord.from_dict(record.to_dict()).selection == record.selection
    old = run(load_best=True, selection=ModelSelection.named("loss")).to_dict()
    assert "greater_is_better" not in old
    assert RunRecord.from_dict(old).selection == ModelSelection("eval_loss", False)
    assert RunRecord.from_dict(old | {"metric_for_best": "eval_oddity"}).selection is None


def test_the_best_checkpoint_is_chosen_where_the_goal_was_evaluated_too():
    record = run(
        load_best=True,
        selection=ModelSelection.named("eval_loss"),
        evals={"eval_accuracy": [0.6, math.nan, 0.9, 0.7], "eval_loss": [0.5, 0.1, 0.4, 0.9]},
    )
    assert record.outcome(ACCURACY) == 0.9


def test_a_run_whose_last_evaluation_is_nan_did_not_meet_its_goal():
    nan = math.nan
    lost = run(
        evals={"eval_loss": [0.7, 0.6, 0.5, nan], "eval_pearson": [0.5, nan, nan, nan]},
        nan_steps={"eval_loss": [40.0], "eval_pearson": [20.0, 30.0, 40.0]},
    )
    assert math.isnan(lost.outcome(Goal("loss")))
    assert not Goal("loss").meets(lost.outcome(Goal("loss")), baseline=0.9)
    assert lost.outcome(Goal("pearson")) == 0.0


@pytest.mark.parametrize("status", ["running", "stopped"])
def test_a_run_that_has_not_finished_has_no_outcome(status):
    record = run(status=status)
    assert not record.has_outcome(ACCURACY)
    with pytest.raises(ValueError, match=status):
        record.outcome(ACCURACY)


def test_a_metric_that_was_never_evaluated_is_named_with_those_that_were():
    with pytest.raises(ValueError, match=r"eval_f1.*eval_accuracy"):
        run().outcome(Goal("f1"))


# --- immutability and storage ----------------------------------------------------------------


def test_a_record_cannot_be_changed():
    losses = np.array([0.9, 0.7, 0.5, 0.4])
    record = run(train_loss=losses, settings={"model": "m"})
    losses[0] = 5.0
    assert record.train_loss[0] == 0.9
    with pytest.raises(ValueError, match="read-only"):
        record.train_loss[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        record.evals["eval_loss"][0] = 1.0
    with pytest.raises(FrozenInstanceError):
        record.task = "other"  # type: ignore[misc]  # what the test is about
    for mapping in (record.settings, record.evals, record.final, record.baselines):
        with pytest.raises(TypeError, match="replace"):
            mapping["model"] = 1
    with pytest.raises(TypeError, match="replace"):
        record.settings.pop("model")


def test_a_record_survives_copying_pickling_and_replacing():
    record = run(settings={"model": "m"}, final={"eval_accuracy": 0.7})
    for other in (copy.deepcopy(record), pickle.loads(pickle.dumps(record)), replace(record)):
        assert other.to_dict() == record.to_dict()
        with pytest.raises(TypeError):
            other.settings["model"] = "n"


def same(left: RunRecord, right: RunRecord) -> bool:
    """Equality with NaN equal to NaN, field by field."""
    return all(
        alike(getattr(left, name), getattr(right, name)) for name in RunRecord.__dataclass_fields__
    )


def alike(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray | float):
        return np.array_equal(a, b, equal_nan=True)
    return a == b


numbers = st.floats(allow_nan=True, allow_infinity=True)


@st.composite
def records(draw) -> RunRecord:
    max_steps = draw(st.integers(1, 50))
    trained = sorted(draw(st.sets(st.integers(0, 50), max_size=6)))
    evaluated = sorted(draw(st.sets(st.integers(0, 50), max_size=6)))

    def floats(n):
        return draw(st.lists(numbers, min_size=n, max_size=n))

    names = draw(st.sets(st.sampled_from(["eval_loss", "eval_b_accuracy"])))
    scalars = st.dictionaries(st.text(max_size=3), numbers, max_size=3)
    return RunRecord(
        max_steps=max_steps,
        train_step=trained,
        train_loss=floats(len(trained)),
        grad_norm=floats(len(trained)),
        learning_rate=floats(len(trained)),
        eval_step=evaluated,
        evals={name: floats(len(evaluated)) for name in names},
        nan_steps={"loss": trained[:2]},
        schedule=draw(st.none() | st.just(np.linspace(0, 1e-4, max_steps))),
        steps_per_epoch=draw(st.none() | st.floats(1, 100)),
        status=draw(st.sampled_from(["finished", "running", "stopped"])),
        task=draw(st.none() | st.text(max_size=5)),
        seed=draw(st.none() | st.integers(0, 2**31)),
        load_best=draw(st.booleans()),
        baselines=draw(scalars),
        final=draw(scalars),
        settings=draw(st.dictionaries(st.text(max_size=3), st.integers() | st.text(), max_size=3)),
        static=draw(scalars),
    )


@given(records())
def test_a_record_comes_back_from_strict_json_as_it_was(record):
    text = json.dumps(record.to_dict(), allow_nan=False)
    assert same(RunRecord.from_dict(json.loads(text)), record)


def test_another_format_version_is_refused():
    with pytest.raises(ValueError, match="format_version 99"):
        RunRecord.from_dict(run().to_dict() | {"format_version": 99})


@pytest.mark.parametrize("huge", [1e101, 1e308, -1e308])
def test_what_has_overflowed_is_infinite(huge):
    """Its square has no float, and every forecast that rests on the run would be lost with it."""
    record = RunRecord(
        max_steps=10,
        eval_step=[5, 10],
        evals={"eval_loss": [1.0, huge]},
        final={"eval_loss": huge},
    )
    signed = math.copysign(math.inf, huge)
    assert record.evals["eval_loss"].tolist() == [1.0, signed]
    assert record.final["eval_loss"] == signed
