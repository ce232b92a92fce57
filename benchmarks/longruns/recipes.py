"""How runs are trained, well and badly: schedules, and what fails in the ways people meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.longruns.setting import LongSetting

SCHEDULES = (
    ("linear", 0.06),
    ("linear", 0.1),
    ("cosine", 0.1),
    ("linear", 0.0),
    ("constant_with_warmup", 0.06),
    ("linear", 0.06),
    ("cosine", 0.03),
)


def at(low: float, high: float, u: float) -> float:
    """A rate between `low` and `high`, even in its logarithm, with two digits."""
    return float(f"{low * (high / low) ** u:.1e}")


# What fails, as changes of a sound setting; `u` in [0, 1) picks within it.
POOR: tuple[tuple[str, Callable[[LongSetting, float], dict[str, Any]]], ...] = (
    ("rate tiny", lambda s, u: rate_between(3e-8, 1e-6, s, u)),
    ("shuffled labels", lambda s, u: {"fault": "shuffled"}),
    ("rate huge", lambda s, u: rate_between(2e-3, 5e-2, s, u)),
    ("few rows", lambda s, u: {"train_rows": (8, 16, 32)[int(3 * u)]}),
    ("noise 60 %", lambda s, u: {"label_noise": 0.6}),
    ("swapped column", lambda s, u: {"fault": "swapped_column"}),
    (
        "hot start",
        lambda s, u: rate_between(5e-4, 2e-3, s, u) | {"warmup": 0.0},
    ),
    ("bias only", lambda s, u: {"method": "bias_only"}),
    ("label mapping", lambda s, u: {"fault": "mapping"}),
    ("masked input", lambda s, u: {"fault": "mask"}),
    ("noise 20 %", lambda s, u: {"label_noise": 0.2}),
    ("frozen body", lambda s, u: {"method": "frozen_body"}),
    ("other vocabulary", lambda s, u: {"fault": "vocabulary"}),
    ("rate low", lambda s, u: rate_between(1e-6, 5e-6, s, u)),
    ("truncated", lambda s, u: {"fault": "truncated"}),
)


def rate_between(low: float, high: float, setting: LongSetting, u: float) -> dict[str, Any]:
    """A rate in a range for full fine-tuning; ten times as high with LoRA."""
    factor = 10 if setting.method == "lora" else 1
    return {"learning_rate": at(factor * low, factor * high, u)}


def choice(choices: tuple[Any, ...], u: float) -> Any:
    return choices[int(u * len(choices))]
