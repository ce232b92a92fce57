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


def _texts(dataset: str, part: str) -> list[str]:
    """Texts of a classification data set whose label does not matter."""
    source = data.classification(dataset)
    return [text for text, _ in (source.train if part == "train" else source.test)]


def _tokens(dataset: str) -> Examples:
    """Each word -> a class. E2E: the slot whose value it stands in; other texts: its capitals.

    The model reads lower case alone, so capitals have to be told from meaning and place.
    """
    if dataset != "e2e_nlg":
        return _capitals(dataset)

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


def _capitals(dataset: str) -> Examples:
    """A text -> of each of its words whether it has no capital (0), begins with one or has more."""

    def rows(part: str) -> Iterable[Example]:
        for text in _texts(dataset, part):
            words = _WORDS.findall(text)
            yield Example(" ".join(words), tuple(_capital(word) for word in words))

    return _both(rows, 3)


def _capital(word: str) -> int:
    capitals = sum(letter.isupper() for letter in word)
    return 0 if not capitals else 1 if capitals == 1 and word[0].isupper() else 2


# What a response may hold that can be foretold from its prompt, in part.
_HOLDS = {
    "gsm8k": ("+", "-", "*", "/", "%"),
    "gpteacher_codegen": ("def ", "import ", "for ", "if ", "class ", "return "),
}


def _multilabel(dataset: str) -> Examples:
    """E2E: a description -> which slots it was written from (the name always is: left out).

    Instruction sets: a prompt -> which operations or statements the response holds.
    """
    if dataset != "e2e_nlg":
        return _contents(dataset)

    def rows(part: str) -> Iterable[Example]:
        for prompt, response in _generated(dataset, part):
            meaning = _meaning(prompt)
            yield Example(response, tuple(float(slot in meaning) for slot in SLOTS[1:]))

    return _both(rows, len(SLOTS) - 1)


def _contents(dataset: str) -> Examples:
    """A prompt -> which of `_HOLDS` its response holds."""
    parts = _HOLDS[dataset]

    def rows(part: str) -> Iterable[Example]:
        for prompt, response in _generated(dataset, part):
            yield Example(prompt, tuple(float(text in response) for text in parts))

    return _both(rows, len(parts))


def _regression(dataset: str) -> Examples:
    """A text -> a number, standardized on the training part.

    E2E: how many slots a description was written from. Instruction sets: the logarithm of the
    response's length, from the prompt. Other texts: the share of words with a capital, which the
    model does not see.
    """
    numbers = {part: _numbers(dataset, part) for part in ("train", "test")}
    targets = [value for _, value in numbers["train"]]
    mean, spread = statistics.fmean(targets), statistics.pstdev(targets)

    def rows(part: str) -> Iterable[Example]:
        return (Example(text, (value - mean) / spread) for text, value in numbers[part])

    return _both(rows, 1)


def _numbers(dataset: str, part: str) -> list[tuple[str, float]]:
    """Texts and their numbers, as they are."""
    if dataset == "e2e_nlg":
        generated = _generated(dataset, part)
        return [(response, float(len(_meaning(prompt)))) for prompt, response in generated]
    if dataset in data.INSTRUCTION_SETS:
        generated = _generated(dataset, part)
        return [(prompt, math.log1p(len(response))) for prompt, response in generated]
    texts = [(text, _WORDS.findall(text)) for text in _texts(dataset, part)]
    return [
        (text, statistics.fmean(_capital(word) > 0 for word in words))
        for text, words in texts
        if words
    ]


def _halves(dataset: str) -> Examples:
    """The first half of a text's words -> the second."""

    def rows(part: str) -> Iterable[Example]:
        for text in _texts(dataset, part):
            words = text.split()
            if len(words) >= 4:
                middle = len(words) // 2
                yield Example(" ".join(words[:middle]), " ".join(words[middle:]))

    return _both(rows, 0)


def _generation(dataset: str) -> Examples:
    """Prompt -> response; E2E backwards, from a description to its meaning, as ``e2e_parse``."""
    if dataset not in (*data.INSTRUCTION_SETS, "e2e_parse", "wikitext2"):
        return _halves(dataset)
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
