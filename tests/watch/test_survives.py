"""Ways a training can begin, end and begin again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.utils.data import IterableDataset
from transformers import Trainer

from hf_ftrisk.policy import look_steps
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.tiny_data import classification_data, weights_hash
from tests.watch.test_stop import POOR, watcher
from tests.watch.tiny import bert, bert_trainer

# Within reach: a run that is lost would be stopped.
GOAL = "eval_accuracy>=0.4"
SAVING: dict[str, Any] = {"save_strategy": "steps", "save_steps": 20, "logging_steps": 5}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """Weights of the whole run; its checkpoint with the callback, and one without."""
    checkpoints = []
    for callbacks in ([FineTuneRiskCallback(GOAL)], []):
        folder = tmp_path_factory.mktemp("whole")
        trainer = bert_trainer(folder, callbacks=callbacks, **SAVING)
        trainer.train()
        checkpoints.append(Path(trainer.args.output_dir) / "checkpoint-20")
    return weights_hash(trainer.model), *checkpoints


@pytest.mark.parametrize("restore", [False, True])
@pytest.mark.parametrize("origin", ["with the callback", "without it"])
def test_resuming_goes_on_where_the_run_stood(
    tmp_path: Path, whole: tuple[str, Path, Path], restore: bool, origin: str
):
    callback = FineTuneRiskCallback(GOAL)
    trainer = bert_trainer(
        tmp_path,
        callbacks=[callback],
        restore_callback_states_from_checkpoint=restore,
        **SAVING,
    )
    checkpoint = whole[1] if origin == "with the callback" else whole[2]
    trainer.train(resume_from_checkpoint=str(checkpoint))
    assert weights_hash(trainer.model) == whole[0]
    assert (Path(trainer.args.output_dir) / "checkpoint-40").exists()
    report = callback.report
    # Before the checkpoint what was logged, after it every step.
    assert report.run.train_step.tolist() == [5, 10, 15, 20, *range(21, 41)]
    assert report.run.eval_step.tolist() == [10, 20, 30, 40]
    assert [look.step for look in report.looks] == [23, 30, 33]
    assert report.settings["resumed_at"] == 20
    assert report.run.status == "finished"


def test_a_second_training_is_watched_anew(tmp_path: Path):
    callback = FineTuneRiskCallback(GOAL, report_dir=tmp_path)
    trainer = bert_trainer(tmp_path, callbacks=[callback])
    trainer.train()
    first = callback.report
    trainer.train()
    assert callback.report.run.train_step.tolist() == list(range(1, 41))
    assert callback.report.run.train_loss[0] != first.run.train_loss[0]
    assert {file.name for file in tmp_path.glob("*.json")} == {"watch.json", "watch-2.json"}


class OutOfMemory(Trainer):
    """Has no memory for batches of more than 4 rows, which shows at the third step."""

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        if inputs["input_ids"].shape[0] > 4 and self.state.global_step == 2:
            raise RuntimeError("CUDA out of memory.")
        return super().training_step(model, inputs, *args, **kwargs)


def test_a_smaller_batch_size_starts_the_watching_over(tmp_path: Path):
    callback = FineTuneRiskCallback(GOAL)
    trainer = bert_trainer(
        tmp_path, kind=OutOfMemory, callbacks=[callback], auto_find_batch_size=True
    )
    trainer.train()
    assert trainer.state.train_batch_size <= 4
    assert callback.report.run.train_step.tolist() == list(range(1, 41))
    assert "training_step" not in vars(trainer)


def test_loading_the_best_model_at_the_end(tmp_path: Path):
    callback = watcher(history=None)
    trainer = bert_trainer(
        tmp_path,
        callbacks=[callback],
        save_strategy="steps",
        save_steps=10,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
    )
    trainer.train()
    values = [e["eval_accuracy"] for e in trainer.state.log_history if "eval_accuracy" in e]
    assert callback.report.outcome == max(values) == trainer.state.best_metric


def test_a_stopped_run_loads_its_best_model(tmp_path: Path):
    callback = watcher()
    trainer = bert_trainer(
        tmp_path,
        callbacks=[callback],
        save_strategy="steps",
        save_steps=10,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        **POOR,
    )
    trainer.train()
    assert callback.report.stopped_at == 10
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-10")


def test_rows_that_come_as_a_stream(tmp_path: Path):
    class Stream(IterableDataset[dict[str, Any]]):
        def __iter__(self) -> Any:
            return iter(classification_data(96, seed=1).with_format("torch"))

    callback = FineTuneRiskCallback(GOAL)
    trainer = bert_trainer(tmp_path, train_dataset=Stream(), callbacks=[callback])
    trainer.train()
    report = callback.report
    assert [look.step for look in report.looks] == look_steps(40, [10, 20, 30]).tolist()
    assert "streamed rows" in report.settings["task"]


def test_streams_of_datasets_are_watched_and_left_alone(tmp_path: Path):
    """Training and evaluation rows as `datasets` streams them; nothing reads them for labels."""
    callback = FineTuneRiskCallback(GOAL)
    hashes = []
    for callbacks in ([], [callback]):
        trainer = bert_trainer(
            tmp_path,
            train_dataset=classification_data(96, seed=1).to_iterable_dataset(),
            eval_dataset=classification_data(48, seed=2).to_iterable_dataset(),
            eval_on_start=True,
            callbacks=callbacks,
        )
        trainer.train()
        hashes.append(weights_hash(trainer.model))
    assert hashes[0] == hashes[1]
    assert callback._fault is None
    report = callback.report
    assert [look.step for look in report.looks] == look_steps(40, [0, 10, 20, 30]).tolist()
    # Without labels that can be counted the untrained model is the baseline.
    assert report.baseline == report.looks[0].observed
    assert report.outcome is not None


def test_a_stream_that_ends_early_is_not_called_finished(tmp_path: Path):
    callback = FineTuneRiskCallback(GOAL)
    trainer = bert_trainer(tmp_path, callbacks=[callback, _EndsAt(15)])
    trainer.train()
    assert callback.report.run.status == "stopped"
    assert callback.report.stopped_at is None
    assert "The run ended at step 15, before its planned end." in callback.report.notes


class _EndsAt(FineTuneRiskCallback.__base__):  # type: ignore[misc, name-defined]
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        control.should_training_stop = control.should_training_stop or state.global_step == 15


class LostAtTinyRates(Trainer):
    """Its loss is NaN in trials with a tiny learning rate."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        lost = self.model.training and self.args.learning_rate < 1e-6
        return loss * float("nan") if lost else loss


