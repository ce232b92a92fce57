"""The deterministic plan of the reference runs.

Every prefix of the plan is a balanced sample: repeated settings (many seeds of one setting, for
run-to-run variance) alternate with single settings that spread over data sets, methods, learning
rates, label noise, sizes and schedules by low-discrepancy sequences.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain, zip_longest
from typing import TypeVar

from benchmarks.recording.design import check_evaluations, halton, stable_name, task_of

T = TypeVar("T")

SEEDS_PER_CELL = 8
N_SINGLES = 420


@dataclass(frozen=True)
class RunSetting:
    """Everything that decides one run; two equal settings give the same trajectory.

    Args:
        dataset: name in `benchmarks.recording.data`.
        model: ``"minilm"`` or ``"smollm2"``.
        method: ``"full"``, ``"lora"`` or ``"scratch"`` (re-initialized from the configuration).
        learning_rate: peak learning rate of AdamW.
        train_rows: rows of the training subset; the subset depends on data set and size alone.
        label_noise: share of training labels replaced by a uniformly drawn other label.
        scheduler: the Trainer's ``lr_scheduler_type``.
        warmup: share of the steps with rising learning rate.
        max_steps: optimizer steps; a multiple of `evaluations`.
        evaluations: evaluations after the one at step 0.
        batch_size: rows per optimizer step.
        weight_decay: AdamW's weight decay.
        load_best: whether the best checkpoint (by ``eval_accuracy``) is the result.
        eval_rows: fixed evaluation rows: the binomial noise of an accuracy is
            ``sqrt(p (1 - p) / eval_rows)``.
        seed: initialization of the head, order of the data, dropout.
    """

    dataset: str
    model: str = "minilm"
    method: str = "full"
    learning_rate: float = 1e-4
    train_rows: int = 400
    label_noise: float = 0.0
    scheduler: str = "linear"
    warmup: float = 0.0
    max_steps: int = 60
    evaluations: int = 10
    batch_size: int = 8
    weight_decay: float = 0.0
    load_best: bool = False
    eval_rows: int = 160
    seed: int = 0

    def __post_init__(self) -> None:
        check_evaluations(self.max_steps, self.evaluations)

    @property
    def task(self) -> str:
        """Data set x model x method."""
        return task_of(self)

    @property
    def setting_id(self) -> str:
        """Stable name of the setting without its seed."""
        content = {k: v for k, v in asdict(self).items() if k != "seed"}
        return stable_name(self, content)

    @property
    def run_id(self) -> str:
        """Stable name of the run."""
        return f"{self.setting_id}-s{self.seed}"


# Settings repeated over seeds: most lie where the seed matters, near the edge of stability, at
# little data or under label noise; some are safe and some hopeless.
CELLS = (
    RunSetting("snips", learning_rate=2e-4, train_rows=400, warmup=0.1),
    RunSetting("poem_sentiment", learning_rate=3e-4, train_rows=400, warmup=0.1),
    RunSetting("vader_tweets", learning_rate=3e-4, train_rows=800),
    RunSetting("spam_assassin", method="lora", learning_rate=2e-3, train_rows=300),
    RunSetting("hate_davidson", learning_rate=3e-4, train_rows=600, scheduler="cosine"),
    RunSetting("bbc_news", learning_rate=5e-5, train_rows=200),
    RunSetting("e2e_rating", learning_rate=3e-4, train_rows=800),
    RunSetting("gsm8k_steps", method="lora", learning_rate=2e-3, train_rows=1000),
    RunSetting("clinc150", learning_rate=5e-4, train_rows=1500, max_steps=100, warmup=0.1),
    RunSetting("vader_nyt", learning_rate=1e-4, train_rows=800, scheduler="constant"),
    RunSetting("instruction_source", method="lora", learning_rate=5e-4, train_rows=300),
    RunSetting("snips", method="lora", learning_rate=3e-3, train_rows=400, label_noise=0.2),
    RunSetting("banking77", learning_rate=1e-3, train_rows=800, max_steps=100, warmup=0.1),
    RunSetting("snips", method="scratch", learning_rate=1e-3, train_rows=800),
    RunSetting("bbc_news", method="lora", learning_rate=5e-3, train_rows=200, label_noise=0.2),
    RunSetting("poem_sentiment", method="lora", learning_rate=3e-3, train_rows=800),
    RunSetting("snips", learning_rate=2e-3, train_rows=800, warmup=0.1),
    RunSetting("banking77", method="lora", learning_rate=1e-2, train_rows=1500),
    RunSetting("instruction_source", learning_rate=1e-3, train_rows=400, label_noise=0.5),
    RunSetting("vader_nyt", method="lora", learning_rate=1e-3, train_rows=400, label_noise=0.2),
    RunSetting("e2e_rating", method="scratch", learning_rate=1e-3, train_rows=1000),
)

_DATASETS = (
    "snips",
    "hate_davidson",
    "bbc_news",
    "banking77",
    "vader_tweets",
    "spam_assassin",
    "e2e_rating",
    "poem_sentiment",
    "clinc150",
    "gsm8k_steps",
    "vader_nyt",
    "instruction_source",
)
_METHODS = ("full", "lora", "full", "scratch", "lora")
# From far too small to divergent, per method.
_RATE_RANGE = {"full": (1e-7, 1e-2), "lora": (1e-6, 1e-1), "scratch": (1e-6, 2e-2)}
_LENGTHS = (
    *((60, 10),) * 6,
    *((60, 12), (60, 12), (60, 20), (80, 10), (80, 10), (80, 16)),
    *((100, 10), (120, 12), (120, 20), (200, 10)),
)
# The first elements of Halton sequences of several bases move together.
_SKIPPED = 16
_ROWS = (100, 200, 400, 800, 1200, 2000)
_NOISE = (0.0, 0.0, 0.2, 0.0, 0.5)
_SCHEDULES = (
    ("linear", 0.0),
    ("linear", 0.1),
    ("cosine", 0.1),
    ("constant", 0.0),
    ("cosine", 0.0),
    ("constant_with_warmup", 0.1),
)


def _pick(choices: tuple[T, ...], u: float) -> T:
    return choices[int(u * len(choices))]


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}")


def _single(index: int) -> RunSetting:
    """Setting number `index` of the spread; the index is the seed as well."""
    dataset = _DATASETS[index % len(_DATASETS)]
    method = _METHODS[(index + index // len(_DATASETS)) % len(_METHODS)]
    low, high = _RATE_RANGE[method]
    u = 2 * halton(index, 2) - 1
    # The exponent draws the rates towards the middle of the range, where runs differ most.
    position = 0.5 + 0.5 * math.copysign(abs(u) ** 1.3, u)
    scheduler, warmup = _pick(_SCHEDULES, halton(index, 11))
    max_steps, evaluations = _pick(_LENGTHS, halton(index, 3))
    load_best = index % 9 == 4
    return RunSetting(
        dataset=dataset,
        method=method,
        learning_rate=_two_digits(low * (high / low) ** position),
        train_rows=min(_pick(_ROWS, halton(index, 5)), _ROW_LIMIT.get(dataset, 2000)),
        label_noise=_pick(_NOISE, halton(index, 7)),
        scheduler=scheduler,
        warmup=warmup,
        max_steps=max_steps,
        evaluations=evaluations,
        batch_size=16 if index % 8 == 3 else 8,
        weight_decay=0.01 if index % 3 == 2 else 0.0,
        load_best=load_best,
        eval_rows=128,
        seed=index,
    )


_ROW_LIMIT = {"poem_sentiment": 892, "bbc_news": 1700, "instruction_source": 1900}

_LM_DATASETS = ("e2e_nlg", "gsm8k", "mbpp", "self_instruct_human", "gpteacher_codegen", "wikitext2")
_LM_RATES = (2e-4, 1e-6, 2e-3, 2e-2, 5e-5, 1e-1)


def _language_model(index: int) -> RunSetting:
    """LoRA run number `index` of the small language model, judged by its evaluation loss."""
    wave = index // len(_LM_DATASETS)
    return RunSetting(
        dataset=_LM_DATASETS[index % len(_LM_DATASETS)],
        model="smollm2",
        method="lora",
        learning_rate=_LM_RATES[(index + wave) % len(_LM_RATES)],
        train_rows=(100, 200, 300)[index % 3],
        scheduler=("linear", "cosine")[index % 2],
        max_steps=60,
        batch_size=2,
        eval_rows=16,
        seed=index,
    )


def _repeats() -> Iterator[RunSetting]:
    for seed in range(SEEDS_PER_CELL):
        for cell in CELLS:
            yield replace(cell, seed=seed)


def plan() -> tuple[RunSetting, ...]:
    """All runs in the order in which they are recorded."""
    singles = [_single(index) for index in range(_SKIPPED, _SKIPPED + N_SINGLES)]
    repeats = list(_repeats())
    pairs = zip_longest(repeats, singles)
    mixed = [run for run in chain.from_iterable(pairs) if run is not None]
    return (*mixed, *(_language_model(index) for index in range(24)))
