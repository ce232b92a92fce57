"""Signals of real Trainers before they train: right, and without a trace."""

from __future__ import annotations

import copy
import math
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
)

from hf_ftrisk.signals.collect import collated_sample, pile_up, trainer_signals
from hf_ftrisk.trainers.shadow import bookkeeping_copy
from tests.signals.tiny import (
    VOCABULARY,
    arguments,
    bert,
    classified_rows,
    llama,
    prompted_rows,
    tokenizer,
    trainer_of,
)


def test_a_classifiers_trainer_gives_both_kinds_of_signals(tmp_path):
    trainer = trainer_of(
        bert(), classified_rows(64), tmp_path, eval_dataset=classified_rows(32, seed=1)
    )
    signals = trainer_signals(trainer)
    assert signals["train_rows"] == 64.0
    assert signals["tokens_mean"] == 8.0
    assert signals["label_entropy"] == pytest.approx(math.log(2))
    assert signals["linear_probe_accuracy"] > 0.9
    assert signals["uniform_loss"] == pytest.approx(math.log(2))
    assert {"noise_scale", "train_eval_gradient_cosine", "predicted_gain"} & set(signals)


def test_a_lora_on_a_language_model(tmp_path):
    model = get_peft_model(llama(), LoraConfig(r=2, target_modules=["q_proj"]))
    signals = trainer_signals(trainer_of(model, prompted_rows(16), tmp_path))
    assert signals["lora_rank"] == 2.0
    assert signals["prompt_response_ratio"] == pytest.approx(3 / 5)
    assert signals["lora_parameters_per_token"] == pytest.approx(2 * (16 + 16) / (16 * 8))
    assert signals["perplexity"] == pytest.approx(VOCABULARY, rel=0.2)
    # lora_B is zero at first: only B has a gradient, and it is not zero
    assert signals["gradient_norm"] > 0


def test_a_sequence_to_sequence_trainer(tmp_path):
    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config)
    rows = [{"input_ids": [5] * n, "attention_mask": [1] * n, "labels": [9, 10]} for n in (2, 3, 4)]
    rows *= 4
    args = Seq2SeqTrainingArguments(
        output_dir=str(tmp_path), report_to=[], use_cpu=True, per_device_train_batch_size=4
    )
    collator = DataCollatorForSeq2Seq(tokenizer(), model=model)
    trainer = Seq2SeqTrainer(
        model=model, args=args, train_dataset=rows, eval_dataset=rows, data_collator=collator
    )
    signals = trainer_signals(trainer)
    assert signals["prompt_tokens_mean"] == 3.0
    assert signals["response_tokens_mean"] == 2.0
    assert signals["perplexity"] > 1.0


