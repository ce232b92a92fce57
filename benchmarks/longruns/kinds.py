"""The plan of tasks beyond the class of a text: tagging, numbers, several labels, generation.

Two of three are recipes as people use them, one of three fails in a way people meet.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.longruns.recipes import POOR, SCHEDULES, at, choice
from benchmarks.longruns.setting import LongSetting
from benchmarks.recording.design import halton

# Data set, kind, model, tokens, rates. A language model of few layers begins far above the loss of
# its tokens' frequencies; one of all thirty does not, and is slow.
Tasks = tuple[tuple[str, str, str, int, tuple[float, float]], ...]
FIRST: Tasks = (
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
SECOND: Tasks = (
    ("ag_news", "tokens", "minilm-2", 24, (3e-5, 5e-4)),
    ("gsm8k", "multilabel", "minilm-2", 32, (3e-5, 5e-4)),
    ("ag_news", "regression", "minilm-2", 24, (2e-5, 3e-4)),
    ("ag_news", "seq2seq", "t5-scratch", 32, (3e-4, 5e-3)),
    ("vader_tweets", "tokens", "minilm-3", 24, (3e-5, 5e-4)),
    ("gpteacher_codegen", "multilabel", "minilm-2", 32, (3e-5, 5e-4)),
    ("vader_tweets", "regression", "minilm-2", 24, (2e-5, 3e-4)),
    ("vader_tweets", "causal_lm", "smollm2-4", 32, (2e-4, 3e-3)),
    ("bbc_news", "tokens", "minilm-2", 32, (3e-5, 5e-4)),
    ("snips", "causal_lm", "smollm2-30", 24, (1e-4, 1e-3)),
    ("bbc_news", "regression", "minilm-3", 32, (2e-5, 3e-4)),
    ("gsm8k", "seq2seq", "t5-scratch", 40, (3e-4, 5e-3)),
    ("sms_spam", "tokens", "minilm-2", 24, (3e-5, 5e-4)),
    ("e2e_nlg", "causal_lm", "smollm2-30", 32, (1e-4, 1e-3)),
)
_FAILS: dict[int, tuple[str, ...]] = {
    len(FIRST): ("shuffled labels", "rate tiny", "rate huge", "few rows", "swapped column"),
    len(SECOND): (
        "shuffled labels",
        "rate tiny",
        "rate huge",
        "few rows",
        "swapped column",
        "rate low",
        "hot start",
    ),
}
FROM_FIRST = 29  # those before are among the long runs
N_SECOND = 112  # eight turns
# What was recorded of these too seldom to be learned from: planted in every task of an encoder.
PLANTED = ("rate huge", "shuffled labels")
ENCODER_KINDS = ("tokens", "regression", "multilabel")
_FROM_PLANTED = 1000
_ROWS = (1000, 2000, 3000, 4000)
_ROW_LIMIT = {
    "mbpp": 474,
    "wikitext2": 1600,
    "gpteacher_codegen": 3600,
    "bbc_news": 1700,
    "vader_tweets": 3000,
}


def other(tasks: Tasks, index: int) -> LongSetting:
    """Setting number `index` of some tasks; the index is the seed as well."""
    turn, sound = index // len(tasks), _sound(tasks, index)
    n_poor, poor = divmod(index + turn, 3)
    if poor != 2:
        return sound
    fails = _FAILS[len(tasks)]
    return _failing(sound, fails[n_poor % len(fails)], halton(n_poor, 2))


def _failing(sound: LongSetting, recipe: str, u: float) -> LongSetting:
    return replace(sound, recipe=recipe, **dict(POOR)[recipe](sound, u))


def _sound(tasks: Tasks, index: int) -> LongSetting:
    dataset, kind, model, max_tokens, rates = tasks[index % len(tasks)]
    pick = index + 16
    scheduler, warmup = choice(SCHEDULES, halton(pick, 11))
    deep = model == "smollm2-30"
    rows = choice(_ROWS, halton(pick, 5))
    return LongSetting(
        dataset=dataset,
        kind=kind,  # type: ignore[arg-type]
        model=model,
        method="lora" if kind == "causal_lm" else "full",
        learning_rate=at(*rates, halton(pick, 2)),
        train_rows=min(rows, _ROW_LIMIT.get(dataset, rows)),
        scheduler=scheduler,
        warmup=warmup,
        max_steps=160 if deep else 500,
        evaluations=20,
        batch_size=2 if kind == "causal_lm" else 8,
        eval_rows=32 if deep else 200,
        max_tokens=max_tokens,
        seed=index,
    )


def kinds_plan() -> tuple[LongSetting, ...]:
    """Runs for the pre-flight of such tasks, apart from the long runs.

    First the planted ones; then turn by turn, the slow ones, models of thirty layers, last.
    """
    settings = list(planted())
    for turn in range(N_SECOND // len(SECOND)):
        of_turn = [other(SECOND, index) for index in _turn(0, len(SECOND), turn)]
        of_turn += [other(FIRST, index) for index in _turn(FROM_FIRST, 6, turn)]
        settings += sorted(of_turn, key=lambda setting: setting.model == "smollm2-30")
    return tuple(settings)


def planted() -> tuple[LongSetting, ...]:
    """Each fault of `PLANTED` in each task of `ENCODER_KINDS`, one fault after the other."""
    settings = []
    for recipe in PLANTED:
        for tasks in (FIRST, SECOND):
            for place, task in enumerate(tasks):
                if task[1] in ENCODER_KINDS:
                    index = _FROM_PLANTED + len(settings)
                    sound = replace(_sound(tasks, len(tasks) * index + place), seed=index)
                    settings.append(_failing(sound, recipe, halton(len(settings) + 1, 2)))
    return tuple(settings)


def _turn(start: int, size: int, turn: int) -> range:
    return range(start + turn * size, start + (turn + 1) * size)
