"""The deterministic plan of the long runs: breadth first, then repeated seeds.

Single settings spread over data sets, models, rates, sizes and schedules by low-discrepancy
sequences; two of three are recipes as people use them, one of three fails in a way people meet.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any

from benchmarks.longruns import kinds
from benchmarks.longruns.recipes import POOR, SCHEDULES, at, choice
from benchmarks.longruns.setting import LongSetting
from benchmarks.recording.design import halton

SEEDS_PER_CELL = 8
N_SINGLES = 286  # 13 turns over the data sets

# Tokens a row is cut at: short, for the sake of time.
SINGLE_SETS = {
    "trec6": 20,
    "sst2": 24,
    "snips": 20,
    "ag_news": 32,
    "tweet_emotion": 24,
    "banking77": 20,
    "cola": 16,
    "hate_davidson": 24,
    "customer_reviews": 24,
    "vader_tweets": 20,
    "clinc150": 16,
    "spam_assassin": 32,
    "tweet_offensive": 24,
    "e2e_rating": 32,
    "sms_spam": 24,
    "vader_nyt": 24,
    "poem_sentiment": 16,
    "bbc_news": 32,
    "gsm8k_steps": 32,
    "instruction_source": 24,
}
PAIR_SETS = {"mrpc": 48, "rte": 48}
_ROW_LIMIT = {
    "poem_sentiment": 892,
    "bbc_news": 1700,
    "instruction_source": 1900,
    "rte": 2487,
    "customer_reviews": 3012,
    "tweet_emotion": 3232,
    "vader_tweets": 3360,
    "e2e_rating": 2500,
    "mrpc": 4076,
    "vader_nyt": 4096,
    "sms_spam": 4127,
    "spam_assassin": 4736,
    "trec6": 5371,
}

_MODELS = (
    "minilm-2",
    "minilm-3",
    "minilm-2",
    "minilm-6",
    "minilm-3",
    "minilm-2",
    "minilm-3-fresh-2",
    "minilm-2",
    "minilm-6-fresh-4",
)
_LENGTHS = (
    (500, 20),
    (500, 25),
    (600, 30),
    (500, 20),
    (1500, 30),
    (500, 20),
    (800, 40),
    (1500, 20),
)
_ROWS = (1000, 2000, 3000, 4000, 6000)
# Of the first two turns: those that keep their number of steps.
_LONGER = frozenset({0, 4, 8, 16, 24, 32, 40})
# Those that keep their number of layers.
_WHOLE = frozenset({10, 13})
_SOUND_RATES = {"full": (1e-5, 3e-4), "lora": (1e-4, 2e-3)}


def single(index: int) -> LongSetting:
    """Setting number `index` of the spread; the index is the seed as well."""
    sets = [*SINGLE_SETS, *PAIR_SETS]
    turn, place = divmod(index, len(sets))
    dataset = sets[place]
    # Every set meets every recipe in the course of the turns.
    poor = (place + turn) % 3 == 2
    method = "lora" if (place + turn // 3) % 4 == 3 else "full"
    pick = index + 16  # the first elements of Halton sequences of several bases move together
    scheduler, warmup = choice(SCHEDULES, halton(pick, 11))
    max_steps, evaluations = choice(_LENGTHS, halton(pick, 3))
    model = choice(_MODELS, halton(pick, 7))
    # Breadth first, and short runs of few layers are the cheap ones.
    if turn < 2 and index not in _LONGER:
        max_steps, evaluations = _LENGTHS[0]
        model = _cheaper(model, index)
    rows = choice(_ROWS, halton(pick, 5))
    sound = LongSetting(
        dataset=dataset,
        kind="pair" if dataset in PAIR_SETS else "single",
        model=model,
        method=method,  # type: ignore[arg-type]
        learning_rate=at(*_SOUND_RATES[method], halton(pick, 2)),
        train_rows=min(rows, _ROW_LIMIT.get(dataset, rows)),
        scheduler=scheduler,
        warmup=warmup,
        max_steps=max_steps,
        evaluations=evaluations,
        batch_size=16 if index % 5 == 0 else 8,
        weight_decay=0.01 if index % 3 == 2 else 0.0,
        max_tokens=(SINGLE_SETS | PAIR_SETS)[dataset],
        seed=index,
    )
    if not poor:
        return sound
    n_poor = sum((i % len(sets) + i // len(sets)) % 3 == 2 for i in range(index))
    recipe, changes = POOR[n_poor % len(POOR)]
    return replace(sound, recipe=recipe, **changes(sound, halton(n_poor, 2)))


def _cheaper(model: str, index: int) -> str:
    """The model with fewer layers, but for one in three; the first dozen keeps nearly all."""
    if index % 3 == 0 or index in _WHOLE:
        return model
    if index < 12:
        return model.replace("minilm-6", "minilm-3").replace("fresh-4", "fresh-3")
    return "minilm-2-fresh-2" if "fresh" in model else "minilm-2"


def _cell(dataset: str, **changes: Any) -> LongSetting:
    return LongSetting(dataset, max_tokens=SINGLE_SETS[dataset], batch_size=8, **changes)


# Settings repeated over seeds: safe ones, hopeless ones, and those where the seed decides.
CELLS = (
    _cell("trec6", learning_rate=1e-4),
    _cell("sst2", learning_rate=1e-5, train_rows=1000),
    _cell("poem_sentiment", learning_rate=3e-4, train_rows=800),
    _cell("snips", method="lora", learning_rate=5e-4),
    _cell("cola", learning_rate=3e-4, warmup=0.0, recipe="hot start"),
    _cell("tweet_emotion", learning_rate=3e-5),
    _cell("vader_tweets", learning_rate=1e-3, warmup=0.0, recipe="hot start"),
    _cell("ag_news", learning_rate=1e-3, recipe="hot start"),
    _cell("customer_reviews", learning_rate=1e-4, fault="shuffled", recipe="shuffled labels"),
    _cell("banking77", learning_rate=2e-4),
    _cell("tweet_offensive", learning_rate=1e-4, label_noise=0.2, recipe="noise 20 %"),
    _cell("hate_davidson", method="lora", learning_rate=2e-3),
    _cell("trec6", learning_rate=2e-4, train_rows=64, recipe="few rows"),
    _cell("vader_nyt", learning_rate=5e-5, model="minilm-3"),
    _cell("sms_spam", learning_rate=2e-5),
    _cell("spam_assassin", learning_rate=1e-3, model="minilm-3", recipe="hot start"),
    _cell("snips", learning_rate=3e-6, recipe="rate low"),
    _cell("e2e_rating", learning_rate=3e-4, model="minilm-3-fresh-2"),
    _cell("clinc150", learning_rate=5e-4),
    _cell("sst2", learning_rate=5e-4, label_noise=0.6, recipe="noise 60 %"),
)


def plan() -> tuple[LongSetting, ...]:
    """All runs in the order in which they are recorded."""
    singles = [single(index) for index in range(N_SINGLES)]
    others = [kinds.other(kinds.FIRST, index) for index in range(kinds.FROM_FIRST)]
    repeats = [replace(cell, seed=seed) for cell in CELLS for seed in range(SEEDS_PER_CELL)]
    # A turn over the data sets, one over them and the other tasks; then all kinds by turns.
    n_sets, n_kinds = len(SINGLE_SETS) + len(PAIR_SETS), len(kinds.FIRST)
    second = zip_longest(singles[n_sets : 2 * n_sets], others[:n_kinds])
    more = singles[2 * n_sets :]
    rest = zip_longest(more[::3], more[1::3], repeats, more[2::3], others[n_kinds:])
    later = chain.from_iterable(chain(second, rest))
    return (*singles[:n_sets], *(setting for setting in later if setting is not None))
