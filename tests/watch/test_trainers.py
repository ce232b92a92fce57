"""The same callback in the Trainers people use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    set_seed,
)

from hf_ftrisk.report import RiskReport
from hf_ftrisk.watch.callback import FineTuneRiskCallback

WORDS = [f"w{i}" for i in range(40)]
SETTINGS: dict[str, Any] = {
    "max_steps": 8,
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 8,
    "eval_strategy": "steps",
    "eval_steps": 4,
    "logging_steps": 1,
    "report_to": [],
    "save_strategy": "no",
    "use_cpu": True,
    "disable_tqdm": True,
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = ["[PAD]", "[UNK]", "[EOS]", "[CLS]", "[SEP]", *WORDS]
    words = Tokenizer(models.WordLevel({n: i for i, n in enumerate(names)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        eos_token="[EOS]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=32,
    )


def sentences(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=6)) for _ in range(count)]


def llama() -> LlamaForCausalLM:
    set_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=48,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            pad_token_id=0,
            eos_token_id=2,
            bos_token_id=2,
        )
    )


def watched(trainer: Any, goal: str) -> RiskReport:
    """The report after training; every step was seen as it was logged."""
    callback = FineTuneRiskCallback(goal).attach(trainer)
    trainer.train()
    report = callback.report
    assert callback._fault is None
    assert report is not None
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    np.testing.assert_allclose(report.run.train_loss, logged, rtol=1e-5)
    assert np.isfinite(report.run.grad_norm).all()
    assert report.outcome is not None
    assert report.looks[-1].observed is None or report.looks[-1].step == 4
    return report


def test_seq2seq_trainer(tmp_path: Path):
    set_seed(0)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=48,
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=1,
            num_heads=2,
            decoder_start_token_id=0,
        )
    )
    rng = np.random.default_rng(0)
    rows = rng.integers(5, 45, size=(24, 6)).tolist()
    data = Dataset.from_dict({"input_ids": rows, "labels": rows})
    args = Seq2SeqTrainingArguments(str(tmp_path), predict_with_generate=True, **SETTINGS)
    trainer = Seq2SeqTrainer(
        model=model,
        args=args,
        train_dataset=data,
        eval_dataset=data.select(range(8)),
        compute_metrics=lambda p: {"exact_match": 0.25},
    )
    # A goal that is met: a run without hope would be stopped before its outcome.
    assert watched(trainer, "eval_exact_match>=0.2").outcome == 0.25


def test_sft_trainer(tmp_path: Path, tokenizer: PreTrainedTokenizerFast):
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_dict({"text": sentences(24, 1)})
    trainer = SFTTrainer(
        model=llama(),
        args=SFTConfig(str(tmp_path), bf16=False, gradient_checkpointing=False, **SETTINGS),
        train_dataset=data,
        eval_dataset=data.select(range(8)),
        processing_class=tokenizer,
    )
    report = watched(trainer, "eval_mean_token_accuracy>=0.01")
    # TRL empties its running means at each log: ours must not have.
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert all("mean_token_accuracy" in entry for entry in logs)
    assert report.settings["trainer"] == "SFTTrainer"


def test_dpo_trainer(tmp_path: Path, tokenizer: PreTrainedTokenizerFast):
    from trl import DPOConfig, DPOTrainer

    names = ("prompt", "chosen", "rejected")
    data = Dataset.from_dict({name: sentences(24, seed) for seed, name in enumerate(names)})
    trainer = DPOTrainer(
        model=llama(),
        ref_model=llama(),
        args=DPOConfig(str(tmp_path), bf16=False, gradient_checkpointing=False, **SETTINGS),
        train_dataset=data,
        eval_dataset=data.select(range(8)),
        processing_class=tokenizer,
    )
    assert 0.0 <= watched(trainer, "eval_rewards/accuracies>=0.6").outcome <= 1.0


def encoder(folder: Path, tokenizer: PreTrainedTokenizerFast) -> Any:
    """A sentence encoder of one layer."""
    from sentence_transformers import SentenceTransformer, models

    set_seed(0)
    config = BertConfig(
        vocab_size=48,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    words = models.Transformer(str(folder / "bert"))
    return SentenceTransformer(modules=[words, models.Pooling(16)], device="cpu")


def test_sentence_transformers_trainer(tmp_path: Path, tokenizer: PreTrainedTokenizerFast):
    from sentence_transformers import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
        losses,
    )

    model = encoder(tmp_path, tokenizer)
    data = Dataset.from_dict({"a": sentences(24, 1), "b": sentences(24, 2), "label": [0.0, 1] * 12})
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(str(tmp_path), **SETTINGS),
        train_dataset=data,
        eval_dataset=data.select(range(8)),
        loss=losses.CosineSimilarityLoss(model),
    )
    watched(trainer, "eval_loss")


def test_setfits_embedding_trainer(tmp_path: Path, tokenizer: PreTrainedTokenizerFast):
    """SetFit's own Trainer is not a transformers Trainer; the one that trains the body is."""
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    model = SetFitModel(model_body=encoder(tmp_path, tokenizer), model_head=LogisticRegression())
    data = Dataset.from_dict({"text": sentences(16, 1), "label": [0, 1] * 8})
    callback = FineTuneRiskCallback("eval_loss")
    trainer = Trainer(
        model=model,
        args=TrainingArguments(str(tmp_path), max_steps=6, batch_size=4, report_to="none"),
        train_dataset=data,
        callbacks=[callback],
    )
    trainer.train()
    assert callback._fault is None
    assert callback.report.run.train_step.tolist() == list(range(1, 7))


def test_a_metric_that_named_sets_report_by_one_name_is_told_once(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    config = llama().config
    config.num_labels = 1
    names = ("chosen", "rejected")
    data = Dataset.from_dict({name: sentences(24, seed) for seed, name in enumerate(names)})
    trainer = RewardTrainer(
        model=LlamaForSequenceClassification(config),
        args=RewardConfig(
            str(tmp_path), bf16=False, gradient_checkpointing=False, report_to="none",
            max_steps=8, eval_strategy="steps", eval_steps=4, use_cpu=True,
        ),
        train_dataset=data,
        eval_dataset={"easy": data.select(range(8)), "hard": data.select(range(8, 16))},
        processing_class=tokenizer,
    )  # fmt: skip
    callback = FineTuneRiskCallback("eval_accuracy>=0.6", action="warn", history=None)
    trainer.add_callback(callback)
    trainer.train()
    told = [note for note in callback.report.notes if "by the same name" in note]
    assert len(told) == 1
    assert "each named set (easy, hard) reports eval_accuracy" in told[0]
    assert "such as eval_easy_loss" in told[0]
