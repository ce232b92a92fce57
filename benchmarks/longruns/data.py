"""Examples of the long runs: texts with targets, and the faults planted in them.

Records keep numbers alone, no text; so data whose licence does not allow passing them on are read
as well. docs/reference-runs.md lists sources and licences.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pyarrow.parquet as pq

from benchmarks.longruns.setting import LongSetting
from benchmarks.recording import data


@dataclass(frozen=True)
class Example:
    """One row.

    Args:
        text: the text, or the first of a pair.
        target: class index, number, (n_labels,) zeros and ones, or text, by the kind of the task.
        second: the second text of a pair.
    """

    text: str
    target: Any
    second: str | None = None


@dataclass(frozen=True)
class Examples:
    """A part to train on and a part to evaluate on; `n_labels` is 0 where there are no classes."""

    train: tuple[Example, ...]
    test: tuple[Example, ...]
    n_labels: int


@cache
def examples(dataset: str, kind: str) -> Examples:
    """A data set by name and kind of task."""
    return _READERS[kind](dataset)


def _single(dataset: str) -> Examples:
    source = data.classification(dataset)
    train, test = (
        tuple(Example(text, label) for text, label in part) for part in (source.train, source.test)
    )
    return Examples(train, test, source.n_labels)


def _pair(dataset: str) -> Examples:
    def rows(part: str) -> tuple[Example, ...]:
        table = pq.read_table(data.text_folder() / dataset / f"{part}.parquet").to_pylist()
        return tuple(Example(row["text"], row["label"], row["text_pair"]) for row in table)

    train = rows("train")
    return Examples(train, rows("test"), 1 + max(example.target for example in train))


_READERS = {"single": _single, "pair": _pair}


def split(setting: LongSetting) -> tuple[list[Example], list[Example], int]:
    """Training rows, evaluation rows and number of classes of a run, its faults planted.

    Training rows come in an order of their own, evaluation rows by length: less padding, the same
    metrics.
    """
    source = examples(setting.dataset, setting.kind)
    salt = f"{setting.dataset} {setting.train_rows}"
    size = min(setting.eval_rows, len(source.test))
    train = data.subset(source.train, setting.train_rows, salt)
    test = data.subset(source.test, size, f"{setting.dataset} test")
    train = _with_fault(train, setting, source.n_labels, salt)
    if setting.fault == "swapped_column":
        test = _permuted(test, f"{salt} test")
    if setting.label_noise:
        train = _noisy(train, setting.label_noise, source.n_labels, salt)
    return train, sorted(test, key=lambda row: len(row.text)), source.n_labels


def _with_fault(
    rows: list[Example], setting: LongSetting, n_labels: int, salt: str
) -> list[Example]:
    if setting.fault in ("shuffled", "swapped_column"):
        return _permuted(rows, salt)
    if setting.fault == "mapping":
        return [replace(row, target=(row.target + 1) % n_labels) for row in rows]
    return rows


def _permuted(rows: list[Example], salt: str) -> list[Example]:
    targets = [row.target for row in rows]
    random.Random(f"permuted {salt}").shuffle(targets)
    return [replace(row, target=target) for row, target in zip(rows, targets, strict=True)]


def _noisy(rows: list[Example], share: float, n_labels: int, salt: str) -> list[Example]:
    labelled = data.with_label_noise([("", row.target) for row in rows], share, n_labels, salt)
    return [replace(row, target=label) for row, (_, label) in zip(rows, labelled, strict=True)]
