"""When the run is looked at, and where what is seen goes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import Trainer, TrainerCallback

from hf_ftrisk.policy import look_steps
from hf_ftrisk.report import RiskReport
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.tiny_data import weights_hash
from tests.watch.tiny import bert_trainer


def plain(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The log without our looks and wall-clock times."""
    timed = ("runtime", "per_second")
    kept = [entry for entry in log if not any(key.startswith("ftrisk/") for key in entry)]
    return [{k: v for k, v in entry.items() if not k.endswith(timed)} for entry in kept]


class Runs:
    """One training with the callback and its twin without, with every log and a tracker."""

    def __init__(self, folder: Path) -> None:
        settings: dict[str, Any] = {"logging_steps": 1, "disable_tqdm": False}
        self.twin = bert_trainer(folder / "twin", **settings)
        self.twin.train()
        self.events = folder / "events"
        self.callback = FineTuneRiskCallback("eval_accuracy>=0.9", report_dir=folder / "reports")
        self.report_file = folder / "reports" / "watch.json"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TENSORBOARD_LOGGING_DIR", str(self.events))
            self.trainer = bert_trainer(folder / "run", report_to=["tensorboard"], **settings)
            self.trainer.add_callback(self.callback)
            self.trainer.train()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("looks"))


def test_every_evaluation_and_the_grid_are_looks(runs: Runs):
    expected = look_steps(40, [10, 20, 30, 40]).tolist()
    assert [look.step for look in runs.callback.report.looks] == expected
    observed = {look.step: look.observed for look in runs.callback.report.looks}
    assert {step for step, value in observed.items() if value is not None} == {10, 20, 30}


def test_the_run_is_bit_identical_to_one_without(runs: Runs):
    assert weights_hash(runs.trainer.model) == weights_hash(runs.twin.model)


def test_the_trainers_own_log_is_unchanged(runs: Runs):
    assert plain(runs.trainer.state.log_history) == plain(runs.twin.state.log_history)


def test_forecasts_reach_the_tracker_next_to_the_loss(runs: Runs):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(runs.events))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert "train/loss" in tags
    looks = runs.callback.report.looks
    for name, values in {
        "forecast": [look.median for look in looks],
        "low": [look.low for look in looks],
        "high": [look.high for look in looks],
        "prob_good": [look.prob_good for look in looks],
    }.items():
        scalars = events.Scalars(f"train/ftrisk/{name}")
        assert [scalar.step for scalar in scalars] == [look.step for look in looks]
        np.testing.assert_allclose([scalar.value for scalar in scalars], values, rtol=1e-6)
    assert "train/ftrisk/optimization_std_left" in tags
    assert "train/ftrisk/optimal_depth" in tags


def test_a_look_is_one_short_line_beside_the_bar(tmp_path: Path, capsys: Any):
    callback = FineTuneRiskCallback("eval_accuracy>=0.9")
    trainer = bert_trainer(tmp_path, disable_tqdm=False, callbacks=[callback])
    trainer.train()
    lines = capsys.readouterr().out.splitlines()
    said = [line for line in lines if line.startswith("[ftrisk ")]
    assert [line.split("]")[0] for line in said if "/40" in line][:1] == ["[ftrisk 2/40"]
    assert all(len(line) <= 100 for line in said)
    assert not any("ftrisk/" in line for line in lines)
    words = [line.partition("] ")[2] for line in said]
    assert len(words) >= 3
    assert all(first != second for first, second in pairwise(words))
    assert any("Watched run" in line for line in lines)


def test_the_report_holds_prediction_truth_and_cost(runs: Runs):
    report = runs.callback.report
    assert report.stage == "watch"
    assert report.outcome == runs.trainer.state.log_history[-2]["eval_accuracy"]
    assert report.forecast is not None
    assert report.forecast.step == 33
    assert report.run.status == "finished"
    assert report.baseline == pytest.approx(
        max(
            np.mean(runs.trainer.eval_dataset["labels"]),
            np.mean(1 - np.array(runs.trainer.eval_dataset["labels"])),
        )
    )
    cost = report.cost
    assert (cost.full_steps, cost.spent_steps, cost.saved_steps) == (40, 40, None)
    assert 0 < cost.seconds_per_step < cost.spent_seconds
    assert cost.seconds_per_eval > 0
    # What it took, which is more than its steps and evaluations.
    assert cost.full_seconds == pytest.approx(cost.spent_seconds, rel=0.1)
    assert cost.full_seconds > 40 * cost.seconds_per_step + 4 * cost.seconds_per_eval
    assert cost.full_flops == pytest.approx(runs.trainer.state.total_flos)
    assert report.decomposition is not None
    assert 0 <= report.optimal_depth <= 40
    assert report.settings["risk_curve_from"] == "variance of this run's own forecasts"
    assert report.run.schedule[[0, 39]].tolist() == pytest.approx([5e-3, 5e-3 / 40])


def test_the_report_is_in_its_folder(runs: Runs):
    assert RiskReport.load(runs.report_file).to_dict() == runs.callback.report.to_dict()


class AtStep(TrainerCallback):
    """Takes the report at one step."""

    def __init__(self, step: int, callback: FineTuneRiskCallback) -> None:
        self.step, self.callback = step, callback
        self.report: RiskReport | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == self.step:
            self.report = self.callback.report


