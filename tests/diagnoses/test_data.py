"""Failures the data and the untrained model show before the run."""

from __future__ import annotations

import numpy as np
import pytest

from hf_ftrisk import Goal, RunRecord
from hf_ftrisk.diagnoses.checks import diagnose

ACCURACY = Goal("accuracy")
EMPTY = RunRecord(max_steps=100, baselines={"eval_accuracy": 0.5})


def found(signals, record=EMPTY, goal=ACCURACY):
    return diagnose(record, goal, signals=signals)


@pytest.mark.parametrize(
    ("signals", "name", "numbers"),
    [
        (
            {"truncated_share": 0.34, "tokens_max": 128.0},
            "truncated_inputs",
            ("34 %", "128 tokens"),
        ),
        (
            {"truncated_share": 1.0, "tokens_max": 24.0, "classes": 4.0},
            "truncated_inputs",
            ("100 %", "24 tokens"),
        ),
        (
            {"train_eval_overlap": 0.12, "train_eval_near_overlap": 0.2},
            "train_eval_overlap",
            ("12.0 %", "20.0 %"),
        ),
        ({"train_eval_near_overlap": 0.31}, "train_eval_overlap", ("31.0 %",)),
        ({"conflicting_label_share": 0.04}, "noisy_labels", ("4.0 %",)),
        ({"perplexity": 31000.0}, "data_model_mismatch", ("31,000",)),
        (
            {"linear_probe_accuracy": 0.48, "eval_majority_share": 0.53},
            "data_model_mismatch",
            ("0.480", "0.530"),
        ),
    ],
)
def test_each_fires_on_its_signals_and_tells_the_numbers(signals, name, numbers):
    (diagnosis,) = found(signals)
    assert diagnosis.name == name
    assert all(number in diagnosis.message for number in numbers)
    assert set(diagnosis.evidence) & set(signals)
    assert diagnosis.advice


@pytest.mark.parametrize(
    "signals",
    [
        pytest.param({}, id="no signal"),
        pytest.param({"truncated_share": 0.05, "tokens_max": 512.0}, id="a few long rows"),
        pytest.param({"truncated_share": 1.0, "tokens_max": 1024.0}, id="packed rows"),
        pytest.param(
            {"train_eval_overlap": 0.01, "train_eval_near_overlap": 0.08}, id="common phrases"
        ),
        pytest.param({"conflicting_label_share": 0.004}, id="a handful of conflicts"),
        pytest.param({"perplexity": 80.0}, id="another domain"),
        pytest.param({"perplexity": 5e4, "classes": 2.0}, id="a new head"),
        pytest.param(
            {"linear_probe_accuracy": 0.61, "eval_majority_share": 0.53}, id="features that tell"
        ),
        pytest.param({"linear_probe_accuracy": 0.4}, id="nothing to compare with"),
    ],
)
def test_near_misses_are_silent(signals):
    assert found(signals) == ()


def record(values) -> RunRecord:
    steps = np.arange(1, len(values) + 1) * 10
    return RunRecord(
        max_steps=100,
        eval_step=steps,
        evals={"eval_accuracy": values},
        baselines={"eval_accuracy": 0.53},
    )


def test_a_run_that_beats_the_baseline_refutes_the_probe():
    signals = {"linear_probe_accuracy": 0.48, "eval_majority_share": 0.53}
    assert found(signals, record([0.5, 0.6, 0.55])) == ()


def test_a_run_that_stays_below_the_baseline_confirms_it():
    signals = {"linear_probe_accuracy": 0.48, "eval_majority_share": 0.53}
    severities = {d.name: d.severity for d in found(signals, record([0.41, 0.47, 0.5, 0.49, 0.48]))}
    assert severities["data_model_mismatch"] == "warning"
    assert found(signals)[0].severity == "info"
