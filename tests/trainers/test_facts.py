"""What a Trainer's model says of itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForSequenceClassification, TrainingArguments

from hf_ftrisk.trainers.facts import (
    class_labels,
    generates_text,
    is_pretrained,
    known_targets,
    rows_in_batch,
    run_settings,
)
from tests.signals.tiny import llama
from tests.watch.tiny import bert


@pytest.fixture
def trained_folder(tmp_path: Path) -> Path:
    """A saved model after one optimizer step."""
    model = bert()
    rows = {"input_ids": torch.tensor([[5, 6, 7]]), "labels": torch.tensor([1])}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model(**rows).loss.backward()
    optimizer.step()
    model.save_pretrained(tmp_path)
    return tmp_path


def test_a_loaded_model_is_pretrained(trained_folder: Path):
    model = AutoModelForSequenceClassification.from_pretrained(trained_folder)
    assert is_pretrained(model) is True


def test_a_named_configuration_alone_is_not(trained_folder: Path):
    config = AutoConfig.from_pretrained(trained_folder)
    assert config._name_or_path
    assert is_pretrained(AutoModelForSequenceClassification.from_config(config)) is False


def test_weights_loaded_by_hand_are(trained_folder: Path):
    trained = AutoModelForSequenceClassification.from_pretrained(trained_folder)
    model = bert()
    assert is_pretrained(model) is False
    model.load_state_dict(trained.state_dict())
    assert is_pretrained(model) is True


def test_without_normalization_it_is_not_known():
    assert is_pretrained(torch.nn.Linear(4, 2)) is None


def test_labels_are_read_from_a_column():
    data = Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 1]})
    assert list(class_labels(data, ["labels"])) == [0, 1, 1]


def test_labels_are_read_from_a_list_of_rows():
    rows = [{"input_ids": [5], "labels": np.int64(label)} for label in (2, 0, 2)]
    assert list(class_labels(rows, ["labels"])) == [2, 0, 2]


def test_real_targets_are_no_classes():
    assert class_labels([{"labels": 0.5}, {"labels": 1.5}], ["labels"]) is None


def test_the_targets_of_a_regression_are_its_numbers():
    assert list(known_targets([{"labels": 0.5}, {"labels": 2}], ["labels"])) == [0.5, 2.0]


def test_the_targets_of_a_tagger_are_its_tags_without_what_is_masked():
    data = Dataset.from_dict({"labels": [[-100, 0, 0, 1], [0, 0, -100]] * 10})
    assert np.bincount(known_targets(data, ["labels"])).tolist() == [40, 10]


def test_the_targets_of_rows_with_several_labels_are_a_matrix():
    data = Dataset.from_dict({"labels": [[1.0, 0.0], [1.0, 1.0]]})
    assert known_targets(data, ["labels"]).tolist() == [[1.0, 0.0], [1.0, 1.0]]


def test_of_a_large_set_evenly_spread_rows_are_read_for_tags():
    data = Dataset.from_dict({"labels": [[number % 2] * 10 for number in range(8001)]})
    tags = known_targets(data, ["labels"])
    assert tags.size == 10 * 1601  # every fifth row
    assert tags.mean() == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize(
    "labels",
    [
        [[number, number + 1] for number in range(100)],  # tokens of texts: most are rare
        [["a"], ["b"]],
        ["yes", "no"],
        [[0.5, 0.2], [0.1, 0.9]],  # numbers, several for a row
        [[1.0], [1.0, 0.0]],
        [float("nan"), 1.0],
        [[], []],
    ],
)
def test_targets_that_no_constant_meets_are_not_read(labels):
    assert known_targets([{"labels": value} for value in labels], ["labels"]) is None


def test_a_data_set_that_computes_its_rows_is_not_read_for_labels():
    class Computed(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> dict:
            raise AssertionError("a row was computed")

    assert class_labels(Computed(), ["labels"]) is None


def test_a_batch_of_completions_holds_as_many_rows_as_prompts(tmp_path: Path):
    from trl import GRPOConfig, SFTConfig

    several = {"num_generations": 4, "num_generations_eval": 2}
    args = GRPOConfig(str(tmp_path), bf16=False, use_cpu=True, **several)
    assert rows_in_batch(args, 16, "train") == 4
    assert rows_in_batch(args, 16, "eval") == 8
    assert rows_in_batch(args, 1, "eval") == 1
    assert generates_text(args)
    plain = SFTConfig(str(tmp_path), bf16=False, use_cpu=True)
    assert rows_in_batch(plain, 16, "eval") == 16
    assert not generates_text(plain)


def test_a_lora_adapter_is_named_and_other_models_have_none(tmp_path):
    from peft import LoraConfig, get_peft_model

    args = TrainingArguments(str(tmp_path))
    plain = run_settings(args, llama(), "Trainer", 10)
    assert (plain["method"], "peft_type" in plain) == ("full", False)
    model = get_peft_model(llama(), LoraConfig(r=2, target_modules=["q_proj"]))
    adapted = run_settings(args, model, "Trainer", 10)
    assert (adapted["method"], adapted["peft_type"]) == ("partial", "lora")
