"""A training loss that exploded is told from one that good runs have."""

from __future__ import annotations

import numpy as np
import pytest

from hf_ftrisk.diagnoses.certain import certain_failure
from hf_ftrisk.diagnoses.exploded import exploded_loss
from hf_ftrisk.record import RunRecord


def run(loss: np.ndarray, every: int = 1, max_steps: int = 400, **fields: object) -> RunRecord:
    steps = np.arange(1, loss.size + 1) * every
    return RunRecord(max_steps=max_steps, train_step=steps, train_loss=loss, **fields)


def noisy(level: float, n: int, spread: float = 0.1, seed: int = 0) -> np.ndarray:
    return level * np.exp(spread * np.random.default_rng(seed).standard_normal(n))


@pytest.mark.parametrize("every", [1, 5, 10])
def test_a_blow_up_is_told_within_a_fifth_of_the_run(every: int):
    n = 120 // every
    loss = np.concatenate([noisy(2.0, 40 // every), noisy(7.0, n - 40 // every, seed=1)])
    record = run(loss, every)
    told = [s for s in record.train_step.tolist() if exploded_loss(record.prefix(s))]
    assert told
    assert told[0] <= 40 + 0.2 * 400
    diagnosis = certain_failure(record.prefix(told[0]))
    assert diagnosis is not None
    assert diagnosis.name == "exploded_loss"
    assert diagnosis.severity == "fatal"


def test_a_spike_that_passes_is_none():
    loss = np.concatenate([noisy(2.0, 40), noisy(7.0, 10), noisy(2.0, 200)])
    record = run(loss)
    assert not any(exploded_loss(record.prefix(s)) for s in record.train_step.tolist())


def test_a_loss_that_falls_slowly_from_a_high_beginning_is_none():
    loss = noisy(12.0, 300) * np.linspace(1.0, 0.6, 300)
    assert exploded_loss(run(loss)) is None


def test_an_easy_first_batch_among_noisy_ones_is_none():
    loss = noisy(2.0, 300, spread=0.6)
    loss[:2] = 0.9
    assert exploded_loss(run(loss)) is None


def test_a_blow_up_within_the_first_window_is_told_by_the_untrained_model_s_evaluation():
    loss = noisy(9.0, 12)
    evals = {"eval_loss": np.array([1.9, 8.5])}
    record = run(loss, 10, eval_step=np.array([0, 100]), evals=evals)
    diagnosis = exploded_loss(record)
    assert diagnosis is not None
    assert "that of the untrained model (1.9)" in diagnosis.message
    healthy = run(loss, 10, eval_step=np.array([0, 100]), evals={"eval_loss": np.array([1.9, 1.2])})
    assert exploded_loss(healthy) is None  # a loss that is logged in another unit


def test_the_loss_of_a_policy_gradient_says_nothing():
    loss = np.concatenate([noisy(0.01, 40), noisy(5.0, 100)])
    assert exploded_loss(run(loss, settings={"reinforcement_learning": True})) is None


@pytest.mark.parametrize("loss", [np.array([]), np.array([2.0]), np.full(100, -1.0)])
def test_too_little_or_a_negative_loss_says_nothing(loss: np.ndarray):
    assert exploded_loss(run(loss)) is None
