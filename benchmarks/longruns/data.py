"""Examples of the long runs: texts with targets, and the faults planted in them.

Records keep numbers alone, no text; so data whose license does not allow passing them on are read
as well. docs/evidence/reference-runs.md lists sources and licenses.
"""

from __future__ import annotations

import math
import random
import re
import statistics
from collections.abc import Callable, Iterable
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
        target: class index, (n_words,) class indices, number, (n_labels,) zeros and ones, or text,
            by the kind of the task.
        second: the second text of a pair.
    """

    text: str
    target: Any
    second: str | None = None


@dataclass(frozen=True)
class Examples:
    """A part to train on and a part to evaluate on; `n_labels` is 0 where the target is text."""

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


# Slots of E2E that a description is tagged with and that it may hold.
SLOTS = (
    "name",
    "eatType",
    "food",
    "priceRange",
    "customer rating",
    "area",
    "familyFriendly",
    "near",
)
_WORDS = re.compile(r"\w+|[^\w\s]")


def _meaning(prompt: str) -> dict[str, str]:
    """``"name[The Mill], food[English]"`` -> slot -> value."""
    return dict(re.findall(r"(\w[\w ]*)\[([^\]]*)\]", prompt))


def _generated(dataset: str, part: str) -> list[tuple[str, str]]:
    source = data.generation(dataset)
    return list(source.train if part == "train" else source.test)


def _both(rows: Callable[[str], Iterable[Example]], n_labels: int) -> Examples:
    return Examples(tuple(rows("train")), tuple(rows("test")), n_labels)


def _tokens(dataset: str) -> Examples:
    """E2E: each word of a description -> the slot whose value it stands in, 0 for none."""
    if dataset != "e2e_nlg":
        raise ValueError(f"only e2e_nlg can be tagged, got {dataset!r}")

    def rows(part: str) -> Iterable[Example]:
        for prompt, response in _generated(dataset, part):
            words = _WORDS.findall(response)
            yield Example(" ".join(words), _tags(words, _meaning(prompt)))

    return _both(rows, 1 + len(SLOTS))


def _tags(words: list[str], meaning: dict[str, str]) -> tuple[int, ...]:
    lower = [word.lower() for word in words]
    tags = [0] * len(words)
    for slot, value in meaning.items():
        parts = [word.lower() for word in _WORDS.findall(value)]
        for start in range(len(lower) - len(parts) + 1):
            if lower[start : start + len(parts)] == parts:
                tags[start : start + len(parts)] = [1 + SLOTS.index(slot)] * len(parts)
    return tuple(tags)


def _multilabel(dataset: str) -> Examples:
    """E2E: a description -> which slots it was written from (the name always is: left out)."""
    if dataset != "e2e_nlg":
        raise ValueError(f"only e2e_nlg has slots, got {dataset!r}")

    def rows(part: str) -> Iterable[Example]:
        for prompt, response in _generated(dataset, part):
            meaning = _meaning(prompt)
            yield Example(response, tuple(float(slot in meaning) for slot in SLOTS[1:]))

    return _both(rows, len(SLOTS) - 1)


def _regression(dataset: str) -> Examples:
    """A text -> a number, standardized on the training part.

    E2E: how many slots a description was written from. Instruction sets: the logarithm of the
    response's length, from the prompt.
    """

    def value(prompt: str, response: str) -> float:
        return float(len(_meaning(prompt))) if dataset == "e2e_nlg" else math.log1p(len(response))

    targets = [value(*row) for row in _generated(dataset, "train")]
    mean, spread = statistics.fmean(targets), statistics.pstdev(targets)

    def rows(part: str) -> Iterable[Example]:
        for prompt, response in _generated(dataset, part):
            text = response if dataset == "e2e_nlg" else prompt
            yield Example(text, (value(prompt, response) - mean) / spread)

    return _both(rows, 1)


def _generation(dataset: str) -> Examples:
    """Prompt -> response; E2E backwards, from a description to its meaning, as ``e2e_parse``."""
    backwards = dataset == "e2e_parse"
    name = "e2e_nlg" if backwards else dataset

    def rows(part: str) -> Iterable[Example]:
        for prompt, response in _generated(name, part):
            yield Example(response, prompt) if backwards else Example(prompt, response)

    return _both(rows, 0)


_READERS: dict[str, Callable[[str], Examples]] = {
    "single": _single,
    "pair": _pair,
    "tokens": _tokens,
    "multilabel": _multilabel,
    "regression": _regression,
    "causal_lm": _generation,
    "seq2seq": _generation,
}


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
    labeled = data.with_label_noise([("", row.target) for row in rows], share, n_labels, salt)
    return [replace(row, target=label) for row, (_, label) in zip(rows, labeled, strict=True)]
