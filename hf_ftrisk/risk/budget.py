"""Budget: what a step of probing may cost, in units of risk."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hf_ftrisk.risk.stopping import Charge


@dataclass(frozen=True)
class Budget:
    """How the cost of probing is stated: a price, a cost function, money, or nothing.

    Nobody knows gamma, the risk a unit of cost is worth, so it has a default: the whole run's
    compute is worth removing the whole risk, gamma lambda = L(0) / T.

    Args:
        price: gamma lambda of the linear cost, squared units of R per step; with `cost` gamma,
            squared units of R per unit of cost.
        cost: any non-decreasing cost of the first c steps instead of the linear one.
        price_per_hour: price of the machine per hour.
        seconds_per_step: measured time of one optimizer step.
        value: what avoiding one wasted run is worth, in the same currency: the price of removing
            the whole risk.

    Raises:
        ValueError: a number that is not finite and above zero, a price together with money, money
            given in part or together with a cost function.
    """

    price: float | None = None
    cost: Callable[[float], float] | None = None
    price_per_hour: float | None = None
    seconds_per_step: float | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        money = {
            name: getattr(self, name) for name in ("price_per_hour", "seconds_per_step", "value")
        }
        for name, number in {"price": self.price, **money}.items():
            if number is not None and not (math.isfinite(number) and number > 0):
                raise ValueError(f"{name} must be a finite number above 0, got {number!r}")
        given = [name for name, number in money.items() if number is not None]
        if given and len(given) < len(money):
            raise ValueError(f"a price from money needs all three of {money}")
        if given and (self.price is not None or self.cost is not None):
            raise ValueError(
                f"state the cost one way: got {money} with price={self.price!r} and "
                f"{'a' if self.cost is not None else 'no'} cost function"
            )

    def step_price(self, level: float, horizon: float | None) -> float:
        """gamma lambda of the linear cost: squared units of R per optimizer step.

        Args:
            level: L(0), the risk before probing.
            horizon: length T of the run in optimizer steps, None if unknown.

        Raises:
            ValueError: no price and no money given, and no horizon or no risk to derive one from.
        """
        if self.price is not None:
            return self.price
        if self.price_per_hour is not None:
            assert self.seconds_per_step is not None
            assert self.value is not None
            return level * self.price_per_hour / 3600.0 * self.seconds_per_step / self.value
        return level / _known(horizon)

    def charge(self, level: float, horizon: float | None) -> Charge:
        """Charge (squared units of R) by depth; see `step_price` for the arguments.

        Raises:
            ValueError: as `step_price`; a cost function that does not rise over the run.
        """
        if self.cost is None:
            step = self.step_price(level, horizon)
            return lambda depth: step * depth
        cost, gamma = self.cost, self.price
        if gamma is None:
            first, last = float(cost(0.0)), float(cost(_known(horizon)))
            if not last > first:
                raise ValueError(
                    f"the cost does not rise from depth 0 ({first:g}) to the end ({last:g})"
                )
            gamma = level / (last - first)
        return lambda depth: gamma * float(cost(depth))


def _known(horizon: float | None) -> float:
    if horizon is None:
        raise ValueError(
            "the length of the run is not known: give a price, or fit with horizon= or "
            "learning_rates="
        )
    return horizon
