"""Logs of any shape become columns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.record.trainer_log import number, read_log


def train(step, loss, **more):
    return {"step": step, "loss": loss, **more}


def test_entries_of_one_step_are_merged():
    log = read_log(
        [
            train(10, 0.5, grad_norm=1.0),
            {"step": 10, "eval_a_loss": 0.6},
            {"step": 10, "eval_b_loss": 0.7, "eval_b_runtime": 3.0},
        ]
    )
    assert log.eval_step.tolist() == [10]
    assert {name: column.tolist() for name, column in log.evals.items()} == {
        "eval_a_loss": [0.6],
        "eval_b_loss": [0.7],
    }


def test_a_value_that_one_entry_lacks_is_nan_but_not_logged_as_nan():
    log = read_log([train(1, 0.5, learning_rate=1e-4), train(2, 0.4)])
    assert math.isnan(log.train["learning_rate"][1])
    assert not log.nan_steps


@pytest.mark.parametrize("written", [math.nan, "NaN", "nan", np.float32("nan")])
def test_nan_is_kept_whatever_wrote_it(written):
    log = read_log([train(1, 0.5), train(2, written)])
    assert math.isnan(log.train["loss"][1])
    assert log.nan_steps["loss"].tolist() == [2]


@pytest.mark.parametrize(
    ("written", "value"),
    [("Infinity", math.inf), ("-inf", -math.inf), (math.inf, math.inf), ("0.25", 0.25), (3, 3.0)],
)
def test_infinities_and_spelled_numbers_are_read(written, value):
    assert read_log([train(1, written)]).train["loss"].tolist() == [value]


@pytest.mark.parametrize("written", [None, True, "high", [1.0], {"a": 1}, 10**400])
def test_what_is_no_number_is_dropped(written):
    assert number(written) is None
    log = read_log([train(1, 0.5), train(2, written)])
    assert log.train_step.tolist() == [1]


@pytest.mark.parametrize(
    "entry",
    [None, "loss", 3, [], {}, {"loss": 1.0}, train(None, 1.0), train("nan", 1.0), train(-1, 1.0)],
)
def test_entries_without_a_usable_step_are_skipped(entry):
    assert read_log([entry, train(5, 0.5)]).train_step.tolist() == [5]


def test_after_a_resume_the_abandoned_branch_is_gone():
    first = [train(s, 9.0) for s in (10, 20, 30, 40)]
    second = [train(s, 1.0) for s in (20, 30)]
    log = read_log(first + second)
    assert log.train_step.tolist() == [10, 20, 30]
    assert log.train["loss"].tolist() == [9.0, 1.0, 1.0]


def test_evaluations_listed_after_all_training_logs_are_no_resume():
    log = read_log([train(s, 1.0) for s in (10, 20, 30)] + [{"step": 20, "eval_loss": 0.5}])
    assert log.train_step.tolist() == [10, 20, 30]
    assert log.eval_step.tolist() == [20]


def test_a_second_eval_set_listed_after_the_first_is_no_resume():
    log = read_log(
        [{"step": s, "eval_a_loss": 0.5} for s in (10, 20)]
        + [{"step": s, "eval_b_loss": 0.6} for s in (10, 20)]
    )
    assert log.evals["eval_a_loss"].tolist() == [0.5, 0.5]
    assert log.evals["eval_b_loss"].tolist() == [0.6, 0.6]


def test_the_summary_is_no_training_loss():
    log = read_log([train(10, 0.5), {"step": 10, "train_loss": 0.9, "train_runtime": 4.0}])
    assert log.train["loss"].tolist() == [0.5]
    assert log.ended


def test_a_hand_written_train_loss_is_read_as_the_loss():
    log = read_log([{"step": s, "train_loss": 1.0 / s} for s in (1, 2)])
    assert log.train["loss"].tolist() == [1.0, 0.5]


SUMMARY = {"step": 20, "train_runtime": 4.0, "train_loss": 0.7}


def test_the_best_checkpoint_measured_again_is_the_final_value_not_the_last_evaluation():
    log = read_log(
        [
            {"step": 10, "eval_accuracy": 0.9},
            {"step": 20, "eval_accuracy": 0.8},
            SUMMARY,
            {"step": 20, "eval_accuracy": 0.9},
        ]
    )
    assert log.evals["eval_accuracy"].tolist() == [0.9, 0.8]
    assert log.final == {"eval_accuracy": 0.9}


def test_another_set_measured_after_training_leaves_no_trace():
    log = read_log([{"step": 20, "eval_accuracy": 0.8}, SUMMARY, {"step": 20, "eval_accuracy": 1}])
    assert log.evals["eval_accuracy"].tolist() == [0.8]
    assert not log.final


def test_training_that_goes_on_after_a_summary_has_not_ended():
    log = read_log([train(10, 0.5), SUMMARY, train(30, 0.4), {"step": 30, "eval_loss": 0.3}])
    assert not log.ended
    assert log.evals["eval_loss"].tolist() == [0.3]


def test_steps_per_epoch_comes_from_the_epoch_column():
    log = read_log([train(s, 1.0, epoch=round(s / 37, 2)) for s in (10, 100, 370)])
    assert log.steps_per_epoch == pytest.approx(37)
    assert read_log([train(1, 1.0)]).steps_per_epoch is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (train(1, 0.0, reward=0.2, reward_std=0.1), True),
        (train(1, 0.0, **{"objective/kl": 0.1}), True),
        (train(1, 0.6, **{"rewards/chosen": 0.1, "rewards/margins": 0.0}), False),
        (train(1, 0.6), False),
    ],
)
def test_policy_gradient_logs_are_told_from_preference_logs(entry, expected):
    assert read_log([entry]).reinforcement_learning is expected


values = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=4), st.lists(st.none())
)
entries = st.one_of(
    values,
    st.dictionaries(
        st.sampled_from(["step", "epoch", "loss", "grad_norm", "eval_loss", "train_runtime", "x"])
        | st.integers(),
        values,
    ),
)


@given(st.lists(entries, max_size=12))
def test_any_list_is_read_into_increasing_steps_and_equal_columns(log_history):
    log = read_log(log_history)
    for steps, columns in ((log.train_step, log.train), (log.eval_step, log.evals)):
        assert np.all(np.isfinite(steps))
        assert np.all(np.diff(steps) > 0)
        assert all(column.shape == steps.shape for column in columns.values())


def _with_train_set(epochs: int, *, accuracy: bool) -> list[dict]:
    """A run whose callback evaluates the training set at every epoch, before the Trainer's own."""
    log: list[dict] = []
    for epoch in range(1, epochs + 1):
        step = 5 * epoch
        log.append(train(step, 1.0 / epoch, epoch=epoch))
        seen = {"train_loss": 1.0 / epoch, "train_runtime": 0.1, "train_steps_per_second": 9.0}
        log.append({"step": step, **seen, **({"train_accuracy": 0.5} if accuracy else {})})
        log.append({"step": step, "eval_accuracy": 0.5 + 0.01 * epoch, "eval_runtime": 0.1})
    return log