class Weighted(Trainer):
    """A loss of its own that keeps count, as TRL's trainers do."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.losses = {"eval": [1.0]}

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = 7.0 + 0.0 * outputs.logits.sum() + 0.0 * labels.sum()
        self.losses["eval"].append(loss.item())
        return (loss, outputs) if return_outputs else loss


def test_evaluation_rows_without_the_targets_of_training_are_left_out(tmp_path):
    rows = [{"input_ids": row["input_ids"]} for row in prompted_rows(16)]
    positions = [{**row, "start_positions": 3, "end_positions": 3} for row in rows]
    settings = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 1}
    settings |= {"num_attention_heads": 2, "intermediate_size": 16}
    model = BertForQuestionAnswering(BertConfig(**settings))
    signals = trainer_signals(trainer_of(model, positions, tmp_path, eval_dataset=rows))
    assert signals["eval_rows"] == 16.0
    assert "zero_shot_loss" not in signals


def test_the_trainers_own_loss_is_used_and_its_bookkeeping_left_alone(tmp_path):
    rows = classified_rows(16)
    trainer = Weighted(
        model=bert(), args=arguments(tmp_path), train_dataset=rows, eval_dataset=rows
    )
    assert trainer_signals(trainer)["zero_shot_loss"] == 7.0
    assert trainer.losses == {"eval": [1.0]}


def test_no_trace_is_left_on_a_trainer(tmp_path):
    trainer = trainer_of(bert(), Dataset.from_list(classified_rows(32)), tmp_path)
    trainer.model.train()
    weights = copy.deepcopy(trainer.model.state_dict())
    attributes = dict(vars(trainer))
    callbacks = list(trainer.callback_handler.callbacks)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    trainer_signals(trainer)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]
    assert trainer.model.training
    assert all(p.grad is None for p in trainer.model.parameters())
    assert all(torch.equal(weights[k], v) for k, v in trainer.model.state_dict().items())
    assert vars(trainer) == attributes
    assert trainer.callback_handler.callbacks == callbacks
    assert trainer.accelerator._dataloaders == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_training_after_the_signals_is_the_one_without_them(tmp_path):
    def trained(look: bool):
        trainer = trainer_of(bert(), classified_rows(32), tmp_path)
        trainer.args.logging_steps = 1
        if look:
            trainer_signals(trainer)
        trainer.train()
        log = [{k: v for k, v in row.items() if "loss" in k} for row in trainer.state.log_history]
        return log[:-1], trainer.model.state_dict()

    (plain_log, plain), (log, weights) = trained(False), trained(True)
    assert log == plain_log
    assert all(torch.equal(plain[name], value) for name, value in weights.items())


def test_two_looks_give_the_same_signals(tmp_path):
    trainer = trainer_of(bert(), classified_rows(32), tmp_path)
    looks = [trainer_signals(trainer, seconds=None) for _ in range(2)]
    assert looks[0] == looks[1]


class Stream(torch.utils.data.IterableDataset):
    """A stream that states a length, and draws from the global generator."""

    def __iter__(self):
        for row in classified_rows(40):
            torch.rand(1)
            yield row

    def __len__(self):
        return 40


def test_a_stream_is_read_from_its_start(tmp_path):
    trainer = trainer_of(bert(), Stream(), tmp_path)
    state = torch.get_rng_state()
    sample = collated_sample(trainer, trainer.train_dataset, max_rows=6, batch_size=4, seed=0)
    assert [len(batch["labels"]) for batch in sample.batches] == [4, 2]
    assert sample.batches[0]["input_ids"].tolist() == [r["input_ids"] for r in classified_rows(4)]
    assert sample.n_rows is None
    assert torch.equal(torch.get_rng_state(), state)


def test_columns_the_model_does_not_take_are_dropped(tmp_path):
    rows = [row | {"note": "x", "weight": 2.0} for row in classified_rows(8)]
    trainer = trainer_of(bert(), rows, tmp_path)
    sample = collated_sample(trainer, rows, max_rows=8, batch_size=4, seed=0)
    assert set(sample.batches[0]) == {"input_ids", "attention_mask", "labels"}
    assert sample.texts == ("x",) * 8


def test_a_shadow_shares_the_model_and_owns_its_bookkeeping(tmp_path):
    trainer = trainer_of(bert(), classified_rows(8), tmp_path)
    trainer.counts = {"train": [1, 2]}
    shadow = bookkeeping_copy(trainer)
    shadow.counts["train"].append(3)
    assert trainer.counts == {"train": [1, 2]}
    assert shadow.model is trainer.model


def test_rows_cut_by_a_script_of_its_own_pile_up_at_one_length():
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 200, size=400)
    assert pile_up(np.minimum(lengths, 128)) == 128
    assert pile_up(lengths) is None
    assert pile_up(np.full(50, 64)) is None
    assert pile_up(np.empty(0, dtype=int)) is None


def test_no_batch_has_a_single_row_where_the_runs_have_more(tmp_path):
    """Losses that squeeze a batch or compare its rows fail on one."""
    seen = []

    class Comparing(Trainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            seen.append(len(inputs["labels"]))
            assert seen[-1] > 1
            return super().compute_loss(model, inputs, *args, **kwargs)

    rows = classified_rows(30)  # 2 + 4 * 7
    trainer = Comparing(
        model=bert(), args=arguments(tmp_path), train_dataset=rows, eval_dataset=rows
    )
    assert "gradient_consistency" in trainer_signals(trainer, seconds=None)
    assert set(seen) == {2, 4}


def test_libraries_for_the_labels_of_rows_are_loaded_where_rows_have_labels_alone():
    """They take seconds to load, which a policy-gradient run's signals then cost for nothing."""
    code = (
        "import sys, tempfile\n"
        "from tests.signals.test_collect import *\n"
        "rows = [{'prompt': 'a b'}] * 8\n"
        "unread = trainer_of(llama(), rows, tempfile.mkdtemp(), data_collator=lambda rows: rows)\n"
        "before = 'sklearn.covariance' in sys.modules\n"
        "signals = trainer_signals(unread)\n"
        "assert signals['train_rows'] == 8.0\n"
        "print(before, 'sklearn.covariance' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.stdout.split()[-2:] == ["False", "False"], done.stderr
