"""What is asked of a ranking, checked before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

Unit = Literal["steps", "time", "money"]


@dataclass(frozen=True)
class RankOptions:
    """What is asked of a ranking.

    Args:
        goal: what candidates are judged by.
        budget: share of the cost of all full runs that may be spent, in (0, 1].
        unit: what costs are counted in: optimizer steps, measured time, or money.
        price_per_hour: price of an hour, of all candidates or of each; for ``"money"``.
        currency: unit of the price.
        at_once: candidates that are trained side by side.
        seed: random numbers are set to it before each Trainer is built.
        signal_seconds: bound on the time for each candidate's static signals; 0: none.
        history: completed runs to forecast from.

    Raises:
        ValueError: a value out of range, by name.
    """

    goal: Goal
    budget: float = 0.2
    unit: Unit = "steps"
    price_per_hour: float | Mapping[str, float] | None = None
    currency: str = "USD"
    at_once: int = 1
    seed: int = 0
    signal_seconds: float = 5.0
    history: tuple[RunRecord, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.budget <= 1.0:
            raise ValueError(f"budget is a share of all full runs in (0, 1], got {self.budget!r}")
        if self.unit not in ("steps", "time", "money"):
            raise ValueError(f"unit must be 'steps', 'time' or 'money', got {self.unit!r}")
        if (self.unit == "money") != (self.price_per_hour is not None):
            raise ValueError(
                "unit='money' and price_per_hour=... go together: the price of an hour, or "
                f"candidate -> price; got unit={self.unit!r}, price_per_hour="
                f"{self.price_per_hour!r}"
            )
        prices = self.price_per_hour
        all_prices = list(prices.values()) if isinstance(prices, Mapping) else [prices or 1.0]
        if not all(price > 0 for price in all_prices):
            raise ValueError(f"price_per_hour must be above 0, got {prices!r}")
        if self.at_once < 1:
            raise ValueError(f"at_once must be at least 1, got {self.at_once!r}")
        if self.signal_seconds < 0:
            raise ValueError(f"signal_seconds must not be negative, got {self.signal_seconds!r}")

    @property
    def unit_name(self) -> str:
        """The unit in a report: ``"steps"``, ``"seconds"`` or the currency."""
        return {"steps": "steps", "time": "seconds", "money": self.currency}[self.unit]

    def price_of_second(self, name: str) -> float:
        """What a second of a candidate's training costs: 1 where time itself is counted.

        Raises:
            ValueError: no price for this candidate.
        """
        if self.price_per_hour is None:
            return 1.0
        if not isinstance(self.price_per_hour, Mapping):
            return self.price_per_hour / 3600.0
        if name not in self.price_per_hour:
            raise ValueError(
                f"price_per_hour has no price for candidate {name!r}: {dict(self.price_per_hour)}"
            )
        return self.price_per_hour[name] / 3600.0
