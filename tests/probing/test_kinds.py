"""Every kind of Trainer is probed as its user built it."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from torch.utils.data import IterableDataset
from transformers import (
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    set_seed,
)

from hf_ftrisk.errors import PreflightArgumentError
from hf_ftrisk.probing.runner import preflight
from tests.probing.models import arguments, bert, bert_trainer, comparable, llama, lora
from tests.probing.traces import differences, state_of
from tests.signals.tiny import tokenizer
from tests.tiny_data import VOCABULARY, classification_data, weights_hash


def probe_and_train(trainer: Trainer, goal: str, **settings):
    """(report, losses of the run after it); the pre-flight leaves no trace."""
    settings.setdefault("budget", 1.0)
    settings.setdefault("depths", [2, 4])
    before = state_of(trainer)
    report = preflight(trainer, goal=goal, seeds=2, signal_seconds=0, **settings)
    assert differences(before, state_of(trainer)) == []
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    # How deep the budget goes depends on what an evaluation costs here and now.
    assert {look.step for look in report.looks if look.step > 0} in ({2}, {2, 4})
    return report, losses


def assert_begins_the_run(report, losses) -> None:
    """The first probe's losses are the run's own; the Trainer logs them rounded or not."""
    _, probe = report.probes[0].train_curve()
    np.testing.assert_allclose(probe, losses[: probe.size], rtol=1e-4)


class WeightedTrainer(Trainer):
    """A loss of its own, and a training step that scales it."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        weight = torch.tensor([1.0, 3.0])
        loss = nn.functional.cross_entropy(outputs.logits, labels, weight=weight)
        return (loss, outputs) if return_outputs else loss

    def training_step(self, model, inputs, num_items_in_batch=None):
        return 0.5 * super().training_step(model, inputs, num_items_in_batch)


def test_an_overridden_loss_and_training_step_are_used(tmp_path) -> None:
    trainer = bert_trainer(tmp_path, kind=WeightedTrainer, max_steps=60)
    report, losses = probe_and_train(trainer, "eval_accuracy>=0.8")
    assert_begins_the_run(report, losses)