@pytest.mark.parametrize("accuracy", [True, False])
@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_an_evaluation_of_the_training_set_is_no_summary(epochs, accuracy):
    log = read_log(_with_train_set(epochs, accuracy=accuracy))
    if accuracy or epochs > 1:  # a single loss-only one at the end of a log looks like a summary
        assert not log.ended
        assert log.evals["eval_accuracy"].tolist() == [0.5 + 0.01 * e for e in range(1, epochs + 1)]
        assert not log.final
    assert log.train["loss"].tolist() == [1.0 / e for e in range(1, epochs + 1)]


@pytest.mark.parametrize("accuracy", [True, False])
def test_the_summary_after_evaluations_of_the_training_set_is_one(accuracy):
    entries = _with_train_set(3, accuracy=accuracy)
    entries.append({"step": 15, "train_loss": 0.7, "train_runtime": 4.0, "total_flos": 1e12})
    log = read_log([*entries, {"step": 15, "eval_accuracy": 0.52}])
    assert log.ended
    assert log.evals["eval_accuracy"].tolist() == [0.51, 0.52, 0.53]
    assert log.final == {"eval_accuracy": 0.52}


def test_a_metric_measured_after_training_alone_is_its_final_value():
    log = read_log([train(10, 0.5), SUMMARY, {"step": 20, "eval_accuracy": 0.9, "eval_loss": 0.2}])
    assert log.final == {"eval_accuracy": 0.9, "eval_loss": 0.2}
    assert not log.evals
