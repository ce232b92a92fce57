"""The run so far as a record."""

from __future__ import annotations

import math

import numpy as np

from hf_ftrisk.record import RunRecord
from hf_ftrisk.watch.trace import HEAD, MAX_ROWS, TAIL, Trace


def plan(max_steps: int) -> RunRecord:
    return RunRecord(max_steps=max_steps, status="running")


def test_values_come_back_as_they_were_given():
    trace = Trace(plan(10))
    trace.add_step(1, 0.7, 1.5, 1e-3)
    trace.add_step(2, 0.6, None, 9e-4)
    trace.add_eval(2, {"eval_loss": 0.5})
    trace.add_eval(2, {"eval_accuracy": 0.8})
    record = trace.record()
    assert record.train_step.tolist() == [1, 2]
    assert record.train_loss.tolist() == [0.7, 0.6]
    assert record.grad_norm[0] == 1.5
    assert np.isnan(record.grad_norm[1])
    assert "grad_norm" not in record.nan_steps
    assert record.eval_step.tolist() == [2]
    assert (record.evals["eval_loss"][0], record.evals["eval_accuracy"][0]) == (0.5, 0.8)
    assert record.status == "running"


def test_nan_is_told_from_not_logged():
    trace = Trace(plan(10))
    trace.add_step(1, math.nan, 1.0)
    trace.add_step(2, 0.5, math.nan)
    trace.add_eval(2, {"eval_loss": math.nan, "eval_accuracy": 0.5})
    record = trace.record()
    assert {name: steps.tolist() for name, steps in record.nan_steps.items()} == {
        "loss": [1],
        "grad_norm": [2],
        "eval_loss": [2],
    }


def test_garbage_metrics_are_left_out():
    trace = Trace(plan(10))
    metrics = {
        "eval_report": {"precision": 0.5},
        "eval_words": "many",
        "eval_none": None,
        "eval_array": np.arange(3),
        "eval_flag": True,
        "eval_accuracy": 0.75,
        "eval_runtime": 2.0,
        "other": 3.0,
    }
    assert trace.add_eval(5, metrics) == ("eval_accuracy",)
    assert list(trace.record().evals) == ["eval_accuracy"]


def test_long_runs_become_windows_with_single_first_and_last_steps():
    trace = Trace(plan(100_000))
    losses = np.random.default_rng(0).normal(size=10_000)
    for step, loss in enumerate(losses.tolist(), start=1):
        trace.add_step(step, loss, float(step), 1.0 / step)
    record = trace.record()
    assert record.train_step.size <= MAX_ROWS + TAIL + 10
    assert record.train_step[-TAIL:].tolist() == list(range(10_000 - TAIL + 1, 10_001))
    assert record.train_loss[-1] == losses[-1]
    assert record.train_step[:HEAD].tolist() == list(range(1, HEAD + 1))
    assert record.train_loss[:HEAD].tolist() == losses[:HEAD].tolist()
    width = int(record.train_step[HEAD]) - HEAD
    assert width == 10
    np.testing.assert_allclose(record.train_loss[HEAD], losses[HEAD : HEAD + width].mean())
    assert record.grad_norm[HEAD] == HEAD + width
    assert record.last_step == 10_000


def test_a_nan_stays_visible_in_its_window():
    trace = Trace(plan(100_000))
    for step in range(1, 5_001):
        trace.add_step(step, math.nan if step == 123 else 0.5, 1.0)
    record = trace.record()
    at = int(record.nan_steps["loss"][0])
    assert record.nan_steps["loss"].size == 1
    assert at in record.train_step
    assert 123 <= at < 123 + record.train_step[HEAD]
    assert np.isnan(record.train_loss[record.train_step == at]).all()


def test_a_resumed_run_begins_with_its_log_up_to_the_checkpoint():
    log = [
        {"loss": 0.9, "grad_norm": 1.0, "learning_rate": 1e-3, "step": 10},
        {"eval_loss": 0.8, "step": 10},
        {"loss": math.nan, "grad_norm": 1.0, "learning_rate": 1e-3, "step": 20},
        {"ftrisk/forecast": 0.3, "step": 20},
        {"loss": 0.1, "step": 30},
    ]
    trace = Trace(plan(40), log, start=20)
    trace.add_step(21, 0.5, 1.1, 9e-4)
    record = trace.record()
    assert record.train_step.tolist() == [10, 20, 21]
    assert record.train_loss[[0, 2]].tolist() == [0.9, 0.5]
    assert record.nan_steps["loss"].tolist() == [20]
    assert record.evals["eval_loss"].tolist() == [0.8]


def test_a_hundred_thousand_steps_take_less_than_five_megabytes():
    import tracemalloc

    tracemalloc.start()
    trace = Trace(plan(100_000))
    before = tracemalloc.get_traced_memory()[0]
    for step in range(1, 100_001):
        trace.add_step(step, 0.5, 1.0, 1e-3)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.reset_peak()
    trace.record()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert held <= 2.5e6
    assert peak <= 5e6
