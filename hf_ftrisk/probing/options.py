"""What a pre-flight is asked to do. Bad values are refused here, before anything is touched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from hf_ftrisk.goal import Goal
from hf_ftrisk.history.given import Given
from hf_ftrisk.policy import RuleMaker, default_rule
from hf_ftrisk.policy.protocol import check_false_stop_rate
from hf_ftrisk.probing.budget import check_budget
from hf_ftrisk.probing.cost import Prices

# Seconds for the static signals, or more where the budget is worth more: see `PreflightOptions`.
SIGNAL_SECONDS = 15.0


@dataclass(frozen=True)
class PreflightOptions:
    """Settings of a pre-flight; see `hf_ftrisk.probing.runner.preflight` for each.

    Raises:
        ValueError: a value out of range, by name.
    """

    goal: Goal
    budget: float = 0.05
    seeds: int = 3
    history: Given = None
    task: str | None = None
    depths: Sequence[int] | None = None
    eval_samples: int | None = 512
    signal_seconds: float | None = None
    timeout: float = 300.0
    false_stop_rate: float = 0.05
    make_rule: RuleMaker = default_rule
    prices: Prices = field(default_factory=Prices)
    run_value: float | None = None

    def __post_init__(self) -> None:
        check_budget(self.budget)
        if isinstance(self.seeds, bool) or not isinstance(self.seeds, int) or self.seeds < 1:
            raise ValueError(f"seeds must be a whole number of 1 or more, got {self.seeds!r}")
        if self.eval_samples is not None and self.eval_samples < 1:
            raise ValueError(
                "eval_samples must be 1 or more rows, or None for the whole evaluation set, "
                f"got {self.eval_samples!r}"
            )
        for name in ("signal_seconds", "timeout"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"{name} must be a finite number of seconds, 0 or more, got {value!r}"
                )
        if self.timeout == 0:
            raise ValueError("timeout must be above 0 seconds, got 0")
        check_false_stop_rate(self.false_stop_rate)
        if self.run_value is not None and self.prices.per_hour is None:
            raise ValueError(
                "run_value, what avoiding one wasted run is worth, needs price_per_hour as well"
            )
