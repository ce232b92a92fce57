"""The bounded, fixed sample of the evaluation set that every probe is measured on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, Subset

from hf_ftrisk.probing.budget import EvalSize
from hf_ftrisk.trainers.facts import length_of


class _Head(IterableDataset[Any]):
    """The first rows of an iterable data set."""

    def __init__(self, source: Any, rows: int) -> None:
        self._source = source
        self._rows = rows

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(iter(self._source), self._rows)


def eval_size(eval_dataset: Any, batch: int, generates: bool = False) -> EvalSize | None:
    """Rows of the evaluation set(s) together; None without one."""
    if eval_dataset is None:
        return None
    parts = list(eval_dataset.values()) if isinstance(eval_dataset, dict) else [eval_dataset]
    lengths = [length_of(part) for part in parts]
    rows = [length for length in lengths if length is not None]
    return EvalSize(sum(rows) if len(rows) == len(lengths) else None, batch, generates)


def eval_sample(eval_dataset: Any, rows: int | None, seed: int) -> Any:
    """The same `rows` rows for every probe; a smaller sample is the beginning of a larger one.

    Args:
        eval_dataset: map-style, iterable or a dict of them (which share the rows evenly).
        rows: rows to keep; None: all.
        seed: of the choice; the global random state is not used.
    """
    if rows is None or eval_dataset is None:
        return eval_dataset
    if isinstance(eval_dataset, dict):
        share = max(1, rows // len(eval_dataset))
        return {name: eval_sample(data, share, seed) for name, data in eval_dataset.items()}
    total = length_of(eval_dataset)
    if total is None:
        return _Head(eval_dataset, rows)
    rows_taken = np.random.default_rng(seed).permutation(total)[:rows].tolist()
    if hasattr(eval_dataset, "select"):
        return eval_dataset.select(rows_taken)
    return Subset(eval_dataset, rows_taken)
