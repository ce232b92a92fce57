"""How watched runs end: what their report says, and what they leave behind."""

from __future__ import annotations

import copy
import gc
import pickle
from pathlib import Path
from typing import Any

import pytest
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback

from hf_ftrisk import Goal, RunHistory, preflight
from hf_ftrisk.errors import PreflightArgumentError
from hf_ftrisk.text import fitting
from hf_ftrisk.verdict import Verdict
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.watch.tiny import bert_trainer


class NaNEvaluations(Trainer):
    """Every evaluation loss is NaN, as with rows whose labels are all masked."""

    def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
        loss, logits, labels = super().prediction_step(*args, **kwargs)
        return loss * float("nan"), logits, labels


@pytest.mark.parametrize("action", ["stop", "warn"])
def test_a_loss_goal_that_is_nan_at_every_evaluation_is_a_certain_failure(
    tmp_path: Path, action: Any
):
    trainer = bert_trainer(tmp_path, kind=NaNEvaluations, eval_steps=5)
    callback = FineTuneRiskCallback("eval_loss", action=action).attach(trainer)
    trainer.train()
    report = callback.report
    assert report.stopped_at == (15 if action == "stop" else None)
    assert report.verdict is Verdict.NO_GO
    (diagnosis,) = report.diagnoses
    assert (diagnosis.name, diagnosis.severity) == ("non_finite_evaluations", "fatal")
    assert "labels are all masked" in diagnosis.advice


def test_an_accuracy_goal_is_told_of_a_nan_loss_and_goes_on(tmp_path: Path):
    trainer = bert_trainer(tmp_path, kind=NaNEvaluations, max_steps=80)
    callback = FineTuneRiskCallback("eval_accuracy>=0.8").attach(trainer)
    trainer.train()
    report = callback.report
    assert report.stopped_at is None
    assert report.verdict is Verdict.GO
    first = report.diagnoses[0]
    assert (first.name, first.severity) == ("non_finite_evaluations", "warning")


@pytest.mark.parametrize(("target", "verdict"), [(0.5, Verdict.GO), (0.999, Verdict.NO_GO)])
def test_the_final_verdict_is_that_of_the_outcome(tmp_path: Path, target: float, verdict: Verdict):
    trainer = bert_trainer(tmp_path)
    callback = FineTuneRiskCallback(f"eval_accuracy>={target}", action="warn").attach(trainer)
    trainer.train()
    report = callback.report
    assert report.verdict is verdict
    word = "meets" if verdict is Verdict.GO else "misses"
    assert report.reasons[0] == (
        f"eval_accuracy ended at {report.outcome:.4g}, which {word} the goal of "
        f"eval_accuracy>={target:g}."
    )


def test_early_stopping_with_the_best_checkpoint_gives_an_outcome(tmp_path: Path):
    history = RunHistory(tmp_path / "runs.db")
    trainer = bert_trainer(
        tmp_path,
        max_steps=400,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        save_strategy="steps",
        save_steps=10,
        callbacks=[EarlyStoppingCallback(2)],
    )
    callback = FineTuneRiskCallback("eval_accuracy>=0.5", history=history).attach(trainer)
    trainer.train()
    assert trainer.state.global_step < 400
    (run,) = history.records()
    goal = Goal("accuracy")
    assert run.status == "stopped"
    assert run.has_outcome(goal)
    assert run.outcome(goal) == trainer.state.best_metric == callback.report.outcome
    assert run.settings["ended_early_at"] == trainer.state.global_step
    assert callback.report.verdict is Verdict.GO


def test_a_run_that_was_stopped_as_poor_has_no_outcome(tmp_path: Path):
    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            control.should_training_stop = state.global_step >= 20

    trainer = bert_trainer(tmp_path, callbacks=[Stop()])
    callback = FineTuneRiskCallback("eval_accuracy>=0.5").attach(trainer)
    trainer.train()
    # Without its best checkpoint what came of it is not known to be what was evaluated last.
    assert callback.report.outcome is None


