"""A live run whose metric is on another scale than its name says, or is not reported at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import Trainer, TrainerCallback

from hf_ftrisk.errors import WatchArgumentError
from hf_ftrisk.policy import GO_PROBABILITY
from hf_ftrisk.verdict import Verdict
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.tiny_data import accuracy, classification_data
from tests.watch.tiny import bert_trainer


def _percent(prediction: Any) -> dict[str, float]:
    value = 100 * accuracy(prediction)["accuracy"]
    return {"f1": value, "accuracy": value}


def _watched(folder: Path, goal: str, **settings: Any) -> tuple[Trainer, FineTuneRiskCallback]:
    options = {name: settings.pop(name) for name in ("action", "goal_chosen") if name in settings}
    trainer = bert_trainer(folder, **settings)
    callback = FineTuneRiskCallback(goal, **options).attach(trainer)
    trainer.train()
    return trainer, callback


@pytest.mark.parametrize("goal", ["eval_f1", "eval_accuracy>=0.8", "eval_accuracy>=80"])
def test_a_good_run_in_percent_goes_on_and_is_a_go(tmp_path: Path, goal: str, capsys: Any):
    trainer, callback = _watched(
        tmp_path, goal, compute_metrics=_percent, eval_on_start=True, max_steps=80
    )
    report = callback.report
    assert trainer.state.global_step == 80
    assert report.stopped_at is None
    assert report.verdict is Verdict.GO
    assert (report.goal.kind, callback.goal.kind) == ("percent", "percent")
    low, high = report.forecast.interval(0.9)
    assert 60 < low <= high <= 100
    told = [line for line in capsys.readouterr().out.splitlines() if "in percent" in line]
    if goal != "eval_accuracy>=80":
        assert sum(line.startswith("[ftrisk]") for line in told) == 1
        assert any("is reported in percent" in note for note in report.notes)
    if "0.8" in goal:
        assert report.goal.target == 80.0


def test_a_dead_run_in_percent_is_no_go(tmp_path: Path):
    _, callback = _watched(
        tmp_path, "eval_accuracy", compute_metrics=_percent, max_steps=80, learning_rate=1e-9
    )
    report = callback.report
    assert report.baseline == pytest.approx(60.4, abs=0.1)  # the majority, on the same scale
    assert report.verdict is Verdict.NO_GO


def test_an_overlap_of_text_that_may_be_a_fraction_stops_no_run(tmp_path: Path):
    def bleu(prediction: Any) -> dict[str, float]:
        return {"bleu": 0.3 * accuracy(prediction)["accuracy"]}

    settings = {"compute_metrics": bleu, "max_steps": 80, "learning_rate": 1e-9}
    trainer, callback = _watched(tmp_path, "eval_bleu>=20", **settings)
    assert callback.report.stopped_at is None
    assert trainer.state.global_step == 80


class Negative(Trainer):
    """A loss that falls below 0, as the likelihood of a density's does."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        return (loss[0] - 3, loss[1]) if isinstance(loss, tuple) else loss - 3


@pytest.mark.parametrize("on_start", [True, False])
def test_a_loss_below_zero_is_forecast_where_it_is(tmp_path: Path, on_start: bool):
    _, callback = _watched(tmp_path, "eval_loss", kind=Negative, eval_on_start=on_start)
    report = callback.report
    assert report.goal.kind == "real"
    low, high = report.forecast.interval(0.9)
    assert low < report.outcome < high
    assert -4 < low < high < -2
    if on_start:
        assert report.verdict is Verdict.GO


class Own(Trainer):
    """Evaluates in its own way, and tells no callback."""

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        metrics = {"eval_accuracy": 0.7}
        self.log(dict(metrics))
        return metrics


@pytest.mark.parametrize(("goal", "verdict"), [("0.5", Verdict.GO), ("0.9", Verdict.NO_GO)])
def test_an_evaluation_that_is_only_logged_is_read(tmp_path: Path, goal: str, verdict: Verdict):
    _, callback = _watched(tmp_path, f"eval_accuracy>={goal}", kind=Own, action="warn")
    report = callback.report
    assert report.run.evals["eval_accuracy"].tolist() == [0.7] * 4
    assert report.outcome == 0.7
    assert report.verdict is verdict
    assert len(report.looks) >= 3


