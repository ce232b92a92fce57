"""A pre-flight by the training itself: nothing is put back, for its process ends with it."""

from __future__ import annotations

import pytest
from transformers import Trainer, TrainerCallback

from hf_ftrisk import Goal, Verdict
from hf_ftrisk.errors import PreflightArgumentError
from hf_ftrisk.probing.live import preflight_by_training
from hf_ftrisk.probing.options import PreflightOptions
from tests.probing.models import bert_trainer

# Of a run this long the budget pays for all looks, however dear a busy machine makes an evaluation.
LONG_RUN = 1_000
DEPTHS = (2, 4, 8)


def trainer_of(folder, **settings):
    settings = {"max_steps": LONG_RUN, "eval_strategy": "steps", "eval_steps": 6} | settings
    return bert_trainer(folder, **settings)


def probed(trainer, folder, goal="eval_accuracy>=0.8"):
    options = PreflightOptions(goal=Goal.parse(goal), seeds=1, budget=1.0, depths=DEPTHS)
    return preflight_by_training(trainer, Trainer.train, options, str(folder / "scratch"))


class EndsAt(TrainerCallback):
    def __init__(self, last):
        self.last = last

    def on_step_end(self, args, state, control, **given):
        control.should_training_stop = state.global_step >= self.last


def test_the_probe_is_the_runs_own_beginning_however_often_it_was_evaluated(tmp_path):
    # An evaluation of its own draws random numbers, where it comes.
    plain = trainer_of(tmp_path, eval_strategy="no")
    plain.add_callback(EndsAt(DEPTHS[-1]))
    plain.train()
    losses = [entry["loss"] for entry in plain.state.log_history if "loss" in entry]
    report = probed(trainer_of(tmp_path), tmp_path)
    (probe,) = report.probes
    assert probe.train_loss.tolist() == pytest.approx(losses, abs=1e-6)
    assert probe.eval_step.tolist() == [0, *DEPTHS]
    assert report.stage == "preflight"
    assert report.cost.full_steps == LONG_RUN
    assert any("a separate process" in note for note in report.notes)


def test_nothing_is_written_where_the_run_would_write_and_no_callback_runs(tmp_path):
    class Telling(TrainerCallback):
        def on_step_begin(self, args, state, control, **given):
            raise AssertionError("the program's own callbacks do not run")

    trainer = trainer_of(tmp_path, save_strategy="steps", save_steps=1)
    trainer.add_callback(Telling())
    report = probed(trainer, tmp_path)
    assert report.verdict in (Verdict.GO, Verdict.UNDECIDED, Verdict.NO_GO)
    assert not list((tmp_path / "out").glob("checkpoint-*"))
    assert not list(tmp_path.glob("scratch/checkpoint-*"))


def test_a_goal_that_is_not_reported_names_what_is(tmp_path):
    with pytest.raises(PreflightArgumentError, match="no 'eval_f1'") as refused:
        probed(trainer_of(tmp_path), tmp_path, "eval_f1>=0.5")
    assert "eval_accuracy" in refused.value.reported


def test_what_the_training_raises_is_raised(tmp_path):
    trainer = trainer_of(tmp_path)

    def fails(*args, **given):
        raise RuntimeError("no such kernel")

    trainer.compute_loss = fails
    with pytest.raises(RuntimeError, match="no such kernel"):
        probed(trainer, tmp_path)


def test_a_batch_that_does_not_fit_is_probed_anew_with_a_smaller_one(tmp_path):
    trainer = trainer_of(tmp_path, auto_find_batch_size=True, per_device_train_batch_size=16)
    loss = trainer.compute_loss

    def large(model, inputs, **given):
        if model.training and len(inputs["labels"]) > 8:
            raise RuntimeError("CUDA out of memory.")
        return loss(model, inputs, **given)

    trainer.compute_loss = large
    report = probed(trainer, tmp_path)
    assert report.probes[0].train_step[-1] == DEPTHS[-1]
