"""Certain failures: persistence is what makes them certain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_ftrisk import RunRecord
from hf_ftrisk.diagnoses.certain import certain_failure


def run(loss, grad_norm=None, *, every=1, **fields) -> RunRecord:
    """A log as the Trainer writes it, NaN kept as NaN that was logged."""
    history = [
        {
            "step": (i + 1) * every,
            "loss": value,
            "grad_norm": 1.0 if grad_norm is None else grad_norm[i],
            "learning_rate": 1e-4,
        }
        for i, value in enumerate(loss)
    ]
    return RunRecord.from_log_history(history, max_steps=1000, **fields)


FINE = list(np.linspace(1.0, 0.5, 30))


def test_a_loss_that_stays_nan_is_certain():
    failure = certain_failure(run([*FINE, math.nan, math.nan]))
    assert failure is not None
    assert (failure.name, failure.severity) == ("non_finite_loss", "fatal")
    assert failure.evidence == {"since_step": 31.0, "logs": 2.0}


def test_one_nan_may_be_one_bad_batch():
    assert certain_failure(run([*FINE, math.nan])) is None
    assert certain_failure(run([*FINE, math.nan, 0.5])) is None


def test_nan_behind_the_filter_is_seen_by_its_gradients():
    """logging_nan_inf_filter shows a window of NaN losses as 0.0."""
    failure = certain_failure(run([*FINE, 0.3, 0.0, 0.0], [*[1.0] * 30, *[math.nan] * 3], every=10))
    assert failure is not None
    assert failure.name == "non_finite_gradients"
    assert "hides it" in failure.message


def test_fp16_gradients_that_are_inf_and_skipped_are_no_failure():
    """The loss scaler starts too high: a few infinite norms at the start, now and then one more."""
    norms = np.ones(30)
    norms[[0, 1, 2, 3, 17, 28, 29]] = np.inf
    record = run(FINE, norms.tolist())
    for step in range(1, 31):
        assert certain_failure(record.prefix(step)) is None


def test_gradients_that_stay_inf_are_a_failure():
    failure = certain_failure(run(FINE, [1.0] * 5 + [math.inf] * 25))
    assert failure is not None
    assert failure.name == "non_finite_gradients"


@pytest.mark.parametrize(("loss", "name"), [(0.0, "all_labels_masked"), (0.69, "zero_gradients")])
def test_gradients_of_exactly_zero_from_the_start_are_a_failure(loss, name):
    failure = certain_failure(run([loss] * 5, [0.0] * 5))
    assert failure is not None
    assert failure.name == name


def test_zero_gradients_pass_where_they_are_normal():
    assert certain_failure(run([0.0] * 5, [0.0] * 5).prefix(2)) is None
    settings = {"reinforcement_learning": True}
    assert certain_failure(run([0.0] * 5, [0.0] * 5, settings=settings)) is None
    assert certain_failure(run([*FINE, 0.0, 0.0, 0.0], [*[1.0] * 30, 0.0, 0.0, 0.0])) is None
