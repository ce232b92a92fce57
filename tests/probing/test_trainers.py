"""A pre-flight of the Trainers people use, as the callback watches them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from hf_ftrisk import RiskReport, preflight
from hf_ftrisk.run.training import own_goals
from tests.watch.test_trainers import SETTINGS, encoder, llama, sentences, tokenizer

__all__ = ["tokenizer"]


def probed(trainer: Any, goal: str) -> RiskReport:
    """The report; weights are as they were."""
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    report = preflight(trainer, goal=goal, budget=1.0, seeds=1, depths=[2], signal_seconds=1)
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(parameter, before[name]), name
    assert report.probes[0].last_step > 0
    return report


def test_dpo(tmp_path: Path, tokenizer):
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
    assert probed(trainer, "eval_rewards/accuracies>=0.6").forecast is not None


def test_reward(tmp_path: Path, tokenizer):
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    config = llama().config
    config.num_labels = 1
    names = ("chosen", "rejected")
    data = Dataset.from_dict({name: sentences(24, seed) for seed, name in enumerate(names)})
    trainer = RewardTrainer(
        model=LlamaForSequenceClassification(config),
        args=RewardConfig(str(tmp_path), bf16=False, gradient_checkpointing=False, **SETTINGS),
        train_dataset=data,
        eval_dataset=data.select(range(8)),
        processing_class=tokenizer,
    )
    assert probed(trainer, "eval_accuracy>=0.6").forecast is not None


def grpo_trainer(tmp_path: Path, tokenizer, data: Dataset, evaluated: int, **settings):
    """One whose reward is the length of what is generated."""
    from trl import GRPOConfig, GRPOTrainer

    return GRPOTrainer(
        model=llama(),
        reward_funcs=lambda completions, **_: [float(len(text)) for text in completions],
        args=GRPOConfig(
            str(tmp_path),
            bf16=False,
            gradient_checkpointing=False,
            max_completion_length=4,
            **(SETTINGS | settings),
        ),
        train_dataset=data,
        eval_dataset=data.select(range(evaluated)),
        processing_class=tokenizer,
    )


def test_grpo(tmp_path: Path, tokenizer):
    data = Dataset.from_dict({"prompt": sentences(24, 1)})
    # Generating costs many steps: an evaluation has to be within the budget on a busy machine, too.
    settings = {"per_device_eval_batch_size": 4, "max_steps": 40, "num_generations": 2}
    trainer = grpo_trainer(tmp_path, tokenizer, data, 4, **settings)
    assert probed(trainer, "eval_reward>=1").forecast is not None
    # Its loss says nothing of how good it is: without a goal of the user's the reward is taken.
    assert [goal.metric for goal in own_goals(trainer)] == ["eval_reward", "eval_loss"]


def test_a_short_grpo_run_is_evaluated_within_its_budget(tmp_path: Path, tokenizer):
    """Rows are prompts with several completions each: an evaluation of few of them is dear."""
    data = Dataset.from_dict({"prompt": sentences(48, 1)})
    settings = {"per_device_train_batch_size": 8, "per_device_eval_batch_size": 16}
    trainer = grpo_trainer(
        tmp_path, tokenizer, data, 48, max_steps=20, num_generations=8, **settings
    )
    report = preflight(trainer, goal="eval_reward>=1", budget=0.4, seeds=1, signal_seconds=0)
    assert report.forecast is not None
    low, high = report.forecast.interval(0.9)
    assert low < report.forecast.point < high
    assert report.cost.full_seconds is not None
    assert report.settings["eval_rows"] < 16


def test_sentence_transformers(tmp_path: Path, tokenizer):
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
    assert probed(trainer, "eval_loss").forecast is not None


def test_a_goal_has_to_be_given(tmp_path: Path):
    with pytest.raises(TypeError, match=r"a pre-flight needs a goal: .*eval_accuracy>=0\.85"):
        preflight(object())


def test_setfits_own_trainer_is_refused_by_name(tmp_path: Path, tokenizer):
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    model = SetFitModel(model_body=encoder(tmp_path, tokenizer), model_head=LogisticRegression())
    data = Dataset.from_dict({"text": sentences(16, 1), "label": [0, 1] * 8})
    trainer = Trainer(
        model=model,
        args=TrainingArguments(str(tmp_path), max_steps=6, batch_size=4, report_to="none"),
        train_dataset=data,
    )
    with pytest.raises(TypeError, match="SetFit"):
        preflight(trainer, goal="eval_loss")
