"""Nothing is left behind: a run after a pre-flight is the run without one, bit for bit."""

from __future__ import annotations

import pytest
import torch
from transformers import Trainer, TrainerCallback

from hf_ftrisk.probing.runner import preflight
from tests.probing.models import bert, bert_trainer, lora, trained
from tests.probing.traces import differences, state_of

_GOAL = "eval_accuracy>=0.8"


def probed(trainer: Trainer, **settings):
    settings.setdefault("budget", 0.9)
    settings.setdefault("seeds", 2)
    settings.setdefault("signal_seconds", 0)
    return preflight(trainer, goal=_GOAL, **settings)


class HostileTrainer(Trainer):
    """Keeps what it computes, in every way user code does."""

    running: dict = {}  # noqa: RUF012 - shared on purpose, as a careless class would

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = []
        self.totals = {"loss": 0.0, "by_step": [[0.0]]}
        self.buffer = torch.zeros(3)

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        self.seen.append(float(loss.detach()))
        self.totals["loss"] += self.seen[-1]
        self.totals["by_step"][0].append(self.seen[-1])
        self.buffer += 1
        return (loss, outputs) if return_outputs else loss


CASES = {
    "full": dict,
    "no dropout": lambda: {"model": bert(dropout=0.0)},
    "lora": lambda: {"model": lora(bert(), task_type="SEQ_CLS")},
    "accumulation": lambda: {"gradient_accumulation_steps": 2},
    "checkpointing": lambda: {"gradient_checkpointing": True},
    "lora and checkpointing": lambda: {
        "model": lora(bert(), task_type="SEQ_CLS"),
        "gradient_checkpointing": True,
    },
    "model_init": lambda: {"model_init": lambda: bert()},
    "bf16": lambda: {"bf16": True},
    "evaluations": lambda: {"eval_strategy": "steps", "eval_steps": 10},
    "best model": lambda: {
        "eval_strategy": "steps",
        "eval_steps": 10,
        "save_strategy": "steps",
        "save_steps": 10,
        "load_best_model_at_end": True,
    },
    "overridden": lambda: {"kind": HostileTrainer},
    "neftune": lambda: {"neftune_noise_alpha": 5.0},
    "grouped by length": lambda: {"train_sampling_strategy": "group_by_length"},
    "workers": lambda: {"dataloader_num_workers": 1, "max_steps": 150},
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_after_a_preflight_is_bit_identical(tmp_path, name) -> None:
    after = bert_trainer(tmp_path / "after", **CASES[name]())
    before = state_of(after)
    report = probed(after, signal_seconds=1 if name == "full" else 0)
    assert any(look.step > 0 for look in report.looks)
    assert differences(before, state_of(after)) == []
    run = trained(after)
    assert run == trained(bert_trainer(tmp_path / "without", **CASES[name]()))


def test_a_reused_trainer_goes_on_as_if_nothing_had_been_between(tmp_path) -> None:
    runs = []
    for name in ("after", "without"):
        trainer = bert_trainer(tmp_path / name)
        trainer.train()
        if name == "after":
            before = state_of(trainer)
            probed(trainer)
            assert differences(before, state_of(trainer)) == []
        runs.append(trained(trainer))
    assert runs[0] == runs[1]


def test_a_given_optimizer_and_schedule_stay_as_they_were(tmp_path) -> None:
    runs = []
    for name in ("after", "without"):
        model = bert()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
        trainer = bert_trainer(tmp_path / name, model=model, optimizers=(optimizer, schedule))
        if name == "after":
            before = state_of(trainer)
            probed(trainer)
            assert differences(before, state_of(trainer)) == []
        runs.append(trained(trainer))
    assert runs[0] == runs[1]


def test_two_preflights_say_the_same(tmp_path) -> None:
    trainer = bert_trainer(tmp_path)
    losses = [
        [probe.train_curve()[1].tolist() for probe in probed(trainer, depths=[4]).probes]
        for _ in range(2)
    ]
    assert losses[0] == losses[1]


class _Recorder(TrainerCallback):
    def __init__(self) -> None:
        self.events: list[str] = []

    def on_log(self, args, state, control, **kwargs):
        self.events.append("log")

    def on_step_end(self, args, state, control, **kwargs):
        self.events.append("step")

    def on_evaluate(self, args, state, control, **kwargs):
        self.events.append("evaluate")


def test_nothing_is_logged_and_no_file_is_written(tmp_path) -> None:
    recorder = _Recorder()
    trainer = bert_trainer(
        tmp_path,
        callbacks=[recorder],
        report_to=["tensorboard"],
        save_strategy="steps",
        save_steps=1,
        eval_strategy="steps",
        eval_steps=1,
    )
    report = probed(trainer)
    assert recorder.events == []
    assert trainer.state.log_history == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert any("_Recorder" in note for note in report.notes)


def test_a_head_that_was_trained_before_is_not_drawn_anew(tmp_path) -> None:
    trainer = bert_trainer(tmp_path, model=bert(dropout=0.0))
    trainer.train()
    report = probed(trainer, depths=[2])
    starts = [probe.curve("eval_accuracy")[1][0] for probe in report.probes]
    assert starts[0] == starts[1]


def test_probes_differ_in_what_is_drawn_at_random(tmp_path) -> None:
    report = probed(bert_trainer(tmp_path), depths=[4])
    losses = [probe.train_curve()[1].tolist() for probe in report.probes]
    assert losses[0] != losses[1]