def test_without_a_single_evaluation_there_is_no_verdict(tmp_path: Path):
    seen: list[Any] = []

    class Asks(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if state.global_step == 38:
                seen.append(callback.report)

    trainer = bert_trainer(tmp_path, eval_steps=1000, callbacks=[Asks()])
    callback = FineTuneRiskCallback("eval_accuracy>=0.001").attach(trainer)
    trainer.train()
    (report,) = seen
    # As likely as a GO asks for: it is the missing evaluation alone that withholds it.
    assert report.looks[-1].prob_good >= GO_PROBABILITY
    assert report.verdict is Verdict.UNDECIDED
    assert "has not been evaluated yet" in report.reasons[0]


class TrainingSet(TrainerCallback):
    """Evaluates the training set at the end of each epoch."""

    trainer: Any = None

    def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        asked = vars(control).copy()
        self.trainer.evaluate(self.trainer.train_dataset, metric_key_prefix="train")
        vars(control).update(asked)


def test_an_evaluation_of_the_training_set_is_none_of_the_goal(tmp_path: Path):
    other = TrainingSet()
    trainer = bert_trainer(
        tmp_path,
        max_steps=-1,
        num_train_epochs=4,
        eval_strategy="epoch",
        save_strategy="epoch",
        callbacks=[other],
    )
    other.trainer = trainer
    callback = FineTuneRiskCallback("eval_accuracy>=0.8", action="warn").attach(trainer)
    trainer.train()
    assert not any("reports no" in note for note in callback.report.notes)
    assert callback.report.run.eval_step.tolist() == [12, 24, 36, 48]
    trainer.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-36"))
    assert callback.report.run.eval_step.tolist() == [12, 24, 36, 48]


class NamedByItself(Trainer):
    """A subclass with an evaluation loop of its own, as TRL's and sentence-transformers' are."""

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        return super().evaluation_loop(*args, **kwargs)


@pytest.mark.parametrize("kind", [Trainer, NamedByItself])
def test_the_loss_of_named_sets_is_refused_by_their_names(tmp_path: Path, kind: type[Trainer]):
    sets: dict[str, Dataset] = {
        "a": classification_data(16, seed=3),
        "b": classification_data(16, seed=4),
    }
    trainer = bert_trainer(tmp_path, kind=kind, eval_dataset=sets)
    with pytest.raises(WatchArgumentError, match="'eval_a_loss'"):
        FineTuneRiskCallback("eval_loss").attach(trainer)
    callback = FineTuneRiskCallback("eval_b_loss").attach(trainer)
    trainer.train()
    assert callback.report.outcome == pytest.approx(
        callback.report.run.evals["eval_b_loss"].tolist()[-1]
    )


def test_a_metric_that_no_named_set_reports_is_told(tmp_path: Path):
    sets = {"a": classification_data(16, seed=3), "b": classification_data(16, seed=4)}
    _, callback = _watched(tmp_path, "eval_b_f1", kind=NamedByItself, eval_dataset=sets)
    (note,) = [note for note in callback.report.notes if "reports eval_b_f1" in note]
    assert "eval_a_accuracy" in note
    assert "eval_b_accuracy" in note


def test_a_goal_that_nobody_asked_for_gives_way_to_a_metric_that_is_reported(tmp_path: Path):
    _, callback = _watched(tmp_path, "eval_f1", goal_chosen=True)
    report = callback.report
    assert report.goal.metric == "eval_accuracy"
    assert "eval_f1 is not reported: the run is judged by eval_accuracy." in report.notes
    assert len(report.looks) >= 3


@pytest.mark.parametrize("metrics", [True, False])
def test_a_choice_of_checkpoints_that_must_fail_is_told_before_it_does(
    tmp_path: Path, metrics: bool, capsys: Any
):
    settings: dict[str, Any] = {} if metrics else {"compute_metrics": None}
    trainer = bert_trainer(tmp_path, metric_for_best_model="f1", **settings)
    FineTuneRiskCallback("eval_loss").attach(trainer)
    with pytest.raises(KeyError, match="metric_for_best_model"):
        trainer.train()
    said = capsys.readouterr().out
    assert "metric_for_best_model is" in said
    assert ("without compute_metrics" in said) == (not metrics)
