"""When a run is ended, what is said, and what is left behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer

from hf_ftrisk.goal import Goal
from hf_ftrisk.history import RunHistory, given
from hf_ftrisk.policy.ruling import Ruling
from hf_ftrisk.record import RunRecord
from hf_ftrisk.verdict import Verdict
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.tiny_data import weights_hash
from tests.watch.tiny import bert_trainer

GOAL = "eval_accuracy>=0.9"
# Learns nothing: what it reaches at first is what it ends with.
POOR: dict[str, Any] = {"learning_rate": 1e-9}


def good_runs(count: int = 12) -> list[RunRecord]:
    """Completed runs of the same length that all met the goal."""
    rng = np.random.default_rng(0)
    steps = np.arange(10, 41, 10)
    return [
        RunRecord(
            max_steps=40,
            eval_step=steps,
            evals={"eval_accuracy": 0.97 - 0.3 / steps - 0.01 * rng.random(4)},
            task="t",
            seed=seed,
        )
        for seed in range(count)
    ]


def watcher(**arguments: Any) -> FineTuneRiskCallback:
    return FineTuneRiskCallback(
        GOAL, **({"history": good_runs(), "false_stop_rate": 0.2, "task": "t"} | arguments)
    )


def test_a_poor_run_is_stopped_by_the_rule_and_leaves_a_checkpoint(tmp_path: Path, capsys: Any):
    callback = watcher()
    trainer = bert_trainer(tmp_path, save_strategy="steps", save_steps=500, **POOR)
    callback.attach(trainer)
    trainer.train()
    report = callback.report
    assert report.stopped_at == trainer.state.global_step == 10
    assert report.verdict is Verdict.NO_GO
    assert (report.cost.spent_steps, report.cost.saved_steps) == (10, 30)
    assert report.run.status == "stopped"
    assert report.outcome is None
    # One paragraph: probability, forecast, threshold, and one change.
    said = next(
        line for line in capsys.readouterr().out.splitlines() if "stopping this run" in line
    )
    assert "P(eval_accuracy >= 0.9) = " in said
    assert "at most 20 % of good runs ever fall" in said
    assert report.reasons[0] in said
    assert report.reasons[1] in said
    assert "Raise the learning rate: its peak of 1e-09 is too low" in said
    # The checkpoint is one to go on from.
    later = bert_trainer(tmp_path, **POOR)
    later.train(resume_from_checkpoint=str(Path(trainer.args.output_dir) / "checkpoint-10"))
    assert later.state.global_step == 40


def test_a_learning_rate_alone_stops_nothing(tmp_path: Path):
    """With a history in which the rate decides, P(good) is below the threshold from the start."""
    good, rates = good_runs(20), np.linspace(1.0, 0.0, 40, endpoint=False)
    poor = [replace(run, evals={"eval_accuracy": [0.5] * 4}) for run in good_runs(20)]
    history = [replace(run, schedule=5e-3 * rates) for run in good]
    history += [replace(run, schedule=1e-9 * rates) for run in poor]
    callback = watcher(history=history)
    trainer = bert_trainer(tmp_path, callbacks=[callback], eval_on_start=True, **POOR)
    trainer.train()
    looks = callback.report.looks
    assert [look.step for look in looks][:3] == [0, 2, 3]
    assert max(look.prob_good for look in looks[:3]) < 0.2
    assert callback.report.stopped_at == 10


def test_a_good_run_is_not_stopped(tmp_path: Path):
    callback = watcher()
    trainer = bert_trainer(tmp_path, callbacks=[callback])
    trainer.train()
    assert trainer.state.global_step == 40
    assert callback.report.stopped_at is None
    assert "completed runs" in callback.report.settings["risk_curve_from"]
    assert callback.report.settings["completed_runs"] == 12


def test_warn_never_stops(tmp_path: Path, capsys: Any):
    callback = watcher(action="warn")
    trainer = bert_trainer(tmp_path, callbacks=[callback], **POOR)
    trainer.train()
    assert trainer.state.global_step == 40
    assert callback.report.stopped_at is None
    assert callback.report.verdict is Verdict.NO_GO
    assert capsys.readouterr().out.count("this run looks poor; it goes on") == 1


def test_patience_stops_a_run_after_three_poor_evaluations(tmp_path: Path, capsys: Any):
    callback = FineTuneRiskCallback("eval_loss<=0.01", rule="patience")
    trainer = bert_trainer(tmp_path, callbacks=[callback], **POOR)
    trainer.train()
    assert trainer.state.global_step == callback.report.stopped_at == 30
    assert "at the last 3 evaluations" in capsys.readouterr().out


class EndsAt20:
    """A rule of one's own."""

    can_stop = True

    def __init__(self, goal: Goal, forecaster: Any, history: Any, false_stop_rate: float) -> None:
        self.goal, self.forecaster, self.made_with = goal, forecaster, (history, false_stop_rate)

    def judge(self, record: RunRecord) -> Ruling:
        verdict = Verdict.NO_GO if record.last_step >= 20 else Verdict.GO
        return Ruling(verdict, f"Step {record.last_step}.")

    def why_silent(self, record: RunRecord) -> str | None:
        return None