class LossOnly(nn.Module):
    """A regression model that returns its loss and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x, y):
        return {"loss": ((self.layer(x)[:, 0] - y) ** 2).mean()}


@pytest.mark.parametrize("value", [{"accuracy": 0.9}, [0.9, 0.8], "90 %", None])
def test_a_goal_that_is_no_number_is_refused_with_what_it_is(tmp_path, value) -> None:
    trainer = bert_trainer(tmp_path)
    trainer.compute_metrics = lambda _: {"accuracy": value}
    message = rf"reports eval_accuracy as {re.escape(repr(value))}, which is no number"
    with pytest.raises(PreflightArgumentError, match=message):
        preflight(trainer, goal="eval_accuracy>=0.8", budget=0.5, seeds=1, signal_seconds=0)


def test_a_number_in_letters_and_tables_beside_it_are_no_hindrance(tmp_path) -> None:
    metrics = {"accuracy": "0.9", "report": {"0": {"f1": 0.5}}, "confusion": [[1, 2], [3, 4]]}
    trainer = bert_trainer(tmp_path)
    trainer.compute_metrics = lambda _: metrics
    report = preflight(trainer, goal="eval_accuracy>=0.8", budget=0.5, seeds=1, signal_seconds=0)
    assert report.probes[0].curve("eval_accuracy")[1].tolist()[-1] == 0.9
    assert "eval_report" not in report.probes[0].evals


def test_a_model_without_logits_is_judged_by_its_loss(tmp_path) -> None:
    set_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 4)).astype(np.float32)
    rows = Dataset.from_dict({"x": x.tolist(), "y": x.sum(1).tolist()}).with_format("torch")
    model = LossOnly()
    model.config = bert().config
    trainer = Trainer(
        model=model,
        args=arguments(tmp_path, max_steps=60, label_names=["y"]),
        train_dataset=rows,
        eval_dataset=rows,
    )
    report, losses = probe_and_train(trainer, "eval_loss<=0.5")
    assert_begins_the_run(report, losses)
    assert report.forecast.mean > 0


class Stream(IterableDataset):
    """Rows without a length."""

    def __init__(self, rows: int, seed: int) -> None:
        self._rows = classification_data(rows, seed)

    def __iter__(self):
        yield from self._rows


def test_streams_are_probed_for_max_steps(tmp_path) -> None:
    trainer = Trainer(
        model=bert(),
        args=arguments(tmp_path, max_steps=60),
        train_dataset=Stream(96, 1),
        eval_dataset=Stream(64, 2),
        compute_metrics=lambda p: {
            "accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())
        },
    )
    report, losses = probe_and_train(trainer, "eval_accuracy>=0.8")
    assert_begins_the_run(report, losses)
    assert report.cost.full_steps == 60


def test_a_probe_goes_on_through_the_end_of_an_epoch(tmp_path) -> None:
    trainer = bert_trainer(
        tmp_path, max_steps=60, per_device_train_batch_size=32, gradient_accumulation_steps=2
    )
    report, losses = probe_and_train(trainer, "eval_accuracy>=0.8")
    assert_begins_the_run(report, losses)


def test_several_evaluation_sets_are_kept_apart(tmp_path) -> None:
    sets = {"one": classification_data(48, 2), "two": classification_data(48, 3)}
    trainer = bert_trainer(tmp_path, eval_dataset=sets, max_steps=60)
    report, _ = probe_and_train(trainer, "eval_two_accuracy>=0.8")
    assert set(report.probes[0].evals) >= {"eval_two_accuracy"}
    assert "eval_one_accuracy" not in report.probes[0].evals


def test_a_diverging_run_is_a_certain_no_go(tmp_path) -> None:
    model = bert(dropout=0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e30)
    trainer = bert_trainer(tmp_path, model=model, optimizers=(optimizer, None))
    before = state_of(trainer)
    report = preflight(trainer, goal="eval_accuracy>=0.8", budget=0.9, seeds=2, signal_seconds=0)
    assert report.verdict == "NO_GO"
    assert differences(before, state_of(trainer)) == []


@pytest.mark.slow
@pytest.mark.parametrize("generates", [False, True])
def test_a_seq2seq_trainer(tmp_path, generates) -> None:
    set_seed(0)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=VOCABULARY,
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=1,
            num_heads=2,
            decoder_start_token_id=0,
            pad_token_id=0,
            eos_token_id=1,
        )
    )
    rng = np.random.default_rng(0)
    tokens = rng.integers(4, VOCABULARY, size=(48, 6)).tolist()
    rows = Dataset.from_dict({"input_ids": tokens, "labels": [[*row[:3], 1] for row in tokens]})
    args = Seq2SeqTrainingArguments(
        **{
            **arguments(tmp_path, max_steps=60).to_dict(),
            "output_dir": str(tmp_path / "out"),
            "predict_with_generate": generates,
            "generation_max_length": 5,
        }
    )
    words = tokenizer()
    trainer = Seq2SeqTrainer(
        model=model,
        args=args,
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=words,
        data_collator=DataCollatorForSeq2Seq(words, model=model),
        compute_metrics=(
            (lambda p: {"exact_match": float((p.predictions[:, 1:4] == p.label_ids[:, :3]).mean())})
            if generates
            else None
        ),
    )
    goal = "eval_exact_match>=0.2" if generates else "eval_loss<=2"
    report, losses = probe_and_train(trainer, goal)
    assert_begins_the_run(report, losses)


@pytest.mark.slow
@pytest.mark.parametrize("adapters", [False, True])
def test_trl_sft(tmp_path, adapters) -> None:
    from trl import SFTConfig, SFTTrainer

    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in rng.integers(4, VOCABULARY, size=10)) for _ in range(48)]
    rows = Dataset.from_dict({"text": texts})
    settings = {
        "output_dir": str(tmp_path / "out"),
        "max_steps": 60,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "max_length": 16,
        "bf16": False,
        "seed": 3,
        "learning_rate": 1e-3,
    }
    runs = []
    for first in (True, False):
        trainer = SFTTrainer(
            model=lora(llama(), task_type="CAUSAL_LM") if adapters else llama(),
            args=SFTConfig(**settings),
            train_dataset=rows,
            eval_dataset=rows.select(range(16)),
            processing_class=tokenizer(),
        )
        if first:
            before = state_of(trainer)
            report = preflight(
                trainer,
                goal="eval_mean_token_accuracy>=0.3",
                budget=1.0,
                seeds=2,
                depths=[2, 4],
                signal_seconds=1,
            )
            assert differences(before, state_of(trainer)) == []
        trainer.train()
        runs.append((weights_hash(trainer.model), comparable(trainer.state.log_history)))
    assert runs[0] == runs[1]
    assert_begins_the_run(report, [e["loss"] for e in runs[1][1] if "loss" in e])