@pytest.mark.parametrize(
    ("rates", "states"),
    [
        ((5e-3, 1e-9), ["COMPLETE", "PRUNED"]),
        ((5e-3, 4e-3), ["COMPLETE", "COMPLETE"]),
        # Optuna has no best trial of pruned ones alone: the first ends as it is.
        ((1e-9, 5e-3), ["COMPLETE", "COMPLETE"]),
        ((1e-9, 1e-8), ["COMPLETE", "PRUNED"]),
    ],
)
def test_a_stopped_trial_is_pruned_once_the_search_has_a_result(
    tmp_path: Path, rates: tuple[float, float], states: list[str], capsys: Any
):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    callback = FineTuneRiskCallback(GOAL, check_steps=4)
    trainer = bert_trainer(
        tmp_path,
        kind=LostAtTinyRates,
        model_init=lambda trial: bert(),
        callbacks=[callback],
        eval_steps=20,
    )
    studies: list[Any] = []
    original = optuna.create_study

    def create_study(**kwargs: Any) -> Any:
        studies.append(original(**kwargs))
        return studies[-1]

    asked = iter(rates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optuna, "create_study", create_study)
        best = trainer.hyperparameter_search(
            lambda trial: {"learning_rate": next(asked)},
            backend="optuna",
            n_trials=2,
            direction="maximize",
            compute_objective=lambda metrics: metrics["eval_accuracy"],
            pruner=optuna.pruners.NopPruner(),
        )
    assert [trial.state.name for trial in studies[0].trials] == states
    assert best.objective is not None
    ended = "this one ends as it is instead of being pruned" in capsys.readouterr().out
    assert ended == (rates[0] < 1e-6)
    assert "training_step" not in vars(trainer)
    pruned = [t for t in studies[0].trials if t.state.name == "PRUNED"]
    assert [sorted(t.intermediate_values) for t in pruned] == [[]] * len(pruned)


def test_the_steps_come_from_the_epochs(tmp_path: Path):
    callback = FineTuneRiskCallback(GOAL)
    trainer = bert_trainer(
        tmp_path, max_steps=-1, num_train_epochs=2.5, eval_steps=12, callbacks=[callback]
    )
    trainer.train()
    assert callback.report.cost.full_steps == 30
    assert callback.report.run.steps_per_epoch == 12


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0.0},
        {"lr_scheduler_type": "reduce_lr_on_plateau", "metric_for_best_model": "eval_loss"},
        {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}},
        {"optim": "adafactor", "max_grad_norm": 0.0},
        {"eval_delay": 15},
        {"eval_steps": 1},
        {"max_steps": 1},
        {"gradient_accumulation_steps": 5, "max_steps": -1, "num_train_epochs": 2},
        {
            "batch_eval_metrics": True,
            "compute_metrics": lambda p, compute_result: {"accuracy": 0.5},
        },
    ],
    ids=lambda settings: " ".join(settings),
)
def test_settings_that_are_rare_are_watched_and_left_alone(
    tmp_path: Path, settings: dict[str, Any]
):
    callback = FineTuneRiskCallback(GOAL, check_steps=3)
    hashes = []
    for callbacks in ([], [callback]):
        trainer = bert_trainer(tmp_path, callbacks=callbacks, **settings)
        trainer.train()
        hashes.append(weights_hash(trainer.model))
    assert hashes[0] == hashes[1]
    assert callback._fault is None
    assert callback.report.run.train_step.tolist() == list(range(1, trainer.state.max_steps + 1))
    assert callback.report.outcome is not None


def test_a_scheduler_of_the_users_own_is_foreseen(tmp_path: Path):
    model = bert()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=41)
    callback = FineTuneRiskCallback(GOAL)
    trainer = bert_trainer(
        tmp_path, model=model, optimizers=(optimizer, scheduler), callbacks=[callback]
    )
    trainer.train()
    run = callback.report.run
    np.testing.assert_allclose(run.schedule, run.learning_rate, rtol=1e-6)
    assert isinstance(trainer.train_dataset, Dataset)