def test_the_report_can_be_asked_for_on_the_way(tmp_path: Path):
    callback = FineTuneRiskCallback("eval_accuracy>=0.9")
    assert callback.report is None
    witness = AtStep(21, callback)
    bert_trainer(tmp_path, callbacks=[callback, witness]).train()
    assert witness.report is not None
    assert witness.report.run.status == "running"
    assert witness.report.outcome is None
    assert [look.step for look in witness.report.looks] == [2, 3, 5, 6, 9, 10, 12, 17, 20]


def test_evaluation_by_epoch_is_one_look_an_epoch(tmp_path: Path):
    callback = FineTuneRiskCallback("eval_accuracy>=0.9", action="warn")
    trainer = bert_trainer(
        tmp_path, max_steps=-1, num_train_epochs=3, eval_strategy="epoch", callbacks=[callback]
    )
    trainer.train()
    report = callback.report
    assert report.cost.full_steps == 36
    steps = [look.step for look in report.looks]
    assert steps == look_steps(36, [12, 24, 36]).tolist()
    assert report.run.steps_per_epoch == 12


def test_evaluation_at_the_start_is_a_look_and_a_baseline(tmp_path: Path):
    callback = FineTuneRiskCallback("eval_loss")
    trainer = bert_trainer(tmp_path, eval_on_start=True, callbacks=[callback])
    trainer.train()
    first = trainer.state.log_history[0]
    report = callback.report
    assert report.looks[0].step == 0
    assert report.looks[0].observed == first["eval_loss"]
    labels = np.array(trainer.eval_dataset["labels"])
    share = labels.mean()
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert report.baseline == pytest.approx(min(entropy, first["eval_loss"]))


def test_of_several_evaluation_sets_the_goals_own_counts(tmp_path: Path):
    callback = FineTuneRiskCallback("eval_b_accuracy>=0.9")
    trainer = bert_trainer(tmp_path, callbacks=[callback])
    trainer.eval_dataset = {"a": trainer.eval_dataset, "b": trainer.eval_dataset}
    trainer.train()
    looks = callback.report.looks
    assert [look.step for look in looks] == look_steps(40, [10, 20, 30]).tolist()
    assert all(look.observed is not None for look in looks if look.step in (10, 20, 30))


def test_a_metric_that_never_comes_is_said_once(tmp_path: Path, capsys: Any):
    callback = FineTuneRiskCallback("eval_f1>=0.9")
    bert_trainer(tmp_path, callbacks=[callback]).train()
    out = capsys.readouterr().out
    assert (
        out.count(
            "[ftrisk] the evaluation reports no eval_f1; it reports: eval_accuracy, eval_loss"
        )
        == 1
    )
    assert callback.report.outcome is None


@pytest.mark.parametrize("value", [{"accuracy": 0.9}, [0.9, 0.8], "90 %", None])
def test_a_metric_that_is_no_number_is_told_as_such(tmp_path: Path, value: Any):
    callback = FineTuneRiskCallback("eval_accuracy>=0.9", history=None)
    settings = {"compute_metrics": lambda _: {"accuracy": value}, "max_steps": 12}
    bert_trainer(tmp_path, callbacks=[callback], **settings).train()
    [note] = [note for note in callback.report.notes if "number" in note]
    assert note.startswith(f"The evaluation reports eval_accuracy as {value!r}, which is no number")
    assert not any("reports no" in note for note in callback.report.notes)


@pytest.mark.parametrize("goal", ["eval_loss", "eval_accuracy>=0.9"])
@pytest.mark.parametrize("reason", ["no set", "no set and no metrics", "no strategy"])
def test_without_evaluations_the_training_loss_is_forecast(
    tmp_path: Path, reason: str, goal: str, capsys: Any
):
    settings: dict[str, Any] = {"eval_strategy": "no"}
    if reason.startswith("no set"):
        settings |= {"eval_dataset": None}
    if reason.endswith("no metrics"):
        settings |= {"compute_metrics": None}
    callback = FineTuneRiskCallback(goal, log_history=True)
    trainer: Trainer = bert_trainer(tmp_path, callbacks=[callback], **settings)
    trainer.train()
    out = capsys.readouterr().out
    # Once as the run begins, once in the report at its end.
    assert out.count("nothing is evaluated during this run") == 1
    assert out.count("Nothing is evaluated during this run") == 1
    assert out.count("only certain failures are recognized") == 2
    assert "completed runs" not in out
    report = callback.report
    assert report.forecast is None
    assert report.looks == ()
    known = report.signals
    assert known["train_loss_low"] < known["train_loss_forecast"] < known["train_loss_high"]
    assert known["train_loss_forecast_step"] == 33
    # The truth is the mean since the last look, as each look's value is since the one before.
    assert known["train_loss_end"] == pytest.approx(report.run.train_loss[33:].mean())
    low, high = known["train_loss_low"], known["train_loss_high"]
    expected = (
        f"Final training loss, forecast at step 33: {known['train_loss_forecast']:.4g} "
        f"(90 %: {low:.4g} to {high:.4g}). It ended at {known['train_loss_end']:.4g}."
    )
    assert expected in report.notes
    keys = {key for entry in trainer.state.log_history for key in entry}
    assert "ftrisk/train_loss_forecast" in keys
    assert "ftrisk/forecast" not in keys
