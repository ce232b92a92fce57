"""The plan of the many seeds: a few settings, each repeated until its regime can be named.

Expected regimes are what the settings were chosen for, written down before anything was recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.longruns.setting import LongSetting

SEEDS, MANY_SEEDS = 40, 100
# Seeds that every setting gets before any gets more.
FIRST_SEEDS = 8


@dataclass(frozen=True)
class SeedTask:
    """One setting that is run with many seeds.

    Args:
        name: of the task, for tables.
        expected: regime it was chosen for.
        setting: the setting; its seed is replaced.
        seeds: planned number of seeds.
    """

    name: str
    expected: str
    setting: LongSetting
    seeds: int = SEEDS


def _single(dataset: str, rate: float, tokens: int, **changes: object) -> LongSetting:
    fields: dict[str, object] = {
        "learning_rate": rate,
        "max_tokens": tokens,
        "max_steps": 300,
        "evaluations": 20,
        "batch_size": 8,
        "train_rows": 1000,
    }
    return LongSetting(dataset, **(fields | changes))  # type: ignore[arg-type]


_EMOTION = _single("tweet_emotion", 1e-4, 24)
_ADDITION = LongSetting(
    "addition_mod_23",
    model="minilm-2-fresh-1",
    learning_rate=3e-3,
    weight_decay=1.0,
    train_rows=317,
    max_steps=600,
    evaluations=20,
    batch_size=64,
    max_tokens=8,
)

# The cheap ones first, in which order they get their seeds.
TASKS = (
    SeedTask("intents, easy", "static-sufficient", _single("snips", 1e-4, 20), MANY_SEEDS),
    SeedTask(
        "sentiment, hot, with warm-up",
        "static-sufficient",
        _single("vader_tweets", 5e-4, 20, warmup=0.1),
        MANY_SEEDS,
    ),
    SeedTask(
        "sentiment, hot, without warm-up",
        "dynamic-critical",
        _single("vader_tweets", 5e-4, 20, warmup=0.0),
    ),
    SeedTask(
        "questions, 30 % of labels redrawn",
        "noise-dominant",
        _single("trec6", 2e-4, 20, label_noise=0.3),
        MANY_SEEDS,
    ),
    SeedTask(
        "questions, 60 % of labels redrawn",
        "noise-dominant",
        _single("trec6", 2e-4, 20, label_noise=0.6),
    ),
    SeedTask("modular addition with weight decay", "dynamic-critical", _ADDITION),
    SeedTask("emotions, linear", "static-sufficient", _EMOTION),
    SeedTask(
        "entailment, few rows, high rate",
        "dynamic-critical",
        _single("rte", 3e-4, 40, kind="pair", train_rows=400, warmup=0.0),
    ),
    SeedTask(
        "arithmetic word problems, LoRA",
        "static-sufficient",
        LongSetting(
            "gsm8k",
            kind="causal_lm",
            model="smollm2-4",
            method="lora",
            learning_rate=1e-3,
            max_steps=200,
            batch_size=2,
            eval_rows=100,
            max_tokens=40,
        ),
    ),
    SeedTask("emotions, cosine", "static-sufficient", replace(_EMOTION, scheduler="cosine")),
    SeedTask(
        "emotions, constant",
        "static-sufficient",
        replace(_EMOTION, scheduler="constant_with_warmup"),
    ),
    SeedTask(
        "emotions, inverse square root",
        "static-sufficient",
        replace(_EMOTION, scheduler="inverse_sqrt"),
    ),
)


def seed_plan() -> tuple[LongSetting, ...]:
    """All runs in the order in which they are recorded.

    Every task gets its first seeds before any gets more, then one task after the other its
    `SEEDS`, then those with more theirs: a plan that is cut short has all tasks, and some whole.
    """
    first = [(task, seed) for seed in range(FIRST_SEEDS) for task in TASKS]
    then = [(task, seed) for task in TASKS for seed in range(FIRST_SEEDS, SEEDS)]
    last = [(task, seed) for task in TASKS for seed in range(SEEDS, task.seeds)]
    return tuple(replace(task.setting, seed=seed) for task, seed in first + then + last)
