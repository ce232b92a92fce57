"""A run that has nothing more to gain is ended, cooled down, or told of; never by default."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer

from hf_ftrisk.history import RunHistory
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import RiskReport
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from hf_ftrisk.watch.ending import CoolDown, Ending
from hf_ftrisk.watch.finishing import Finisher
from hf_ftrisk.watch.loop import watch_loop
from tests.tiny_data import weights_hash
from tests.watch.tiny import bert_trainer

# A target that the flat run meets: it is not poor, it only has nothing to gain.
GOAL = "eval_accuracy>=0.1"
# Learns nothing: every evaluation says the same.
FLAT: dict[str, Any] = {"learning_rate": 1e-9, "max_steps": 60, "eval_steps": 5}


def flat_runs(count: int = 20) -> list[RunRecord]:
    """Completed runs of the task that gained nothing after their first evaluation."""
    steps = np.arange(5, 61, 5)
    return [
        RunRecord(
            max_steps=60,
            eval_step=steps,
            evals={"eval_accuracy": np.full(12, 0.5)},
            task="t",
            seed=seed,
        )
        for seed in range(count)
    ]


def watcher(**arguments: Any) -> FineTuneRiskCallback:
    given: dict[str, Any] = {"history": flat_runs(), "task": "t", "finish": "gain"}
    return FineTuneRiskCallback(GOAL, **(given | arguments))


def test_a_run_with_nothing_to_gain_ends_and_its_report_says_what_was_saved(
    tmp_path: Path, capsys: Any
):
    callback = watcher()
    trainer = bert_trainer(tmp_path, save_strategy="steps", save_steps=5, **FLAT)
    callback.attach(trainer)
    trainer.train()
    step = trainer.state.global_step
    report = callback.report
    assert step < 60
    assert report.finish.step == step
    assert report.finish.way == "gain"
    assert report.stopped_at is None
    assert report.cost.saved_steps == 60 - step
    assert report.outcome == pytest.approx(report.finish.best)
    assert report.settings["lost_rate"] == 0.05
    said = capsys.readouterr().out
    assert f"finishing this run at step {step} of 60" in said
    assert f"Keep the checkpoint of step {report.finish.best_step}." in said
    assert (tmp_path / "out" / f"checkpoint-{step}").is_dir()


def test_the_best_checkpoint_is_loaded_as_trainer_loads_it(tmp_path: Path):
    callback = watcher()
    settings = {"metric_for_best_model": "accuracy", "load_best_model_at_end": True}
    trainer = bert_trainer(tmp_path, save_strategy="steps", save_steps=5, **FLAT, **settings)
    callback.attach(trainer)
    trainer.train()
    assert trainer.state.global_step < 60
    best = Path(trainer.state.best_model_checkpoint)
    assert best.name == f"checkpoint-{callback.report.finish.best_step}"
    kept = type(trainer.model).from_pretrained(best)
    assert weights_hash(kept) == weights_hash(trainer.model)


def test_nobody_asked_and_nothing_ends(tmp_path: Path):
    callback = watcher(finish=None)
    trainer = bert_trainer(tmp_path, **FLAT)
    callback.attach(trainer)
    trainer.train()
    assert trainer.state.global_step == 60
    assert callback.report.finish is None


def rises_and_stays(**arguments: Any) -> RiskReport:
    """A loop of 40 evaluations that is within a tenth of a point of its best after eight."""
    loop = watch_loop("eval_accuracy", 400, **arguments)
    with loop:
        for step in range(1, 401):
            loop.step(loss=0.3 + 1.0 / step)
            if step % 10 == 0:
                loop.evaluate({"accuracy": 0.9 - 0.6 * 0.4 ** (step / 10) + 1e-4 * (step % 20)})
    assert loop.report is not None
    return loop.report


def test_a_run_with_nothing_to_gain_is_hinted_at_once_where_nobody_asked(capsys: Any):
    report = rises_and_stays(baseline=0.5)
    said = capsys.readouterr().out
    assert report.run.last_step == 400
    assert report.finish is None
    (hint,) = report.diagnoses
    assert (hint.name, hint.severity) == ("nothing_to_gain", "info")
    assert said.count("finish='gain' would end it here") == 1
    assert hint.message[1:] in said
    assert f"From step {hint.evidence['step']:.0f} on, the last" in hint.message
    assert hint.evidence["step"] < 300


def test_a_run_that_is_no_better_than_its_baseline_is_given_no_hint(capsys: Any):
    report = rises_and_stays(baseline=0.95)
    assert "nothing_to_gain" not in [diagnosis.name for diagnosis in report.diagnoses]
    assert "would end it here" not in capsys.readouterr().out


def test_a_finished_run_counts_in_the_history_as_its_best_so_far_and_is_marked(tmp_path: Path):
    history = RunHistory(tmp_path / "runs.db")
    for record in flat_runs():
        history.add(record)
    callback = watcher(history=history)
    trainer = bert_trainer(tmp_path, **FLAT)
    callback.attach(trainer)
    trainer.train()
    last = history.records(task="t")[-1]
    assert last.status == "stopped"
    assert last.settings["finished_at"] == trainer.state.global_step
    assert last.outcome(callback.goal) == pytest.approx(callback.report.finish.best)


def test_a_target_that_holds_and_is_kept_ends_the_run(tmp_path: Path):
    callback = watcher(finish="goal")
    trainer = bert_trainer(tmp_path, **FLAT)
    callback.attach(trainer)
    trainer.train()
    report = callback.report
    assert trainer.state.global_step < 60
    assert report.finish.way == "goal"
    assert "stays met with a probability of" in report.finish.reason


def test_annealing_squeezes_the_schedule_into_a_tenth_of_the_steps(tmp_path: Path, capsys: Any):
    seen: list[float] = []

    class Watched(Trainer):
        def training_step(self, *args: Any, **given: Any) -> torch.Tensor:
            seen.append(self.optimizer.param_groups[0]["lr"])
            return super().training_step(*args, **given)

    callback = watcher(finish="anneal", tolerance=0.1)
    flat = FLAT | {"lr_scheduler_type": "constant"}
    trainer = bert_trainer(tmp_path, kind=Watched, save_strategy="steps", save_steps=60, **flat)
    callback.attach(trainer)
    trainer.train()
    finish, end = callback.report.finish, trainer.state.global_step
    cool = CoolDown.after(finish.step)
    assert (finish.way, end) == ("anneal", cool.end)
    assert cool.steps == math.ceil(finish.step / 10)
    record = callback.report.run
    rates = dict(zip(record.train_step.tolist(), record.learning_rate.tolist(), strict=True))
    assert rates[finish.step] == pytest.approx(1e-9)
    expected = [1e-9 * (1.0 - k / cool.steps) for k in range(cool.steps)]
    told = [rates[step] for step in range(cool.begin + 1, cool.end + 1)]
    assert told == pytest.approx(expected, rel=1e-4)
    assert f"from step {cool.begin} to {cool.end}" in capsys.readouterr().out
    assert record.eval_step[-1] == end
    assert (tmp_path / "out" / f"checkpoint-{end}").is_dir()


def test_a_run_that_saves_nothing_is_told_so_before_it_starts(tmp_path: Path, capsys: Any):
    callback = watcher()
    trainer = bert_trainer(tmp_path, save_strategy="no", **FLAT)
    callback.attach(trainer)
    trainer.train()
    first = capsys.readouterr().out.split("finishing this run")[0]
    assert "this run saves no checkpoint" in first


def test_warning_goes_on_and_says_so_once(tmp_path: Path, capsys: Any):
    callback = watcher(action="warn")
    trainer = bert_trainer(tmp_path, **FLAT)
    callback.attach(trainer)
    trainer.train()
    assert trainer.state.global_step == 60
    assert (
        capsys.readouterr().out.count("[ftrisk] nothing is left to gain, and this run goes on") == 1
    )


@pytest.mark.parametrize("name", ["look", "greeting", "words", "cool", "over"])
def test_a_fault_of_the_finishing_ends_the_watching_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    def broken(*args: Any, **given: Any) -> Any:
        raise RuntimeError("put in by the test")

    monkeypatch.setattr(Finisher if name == "look" else Ending, name, broken)
    callback = watcher(finish="anneal", tolerance=0.1)
    trainer = bert_trainer(tmp_path, **FLAT)
    callback.attach(trainer)
    trainer.train()
    assert trainer.state.global_step == 60


def test_a_loss_that_exploded_ends_a_run_without_evaluations(tmp_path: Path):
    class Exploding(Trainer):
        def compute_loss(self, *args: Any, **given: Any) -> Any:
            loss = super().compute_loss(*args, **given)
            return loss * 12.0 if self.state.global_step >= 20 else loss

    callback = FineTuneRiskCallback("eval_loss", check_steps=5)
    settings: dict[str, Any] = {"max_steps": 100, "eval_strategy": "no", "learning_rate": 1e-4}
    trainer = bert_trainer(tmp_path, kind=Exploding, eval_dataset=None, **settings)
    callback.attach(trainer)
    trainer.train()
    assert 20 < trainer.state.global_step <= 40
    assert callback.report.stopped_at == trainer.state.global_step
    assert "times its initial value" in callback.report.reasons[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"finish": "soon"}, "finish must be one of"),
        ({"finish": "gain", "tolerance": 0.0}, "tolerance must be a finite number above 0"),
    ],
)
def test_what_cannot_be_is_refused_before_training(arguments: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        FineTuneRiskCallback(GOAL, **arguments)


def test_finishing_by_the_goal_needs_a_target():
    with pytest.raises(ValueError, match="has reached its target"):
        FineTuneRiskCallback("eval_accuracy", finish="goal")