def test_a_rule_of_one_s_own_decides(tmp_path: Path):
    callback = watcher(rule=EndsAt20)
    trainer = bert_trainer(tmp_path, callbacks=[callback])
    trainer.train()
    assert trainer.state.global_step == callback.report.stopped_at == 20
    assert callback.report.reasons[0] == "Step 20."
    assert callback.report.forecast is not None


def test_a_rule_that_fails_ends_the_watching_alone(tmp_path: Path, caplog: Any):
    class Broken(EndsAt20):
        def judge(self, record: RunRecord) -> Ruling:
            raise KeyError("no such thing")

    trainer = bert_trainer(tmp_path, callbacks=[watcher(rule=Broken)])
    trainer.train()
    assert trainer.state.global_step == 40
    assert "this run is no longer watched, the training goes on: KeyError" in caplog.text


def test_without_completed_runs_packaged_ones_stop_a_run_that_is_lost(tmp_path: Path, capsys: Any):
    callback = FineTuneRiskCallback(GOAL)
    trainer = bert_trainer(tmp_path, callbacks=[callback], **POOR)
    trainer.train()
    # At which look depends on the packaged scores, which are fitted anew now and then: after an
    # evaluation of the trained model (every 10 steps), and not after the last one before its end.
    assert trainer.state.global_step == callback.report.stopped_at
    assert 10 <= callback.report.stopped_at <= 33
    said = " ".join(capsys.readouterr().out.split())
    assert "set for at most 5 % of good runs" in said
    assert "other sources, not of this task" in said


def test_without_completed_runs_a_loss_that_is_out_of_reach_ends_a_run(tmp_path: Path, capsys: Any):
    # At 5 % only past four fifths of a run: losses that just meet a target often look lost.
    callback = FineTuneRiskCallback("eval_loss<=0.01", false_stop_rate=0.1)
    trainer = bert_trainer(tmp_path, callbacks=[callback], **POOR)
    trainer.train()
    assert trainer.state.global_step == callback.report.stopped_at
    assert 10 <= callback.report.stopped_at < 40
    assert "other sources, not of this task" in " ".join(capsys.readouterr().out.split())


def test_without_completed_runs_nothing_is_stopped_for_a_metric_of_no_known_range(
    tmp_path: Path, capsys: Any
):
    callback = FineTuneRiskCallback(Goal("eval_accuracy", target=0.99, kind="real"))
    trainer = bert_trainer(tmp_path, callbacks=[callback], **POOR)
    trainer.train()
    assert trainer.state.global_step == 40
    assert "needs 19 more for false_stop_rate 0.05" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("strategy", "asked", "saved"),
    [("no", None, False), ("no", True, True), ("steps", False, False), ("best", None, True)],
)
def test_a_stop_saves_as_the_user_asked(tmp_path: Path, strategy: str, asked: Any, saved: bool):
    settings = {"metric_for_best_model": "accuracy"} if strategy == "best" else {}
    callback = watcher(save_on_stop=asked)
    trainer = bert_trainer(
        tmp_path, callbacks=[callback], save_strategy=strategy, save_steps=500, **settings, **POOR
    )
    trainer.train()
    assert callback.report.stopped_at == 10
    assert (Path(trainer.args.output_dir) / "checkpoint-10").exists() is saved


