"""Copies of nested state dicts, and whether two of them are equal."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from hf_ftrisk.trainers.state import Storage, keep_tensor


def kept_state(state: Any, storage: Storage) -> Any:
    """A deep copy of a state dict, its tensors where `storage` says."""
    if isinstance(state, torch.Tensor):
        return keep_tensor(state, storage)
    if isinstance(state, dict):
        # torch keeps the versions of modules in an attribute of a model's state dict.
        duplicate = copy.copy(state)
        for key, value in state.items():
            duplicate[key] = kept_state(value, storage)
        return duplicate
    if type(state) in (list, tuple):
        return type(state)(kept_state(value, storage) for value in state)
    return copy.deepcopy(state)


def state_bytes(state: Any) -> int:
    """Memory of the tensors in a state, bytes."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, Mapping):
        return sum(state_bytes(value) for value in state.values())
    if isinstance(state, list | tuple):
        return sum(state_bytes(value) for value in state)
    return 0


def difference(one: Any, other: Any, path: str = "state") -> str | None:
    """Where two states differ first, None if nowhere."""
    if isinstance(one, torch.Tensor):
        same = (
            isinstance(other, torch.Tensor)
            and one.shape == other.shape
            and bool(torch.equal(_bits(one), _bits(other)))
        )
        return None if same else path
    if isinstance(one, Mapping):
        if not isinstance(other, Mapping) or list(one) != list(other):
            return path
        differences = (difference(one[key], other[key], f"{path}[{key!r}]") for key in one)
        return next((where for where in differences if where is not None), None)
    if isinstance(one, list | tuple):
        if not isinstance(other, list | tuple) or len(one) != len(other):
            return path
        pairs = enumerate(zip(one, other, strict=True))
        differences = (difference(a, b, f"{path}[{index}]") for index, (a, b) in pairs)
        return next((where for where in differences if where is not None), None)
    # Objects of other classes may not know how to compare themselves: type alone counts.
    plain = isinstance(one, str | int | float | bool | bytes | type(None))
    return path if (one != other if plain else type(one) is not type(other)) else None


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """NaN equals itself only bit by bit."""
    plain = tensor.detach().cpu().contiguous()
    return plain.reshape(-1).view(torch.uint8) if plain.numel() else plain