class Raises(TrainerCallback):
    def __init__(self, event: str) -> None:
        setattr(self, event, self._raise)

    def _raise(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step >= 3:
            raise RuntimeError("of the user's own")


@pytest.mark.parametrize("event", ["on_step_begin", "on_step_end", "on_evaluate", "on_save"])
def test_the_trainers_methods_are_given_back_when_a_callback_raises(tmp_path: Path, event: str):
    trainer = bert_trainer(tmp_path, callbacks=[Raises(event)], save_strategy="steps", save_steps=5)
    FineTuneRiskCallback("eval_accuracy>=0.5").attach(trainer)
    with pytest.raises(RuntimeError, match="of the user's own"):
        trainer.train()
    assert "training_step" not in vars(trainer)
    assert "clip_grad_norm_" not in vars(trainer.accelerator)
    assert "call_event" not in vars(trainer.callback_handler)


def _broken_rows(rows: list[dict[str, Any]]) -> Any:
    raise ValueError("a row that cannot be collated")


@pytest.mark.parametrize("fault", ["data", "metrics", "step"])
def test_the_trainers_methods_are_given_back_when_the_training_fails(tmp_path: Path, fault: str):
    class Fails(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            if fault == "step" and self.state.global_step >= 3:
                raise ValueError("in a step")
            return super().training_step(*args, **kwargs)

    def metrics(prediction: Any) -> dict[str, float]:
        if fault == "metrics":
            raise ValueError("in compute_metrics")
        return {"accuracy": 0.5}

    settings: dict[str, Any] = {"data_collator": _broken_rows} if fault == "data" else {}
    trainer = bert_trainer(tmp_path, kind=Fails, compute_metrics=metrics, **settings)
    callback = FineTuneRiskCallback("eval_accuracy>=0.5").attach(trainer)
    try:
        trainer.train()
    except ValueError:
        pass
    else:
        pytest.fail("the training was to fail")
    gc.collect()  # the failed call is gone
    assert "training_step" not in vars(trainer)
    assert "clip_grad_norm_" not in vars(trainer.accelerator)
    assert "call_event" not in vars(trainer.callback_handler)
    callback.close()


def test_forecasts_stay_out_of_the_log_history_unless_asked_for(tmp_path: Path):
    for asked in (False, True):
        trainer = bert_trainer(tmp_path)
        FineTuneRiskCallback("eval_accuracy>=0.5", log_history=asked).attach(trainer)
        trainer.train()
        rows = [row for row in trainer.state.log_history if "ftrisk/forecast" in row]
        assert bool(rows) == asked


def test_a_callback_with_a_history_is_pickled_and_copied(tmp_path: Path):
    history = RunHistory(tmp_path / "runs.db")
    callback = FineTuneRiskCallback("eval_accuracy>=0.5", history=history)
    trainer = bert_trainer(tmp_path)
    callback.attach(trainer)
    trainer.train()
    for twin in (pickle.loads(pickle.dumps(callback)), copy.deepcopy(callback)):
        other = bert_trainer(tmp_path, seed=4)
        twin.attach(other)
        other.train()
        assert twin.report.outcome is not None
    assert len(history) == 2  # two of them repeat one run, value for value


def test_a_metric_in_letters_the_terminal_lacks_is_shown_by_escapes():
    assert fitting("eval_точность 0.5 ╭", "cp1252") == (
        "eval_\\u0442\\u043e\\u0447\\u043d\\u043e\\u0441\\u0442\\u044c 0.5 \\u256d"
    )
    assert fitting("eval_точность", "utf-8") == "eval_точность"
    assert fitting("a", None) == "a"


def test_a_run_without_a_step_is_neither_watched_nor_probed(tmp_path: Path, caplog: Any):
    trainer = bert_trainer(tmp_path, max_steps=-1, num_train_epochs=0)
    with pytest.raises(PreflightArgumentError, match="plans no step"):
        preflight(trainer, goal="eval_accuracy>=0.8")
    callback = FineTuneRiskCallback("eval_accuracy>=0.8").attach(trainer)
    trainer.train()
    assert callback.report is None
    assert "there is nothing to watch" in caplog.text


class LostAtTheEnd(Trainer):
    """The last evaluations have a loss of NaN."""

    def prediction_step(self, *args, **kwargs):
        loss, logits, labels = super().prediction_step(*args, **kwargs)
        return loss * (float("nan") if self.state.global_step > 30 else 1.0), logits, labels


def test_of_a_value_that_is_no_number_in_the_end_no_spread_and_no_depth_are_told(tmp_path: Path):
    trainer = bert_trainer(tmp_path, kind=LostAtTheEnd, max_steps=36, eval_steps=6)
    callback = FineTuneRiskCallback("eval_loss", action="warn", history=None)
    trainer.add_callback(callback)
    trainer.train()
    report = callback.report
    assert (report.decomposition, report.optimal_depth, report.risk_curve) == (None, None, ())
    assert "the last evaluation gave NaN for eval_loss" in " ".join(report.notes)
    assert "Best probing depth" not in report.to_markdown()