class NaNFrom(Trainer):
    """Its loss is NaN from a step on; before that it trains as usual."""

    first = 5

    def compute_loss(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().compute_loss(*args, **kwargs)
        training = self.model.training and self.state.global_step + 1 >= self.first
        return loss * float("nan") if training else loss


class NaNOnce(NaNFrom):
    """Its loss is NaN at one step, which leaves the weights alone."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.state.global_step + 1 != self.first:
            return Trainer.compute_loss(self, *args, **kwargs)
        return super().compute_loss(*args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            for parameter in self.model.parameters():
                parameter.grad = None
        return loss


def test_a_hidden_nan_is_named_with_its_step_and_stops_the_run(tmp_path: Path, capsys: Any):
    callback = FineTuneRiskCallback("eval_loss", check_steps=4)
    trainer = bert_trainer(
        tmp_path, kind=NaNFrom, callbacks=[callback], logging_steps=4, save_strategy="steps"
    )
    trainer.train()
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert np.isfinite(logged).all()  # Trainer's filter hides it
    out = capsys.readouterr().out
    assert "[ftrisk 5] the training loss is nan" in out
    report = callback.report
    # Lasted for 10 steps, 5 to 14, and is seen at the next check.
    assert report.stopped_at == trainer.state.global_step == 16
    assert "since step 5" in report.reasons[0]
    assert "At step 5 the training loss is nan." in report.notes
    assert report.diagnoses[0].name == "non_finite_loss"
    assert "Restart from a checkpoint before that step" in out


def test_ruined_weights_are_not_saved(tmp_path: Path):
    callback = FineTuneRiskCallback("eval_loss", check_steps=4)
    trainer = bert_trainer(
        tmp_path, kind=NaNFrom, callbacks=[callback], save_strategy="steps", save_steps=4
    )
    trainer.train()
    kept = {folder.name for folder in Path(trainer.args.output_dir).glob("checkpoint-*")}
    assert "checkpoint-4" in kept


def test_one_lost_step_is_said_but_stops_nothing(tmp_path: Path, capsys: Any):
    callback = FineTuneRiskCallback("eval_loss", check_steps=4)
    trainer = bert_trainer(tmp_path, kind=NaNOnce, callbacks=[callback])
    trainer.train()
    assert trainer.state.global_step == 40
    assert callback.report.stopped_at is None
    assert "[ftrisk 5] the training loss is nan" in capsys.readouterr().out


class Masked(Trainer):
    """No label reaches the loss, at all or in the first steps."""

    until = 10_000

    def compute_loss(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().compute_loss(*args, **kwargs)
        training = self.model.training and self.state.global_step < self.until
        return loss * 0.0 if training else loss


class MaskedFirst(Masked):
    until = 6


def test_masked_labels_stop_the_run(tmp_path: Path):
    callback = FineTuneRiskCallback("eval_loss")
    trainer = bert_trainer(tmp_path, kind=Masked, callbacks=[callback])
    trainer.train()
    assert callback.report.stopped_at == trainer.state.global_step <= 20
    assert callback.report.diagnoses[0].name == "all_labels_masked"


def test_a_few_masked_batches_do_not(tmp_path: Path):
    callback = FineTuneRiskCallback("eval_loss", check_steps=3)
    trainer = bert_trainer(tmp_path, kind=MaskedFirst, callbacks=[callback])
    trainer.train()
    assert callback.report.stopped_at is None


def test_the_finished_run_goes_to_the_history_under_its_task(tmp_path: Path):
    history = RunHistory(tmp_path / "runs.db")
    for seed in (3, 4):
        callback = FineTuneRiskCallback(GOAL, history=history)
        bert_trainer(tmp_path, seed=seed, callbacks=[callback]).train()
        assert callback.report.settings["completed_runs"] == seed - 3
    runs = history.records(metric="eval_accuracy")
    assert [run.status for run in runs] == ["finished", "finished"]
    assert len({run.task for run in runs}) == 1
    assert "96 rows (attention_mask, input_ids, labels), eval 48" in runs[0].task
    assert runs[0].outcome(callback.goal) is not None


def test_a_stopped_run_is_marked_in_the_history(tmp_path: Path):
    path = tmp_path / "runs.db"
    RunHistory(path).add_all(good_runs())
    callback = watcher(history=path)
    bert_trainer(tmp_path, callbacks=[callback], **POOR).train()
    added = RunHistory(path).records()[-1]
    assert (added.status, added.last_step, added.task) == ("stopped", 10, "t")


def test_of_a_large_history_the_latest_runs_are_used_and_that_is_said(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "runs.db"
    RunHistory(path).add_all([*good_runs(30), *(replace(r, task="u") for r in good_runs(5))])
    settings: dict[str, Any] = {"max_steps": 4, "eval_steps": 2}
    for most, said in ((30, 0), (20, 1)):
        monkeypatch.setattr(given, "MAX_RUNS", most)
        for history in (path, good_runs(30)):
            callback = watcher(history=history)
            bert_trainer(tmp_path, callbacks=[callback], **settings).train()
            text = f"only the latest {most} completed runs of this task are used"
            assert capsys.readouterr().out.count(f"[ftrisk] {text}") == said
            assert callback.report.settings["completed_runs"] == most
            assert (f"O{text[1:]}." in callback.report.notes) == bool(said)


def test_two_watched_runs_are_alike(tmp_path: Path):
    runs = []
    for _ in range(2):
        callback = watcher()
        trainer = bert_trainer(tmp_path, callbacks=[callback])
        trainer.train()
        runs.append((weights_hash(trainer.model), callback.report.looks))
    assert runs[0] == runs[1]
