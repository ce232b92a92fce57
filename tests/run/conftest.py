"""Fixtures of the trainings in this folder."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Models of 16 dimensions gain nothing from threads, which wait for each other under load."""
    torch.set_num_threads(1)


@pytest.fixture
def said() -> list[str]:
    return []
