"""Signals end in time: on a clock that only the work moves, whatever the work costs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import Trainer

from hf_ftrisk.signals import deadline
from hf_ftrisk.signals.collect import collated_sample, trainer_signals
from hf_ftrisk.signals.dataset import dataset_signals
from hf_ftrisk.signals.deadline import Deadline, Pace
from hf_ftrisk.signals.model.compatibility import compatibility_signals
from tests.signals.tiny import arguments, bert, classified_rows, trainer_of


class Clock:
    """Moves only when told to; stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock():
    with pytest.MonkeyPatch.context() as monkeypatch:
        steady = Clock()
        monkeypatch.setattr(deadline, "time", steady)
        yield steady


def sizes(count: int, largest: int) -> list[int]:
    """1, 2, 4, ... rows up to the largest, `count` batches."""
    return [min(2**k, largest) for k in range(count)]


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return {"loss": (self.w * x).pow(2).mean()}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    row_seconds=st.floats(1e-4, 30.0),
    gradient=st.floats(1.0, 4.0),
    # No time at all, or one that a clock can tell from none.
    limit=st.just(0.0) | st.floats(1e-6, 60.0),
    largest=st.integers(1, 64),
    batches=st.integers(1, 12),
)
def test_no_more_time_is_taken_than_allowed_but_for_the_first_row(
    row_seconds, gradient, limit, largest, batches
):
    clock = Clock()

    def loss(model, batch):
        passes = gradient if torch.is_grad_enabled() else 1.0
        clock.now += row_seconds * passes * len(batch["x"])
        return model(**batch)["loss"]

    parts = [{"x": torch.ones(n)} for n in sizes(batches, largest)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(deadline, "time", clock)
        compatibility_signals(Line(), parts, parts, loss=loss, deadline=Deadline(limit))
    assert clock.now <= max(limit, row_seconds) + 1e-6


def test_time_enough_shows_every_batch(clock):
    seen = list(Pace().over(sizes(6, 8), Deadline(100.0), int))
    assert seen == [1, 2, 4, 8, 8, 8]


def test_a_batch_that_would_end_too_late_is_not_begun(clock):
    taken = []
    for rows in Pace().over(sizes(6, 8), Deadline(10.0), int):
        clock.now += rows  # a second for each row: 1 + 2 + 4 are over, 8 more would be 15
        taken.append(rows)
    assert taken == [1, 2, 4]


def test_the_next_kind_of_work_is_expected_to_cost_what_the_last_did(clock):
    pace = Pace()
    for _ in pace.over([1], Deadline(10.0), int):
        clock.now += 3.0
    assert list(pace.over([1], Deadline(11.0), int, passes=4.0)) == []
    assert list(pace.over([1], Deadline(13.0), int, passes=4.0)) == [1]


def test_a_deadline_that_has_passed_allows_nothing(clock):
    parts = [{"x": torch.ones(1)}]
    signals = compatibility_signals(Line(), parts, parts, deadline=Deadline(-1.0))
    assert set(signals) == {"trainable_parameters", "trainable_share"}


def test_duplicates_are_looked_for_in_the_rows_there_is_time_for(monkeypatch, clock):
    from hf_ftrisk.signals import dataset

    original, sketched = dataset._sketch, []

    def slow(row):
        clock.now += 1.0
        sketched.append(row)
        return original(row)

    monkeypatch.setattr(dataset, "_sketch", slow)
    rows = [{"input_ids": [i, i + 1, i + 2, i + 3]} for i in range(100)]
    signals = dataset_signals(rows, rows, seconds=30.0)
    assert 3 <= len(sketched) <= 31
    assert clock.now <= 31.0
    assert signals["near_duplicate_share"] < 1.0
    assert signals["duplicate_share"] == 0.0  # exact ones cost nothing


def test_reading_and_collating_end_in_time(tmp_path, clock):
    class Slow(list):
        def __getitem__(self, index):
            clock.now += 1.0
            return super().__getitem__(index)

    rows = Slow(classified_rows(64))
    trainer = trainer_of(bert(), rows, tmp_path)
    sample = collated_sample(
        trainer, rows, max_rows=64, batch_size=8, seed=0, deadline=Deadline(20.0), growing=True
    )
    assert [len(batch["labels"]) for batch in sample.batches] == [2, 4, 4]
    assert clock.now == 10.0  # half of the time is left for collating


@pytest.mark.parametrize("limit", [0.0, 2.0, 20.0])
def test_the_signals_of_a_slow_trainer_end_in_time(tmp_path, clock, limit):
    """Each row takes half a second to read, and a pass over it a tenth."""

    class Slow(list):
        def __getitem__(self, index):
            clock.now += 0.5
            return super().__getitem__(index)

    class SlowTrainer(Trainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            clock.now += 0.1 * len(inputs["labels"]) * (3.0 if torch.is_grad_enabled() else 1.0)
            return super().compute_loss(model, inputs, *args, **kwargs)

    rows = Slow(classified_rows(64))
    trainer = SlowTrainer(
        model=bert(), args=arguments(tmp_path), train_dataset=rows, eval_dataset=rows
    )
    begun = clock.now
    signals = trainer_signals(trainer, seconds=limit)
    # One row of either set is read in any case.
    assert clock.now - begun <= max(limit, 1.0) + 1e-6
    assert ("zero_shot_loss" in signals) == (limit > 0)
    assert ("gradient_norm" in signals) == (limit > 0)
    assert (signals["sampled_rows"] > 1) == (limit == 20.0)
