"""What the user must know is said before a step is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer

from hf_ftrisk.errors import WatchArgumentError
from hf_ftrisk.goal import Goal
from hf_ftrisk.trainers.plan import check_arguments
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.tiny_data import weights_hash
from tests.watch.tiny import bert, bert_trainer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"goal": "eval_accuracy<=0.9"}, "wrong direction"),
        ({"goal": "eval_accuracy>=900"}, "must lie in"),
        ({"goal": "accuracy", "rule": "median"}, "the rules are calibrated, patience"),
        ({"goal": "eval_zzz"}, "cannot tell whether a greater"),
        ({"goal": "accuracy", "action": "halt"}, "'stop' or 'warn', got 'halt'"),
        ({"goal": "accuracy", "false_stop_rate": 0.0}, r"must lie in \(0, 1\).*got 0.0"),
        ({"goal": "accuracy", "check_steps": 0}, "at least 1.*got 0"),
    ],
)
def test_unusable_arguments_are_refused_at_once(arguments: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        FineTuneRiskCallback(**arguments)


def test_a_history_of_other_things_is_refused():
    with pytest.raises(TypeError, match="it holds a float"):
        FineTuneRiskCallback("accuracy", history=[0.9, 0.8])


def refused(folder: Path, goal: Goal | str, message: str, **settings: Any) -> None:
    """Both ways in refuse, and nothing has been trained."""
    data = settings.pop("named_sets", None)
    attached = bert_trainer(folder, **settings)
    added = bert_trainer(folder, callbacks=[FineTuneRiskCallback(goal)], **settings)
    for trainer in (attached, added):
        if data is not None:
            trainer.eval_dataset = dict.fromkeys(data, trainer.eval_dataset)
    with pytest.raises(WatchArgumentError, match=message):
        FineTuneRiskCallback(goal).attach(attached)
    with pytest.raises(WatchArgumentError, match=message):
        added.train()
    assert added.state.global_step == 0
    assert weights_hash(added.model) == weights_hash(bert())


def test_a_metric_that_nothing_computes(tmp_path: Path):
    refused(tmp_path, "eval_f1>=0.9", "no compute_metrics", compute_metrics=None)


def test_a_goal_without_evaluation_data_is_refused_only_where_data_are_needed(tmp_path: Path):
    trainer = bert_trainer(tmp_path, eval_dataset=None, eval_strategy="no")
    goal = Goal("eval_accuracy", target=0.9)
    check_arguments(trainer, goal)
    with pytest.raises(WatchArgumentError, match="no eval_dataset to measure eval_accuracy on"):
        check_arguments(trainer, goal, needs_data=True)


def test_a_goal_on_none_of_the_named_sets(tmp_path: Path):
    refused(
        tmp_path,
        "eval_accuracy>=0.9",
        r"named sets \['dev', 'test'\].*'eval_dev_accuracy'",
        named_sets=["test", "dev"],
    )


def test_the_opposite_of_the_trainers_direction(tmp_path: Path):
    refused(
        tmp_path,
        Goal("eval_accuracy"),
        "a greater eval_accuracy is better, for the TrainingArguments a smaller one.*=False",
        metric_for_best_model="accuracy",
        greater_is_better=False,
    )


def test_attach_adds_the_callback_once(tmp_path: Path):
    trainer = bert_trainer(tmp_path)
    callback = FineTuneRiskCallback("accuracy>=0.9")
    assert callback.attach(trainer) is callback
    callback.attach(trainer)
    assert sum(one is callback for one in trainer.callback_handler.callbacks) == 1


def test_metrics_of_an_evaluation_of_its_own_cannot_be_known(tmp_path: Path):
    class OwnEvaluation(Trainer):
        def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            metrics = super().evaluate(*args, **kwargs)
            return metrics

    trainer = bert_trainer(tmp_path, kind=OwnEvaluation, compute_metrics=None)
    FineTuneRiskCallback("eval_f1>=0.9").attach(trainer)
