"""What a Trainer's model says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from hf_ftrisk.trainers.facts import is_pretrained
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
