"""The deterministic plan of the long runs: breadth first, then repeated seeds.

Single settings spread over data sets, models, rates, sizes and schedules by low-discrepancy
sequences; two of three are recipes as people use them, one of three fails in a way people meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any

from benchmarks.longruns.setting import LongSetting
from benchmarks.recording.design import halton

SEEDS_PER_CELL = 8
N_SINGLES = 286  # 13 turns over the data sets
N_OTHERS = 72

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
_SCHEDULES = (
    ("linear", 0.06),
    ("linear", 0.1),
    ("cosine", 0.1),
    ("linear", 0.0),
    ("constant_with_warmup", 0.06),
    ("linear", 0.06),
    ("cosine", 0.03),
)
# Of the first two turns: those that keep their number of steps.
_LONGER = frozenset({0, 4, 8, 16, 24, 32, 40})
# Those that keep their number of layers.
_WHOLE = frozenset({10, 13})
_SOUND_RATES = {"full": (1e-5, 3e-4), "lora": (1e-4, 2e-3)}


def _at(low: float, high: float, u: float) -> float:
    """A rate between `low` and `high`, even in its logarithm, with two digits."""
    return float(f"{low * (high / low) ** u:.1e}")


# What fails, as changes of a sound setting; `u` in [0, 1) picks within it.
_POOR: tuple[tuple[str, Callable[[LongSetting, float], dict[str, Any]]], ...] = (
    ("rate tiny", lambda s, u: _rate(3e-8, 1e-6, s, u)),
    ("shuffled labels", lambda s, u: {"fault": "shuffled"}),
    ("rate huge", lambda s, u: _rate(2e-3, 5e-2, s, u)),
    ("few rows", lambda s, u: {"train_rows": (8, 16, 32)[int(3 * u)]}),
    ("noise 60 %", lambda s, u: {"label_noise": 0.6}),
    ("swapped column", lambda s, u: {"fault": "swapped_column"}),
    (
        "hot start",
        lambda s, u: _rate(5e-4, 2e-3, s, u) | {"warmup": 0.0},
    ),
    ("bias only", lambda s, u: {"method": "bias_only"}),
    ("label mapping", lambda s, u: {"fault": "mapping"}),
    ("masked input", lambda s, u: {"fault": "mask"}),
    ("noise 20 %", lambda s, u: {"label_noise": 0.2}),
    ("frozen body", lambda s, u: {"method": "frozen_body"}),
    ("other vocabulary", lambda s, u: {"fault": "vocabulary"}),
    ("rate low", lambda s, u: _rate(1e-6, 5e-6, s, u)),
    ("truncated", lambda s, u: {"fault": "truncated"}),
)


def _rate(low: float, high: float, setting: LongSetting, u: float) -> dict[str, Any]:
    """A rate in a range for full fine-tuning; ten times as high with LoRA."""
    factor = 10 if setting.method == "lora" else 1
    return {"learning_rate": _at(factor * low, factor * high, u)}


def single(index: int) -> LongSetting:
    """Setting number `index` of the spread; the index is the seed as well."""
    sets = [*SINGLE_SETS, *PAIR_SETS]
    turn, place = divmod(index, len(sets))
    dataset = sets[place]
    # Every set meets every recipe in the course of the turns.
    poor = (place + turn) % 3 == 2
    method = "lora" if (place + turn // 3) % 4 == 3 else "full"
    pick = index + 16  # the first elements of Halton sequences of several bases move together
    scheduler, warmup = _choice(_SCHEDULES, halton(pick, 11))
    max_steps, evaluations = _choice(_LENGTHS, halton(pick, 3))
    model = _choice(_MODELS, halton(pick, 7))
    # Breadth first, and short runs of few layers are the cheap ones.
    if turn < 2 and index not in _LONGER:
        max_steps, evaluations = _LENGTHS[0]
        model = _cheaper(model, index)
    rows = _choice(_ROWS, halton(pick, 5))
    sound = LongSetting(
        dataset=dataset,
        kind="pair" if dataset in PAIR_SETS else "single",
        model=model,
        method=method,  # type: ignore[arg-type]
        learning_rate=_at(*_SOUND_RATES[method], halton(pick, 2)),
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
    recipe, changes = _POOR[n_poor % len(_POOR)]
    return replace(sound, recipe=recipe, **changes(sound, halton(n_poor, 2)))


def _cheaper(model: str, index: int) -> str:
    """The model with fewer layers, but for one in three; the first dozen keeps nearly all."""
    if index % 3 == 0 or index in _WHOLE:
        return model
    if index < 12:
        return model.replace("minilm-6", "minilm-3").replace("fresh-4", "fresh-3")
    return "minilm-2-fresh-2" if "fresh" in model else "minilm-2"


def _choice(choices: tuple[Any, ...], u: float) -> Any:
    return choices[int(u * len(choices))]


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


# Tasks beyond the class of a text: data set, kind, model, tokens, rates.
_OTHERS = (
    ("e2e_nlg", "tokens", "minilm-2", 32, (3e-5, 5e-4)),
    ("gsm8k", "regression", "minilm-3", 32, (2e-5, 3e-4)),
    ("e2e_nlg", "causal_lm", "smollm2-4", 40, (2e-4, 3e-3)),
    ("e2e_nlg", "multilabel", "minilm-2", 32, (3e-5, 3e-4)),
    ("e2e_nlg", "seq2seq", "t5-scratch", 48, (3e-4, 5e-3)),
    ("e2e_nlg", "regression", "minilm-2", 32, (2e-5, 3e-4)),
    ("gsm8k", "causal_lm", "smollm2-4", 40, (2e-4, 3e-3)),
    ("gpteacher_codegen", "regression", "minilm-2", 32, (2e-5, 3e-4)),
    ("e2e_parse", "seq2seq", "t5-scratch", 48, (3e-4, 5e-3)),
    ("gpteacher_codegen", "causal_lm", "smollm2-6", 40, (2e-4, 3e-3)),
    ("wikitext2", "causal_lm", "smollm2-4", 40, (2e-4, 3e-3)),
    ("mbpp", "causal_lm", "smollm2-30", 48, (2e-4, 2e-3)),
)
_OTHERS_POOR = ("shuffled labels", "rate tiny", "rate huge", "few rows", "swapped column")


def other(index: int) -> LongSetting:
    """Setting number `index` of the other tasks; the index is the seed as well."""
    turn, place = divmod(index, len(_OTHERS))
    dataset, kind, model, max_tokens, rates = _OTHERS[place]
    pick = index + 16
    scheduler, warmup = _choice(_SCHEDULES, halton(pick, 11))
    deep = model == "smollm2-30"
    rows = _choice(_ROWS[:4], halton(pick, 5))
    sound = LongSetting(
        dataset=dataset,
        kind=kind,  # type: ignore[arg-type]
        model=model,
        method="lora" if kind == "causal_lm" else "full",
        learning_rate=_at(*rates, halton(pick, 2)),
        train_rows=min(
            rows, {"mbpp": 474, "wikitext2": 1600, "gpteacher_codegen": 3600}.get(dataset, rows)
        ),
        scheduler=scheduler,
        warmup=warmup,
        max_steps=160 if deep else 500,
        evaluations=20,
        batch_size=2 if kind == "causal_lm" else 8,
        eval_rows=32 if deep else 200,
        max_tokens=max_tokens,
        seed=index,
    )
    n_poor, poor = divmod(index + turn, 3)
    if poor != 2:
        return sound
    recipe = _OTHERS_POOR[n_poor % len(_OTHERS_POOR)]
    return replace(sound, recipe=recipe, **dict(_POOR)[recipe](sound, halton(n_poor, 2)))


def plan() -> tuple[LongSetting, ...]:
    """All runs in the order in which they are recorded."""
    singles = [single(index) for index in range(N_SINGLES)]
    others = [other(index) for index in range(N_OTHERS)]
    repeats = [replace(cell, seed=seed) for cell in CELLS for seed in range(SEEDS_PER_CELL)]
    # A turn over the data sets, one over them and the other tasks; then all kinds by turns.
    n_sets, n_kinds = len(SINGLE_SETS) + len(PAIR_SETS), len(_OTHERS)
    second = zip_longest(singles[n_sets : 2 * n_sets], others[:n_kinds])
    more = singles[2 * n_sets :]
    rest = zip_longest(more[::3], more[1::3], repeats, more[2::3], others[n_kinds:])
    later = chain.from_iterable(chain(second, rest))
    return (*singles[:n_sets], *(setting for setting in later if setting is not None))
