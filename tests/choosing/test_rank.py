"""Real Trainers: paused and carried on without a trace, faults that end one candidate."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, set_seed

from hf_ftrisk.choosing import rank
from hf_ftrisk.choosing.leg import run_order
from hf_ftrisk.choosing.orders import Order
from hf_ftrisk.goal import Goal
from tests.tiny_data import weights_hash
from tests.watch.tiny import bert_trainer

pytestmark = pytest.mark.slow


def maker(folder: Path, **settings: Any) -> Callable[[], Trainer]:
    return lambda: bert_trainer(folder / "own", **settings)


def uninterrupted(make: Callable[[], Trainer]) -> str:
    set_seed(0)
    trainer = make()
    trainer.train()
    return weights_hash(trainer.model)


SETTINGS: dict[str, dict[str, Any]] = {
    "within an epoch": {},
    "no evaluation of its own": {"eval_strategy": "no"},
    "evaluated and saved at epochs": {"eval_strategy": "epoch", "save_strategy": "epoch"},
    "best checkpoints": {
        "save_strategy": "best",
        "metric_for_best_model": "accuracy",
        "load_best_model_at_end": True,
    },
    "accumulated gradients": {"gradient_accumulation_steps": 2},
    "weights alone": {"save_only_model": True, "save_strategy": "steps", "save_steps": 10},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_paused_run_is_bit_by_bit_the_one_never_paused(tmp_path: Path, name: str) -> None:
    """Pauses within an epoch, at the end of one (of 12 steps), at an evaluation (every 10th)."""
    make = maker(tmp_path, **SETTINGS[name])
    goal, checkpoint = Goal("accuracy"), None
    for target in (7, 12, 20):
        reached = run_order(make, Order("a", goal, target, str(tmp_path / "rank"), checkpoint))
        assert reached.fault is None
        assert reached.step >= target
        checkpoint = reached.checkpoint
    set_seed(0)
    trainer = make()
    trainer.train(resume_from_checkpoint=checkpoint)
    assert weights_hash(trainer.model) == uninterrupted(make)


def test_the_winners_run_goes_on_from_its_probe(tmp_path: Path) -> None:
    rates = {"good": 5e-2, "idle": 1e-7, "slow": 1e-4}
    makes = {name: maker(tmp_path, learning_rate=rate) for name, rate in rates.items()}
    ranking = rank(makes, "eval_accuracy", budget=0.5, folder=tmp_path / "rank", signal_seconds=1)
    assert ranking.best is not None
    assert ranking.best.name == "good"
    assert ranking.spent <= 0.5 + 1e-9
    trainer = makes["good"]()
    trainer.train(resume_from_checkpoint=ranking.best.checkpoint)
    assert trainer.state.global_step == 40
    assert weights_hash(trainer.model) == uninterrupted(makes["good"])


def test_one_trainer_lives_at_a_time(tmp_path: Path) -> None:
    built: weakref.WeakSet[Trainer] = weakref.WeakSet()

    def make() -> Trainer:
        assert not built
        trainer = bert_trainer(tmp_path / "own")
        built.add(trainer)
        return trainer

    ranking = rank({"a": make, "b": make}, "eval_accuracy", folder=tmp_path / "rank")
    assert [entry.status for entry in ranking.entries] == ["open", "open"]
    assert not built


def test_faults_end_their_candidate_and_not_the_ranking(tmp_path: Path) -> None:
    class OutOfMemory(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

    makes = {
        "fine": maker(tmp_path),
        "too large": maker(tmp_path, callbacks=[OutOfMemory()]),
        "no trainer": lambda: "a Trainer",
        "no data": maker(tmp_path, eval_dataset=None, eval_strategy="no"),
        "diverges": maker(tmp_path, learning_rate=1e30),
    }
    ranking = rank(makes, "eval_accuracy", folder=tmp_path / "rank", signal_seconds=0)
    assert ranking.best is not None
    assert ranking.best.name == "fine"
    assert "OutOfMemoryError" in ranking["too large"].decided_by
    assert "must return a transformers Trainer" in ranking["no trainer"].decided_by
    assert "eval_dataset" in ranking["no data"].decided_by
    assert ranking["too large"].status == "failed"


def test_a_run_that_ends_itself_is_complete(tmp_path: Path) -> None:
    make = maker(
        tmp_path,
        learning_rate=0.0,
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        callbacks=[EarlyStoppingCallback(2)],
    )
    reached = run_order(make, Order("a", Goal("accuracy"), 30, str(tmp_path / "rank")))
    assert reached.ended
    assert reached.step < 30
    assert reached.record is not None
    assert reached.record.has_outcome(Goal("accuracy"))


def test_a_survey_trains_nothing_and_knows_the_plan(tmp_path: Path) -> None:
    order = Order("a", Goal("accuracy"), 0, str(tmp_path / "rank"), signal_seconds=2.0)
    reached = run_order(maker(tmp_path), order)
    assert reached.record is not None
    assert reached.step == 0
    assert reached.record.max_steps == 40
    assert reached.record.schedule is not None
    assert reached.record.static


def test_the_same_seeds_give_the_same_ranking(tmp_path: Path) -> None:
    makes = {f"{rate}": maker(tmp_path, learning_rate=rate) for rate in (1e-2, 1e-3)}
    first, second = (
        rank(makes, "eval_accuracy", folder=tmp_path / part, signal_seconds=0).to_dict()
        for part in ("one", "two")
    )
    for entry in (*first["entries"], *second["entries"]):
        del entry["checkpoint"]
    assert first == second
