"""The time that a pre-flight says the full run takes is the time that it then takes."""

from __future__ import annotations

import time

import pytest
from transformers import Trainer, default_data_collator

from hf_ftrisk import preflight
from tests.probing.models import bert_trainer
from tests.tiny_data import accuracy, classification_data

# Seconds by a clock of the test's own, the last for each evaluated row: the same on any machine.
COLLATING, TRAINING, PREDICTING, MEASURING = 0.5, 1.0, 0.25, 1 / 32


class Clock:
    """Seconds that go by where it is told to."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class TimedTrainer(Trainer):
    """A Trainer whose steps and predictions take the clock's time."""

    clock = Clock()

    def training_step(self, *args, **kwargs):
        self.clock.seconds += TRAINING
        return super().training_step(*args, **kwargs)

    def prediction_step(self, *args, **kwargs):
        self.clock.seconds += PREDICTING
        return super().prediction_step(*args, **kwargs)


@pytest.mark.parametrize(
    ("rows", "settings"),
    [
        (64, {"eval_strategy": "steps", "eval_steps": 5}),
        (64, {"eval_strategy": "epoch", "max_steps": -1, "num_train_epochs": 4}),
        (64, {"eval_strategy": "steps", "eval_steps": 10, "gradient_accumulation_steps": 3}),
        (900, {"eval_strategy": "steps", "eval_steps": 10}),
        (64, {"eval_strategy": "no"}),
    ],
    ids=["steps", "epochs", "accumulation", "a sample of the rows", "never evaluated"],
)
def test_the_full_run_takes_as_long_as_was_said(tmp_path, monkeypatch, rows, settings) -> None:
    clock = Clock()
    monkeypatch.setattr(TimedTrainer, "clock", clock)
    monkeypatch.setattr(time, "perf_counter", clock)

    def collate(features):
        clock.seconds += COLLATING
        return default_data_collator(features)

    def measured(prediction):
        clock.seconds += MEASURING * len(prediction.label_ids)
        return accuracy(prediction)

    trainer = bert_trainer(
        tmp_path,
        kind=TimedTrainer,
        data_collator=collate,
        eval_dataset=classification_data(rows, seed=2),
        **settings,
    )
    trainer.compute_metrics = measured
    assert said_over_taken(trainer, clock) == pytest.approx(1.0, rel=0.1)


class ConstantlySlowTrainer(TimedTrainer):
    """A Trainer that spends a constant time before each evaluation."""

    def evaluate(self, *args, **kwargs):
        self.clock.seconds += 4.0
        return super().evaluate(*args, **kwargs)


@pytest.mark.parametrize(
    ("kind", "constant", "per_row"),
    [
        (TimedTrainer, 2.0, 0.0),
        (TimedTrainer, 0.0, 1 / 8),
        (TimedTrainer, 1.0, 1 / 16),
        (ConstantlySlowTrainer, 0.0, 1 / 32),
    ],
    ids=["constant metrics", "metrics by the row", "both", "a constant time before"],
)
def test_a_constant_part_of_an_evaluation_is_not_scaled_up_with_its_rows(
    tmp_path, monkeypatch, kind, constant, per_row
) -> None:
    clock = Clock()
    monkeypatch.setattr(TimedTrainer, "clock", clock)
    monkeypatch.setattr(time, "perf_counter", clock)

    def measured(prediction):
        clock.seconds += constant + per_row * len(prediction.label_ids)
        return accuracy(prediction)

    trainer = bert_trainer(
        tmp_path,
        kind=kind,
        eval_dataset=classification_data(900, seed=2),
        eval_strategy="steps",
        eval_steps=10,
    )
    trainer.compute_metrics = measured
    assert said_over_taken(trainer, clock) == pytest.approx(1.0, rel=0.1)


def said_over_taken(trainer, clock) -> float:
    """The time that a pre-flight says the full run takes over the time that it takes."""
    report = preflight(
        trainer, "eval_accuracy>=0.8", budget=1.0, history=None, signal_seconds=0, progress=False
    )
    before = clock.seconds
    trainer.train()
    return report.cost.full_seconds / (clock.seconds - before)
