"""How deep it pays to probe: minimize L(c) + gamma C(c) over the depth c.

arXiv 2606.17649, Theorem 6.1: probing stops where |V_opt'(c)| = gamma C'(c). L_int drops out.
For a linear cost C(c) = C_s + lambda c only the product gamma lambda matters, here called the
`price`: the risk one optimizer step has to remove to be worth its compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hf_ftrisk.risk.decay import Floats, TailEnergy

Charge = Callable[[float], float]

_COARSE = 129
_MAX_OPEN = 20_000  # intervals of one curve
_MAX_OPEN_EACH = 1_000_000  # intervals of many cheap curves together


def power_law_optimum(
    k: Floats | float, alpha: Floats | float, price: float, horizon: float | None = None
) -> Floats:
    """c* = (alpha K / price)^(1 / (alpha + 1)), clipped to [0, T] (Theorem 6.1).

    The finite-horizon form differs by a constant and has the same optimum.

    Args:
        k: (n,) K, squared units of R.
        alpha: (n,) exponent.
        price: gamma lambda, squared units of R per step.
        horizon: T in optimizer steps; None: no upper end.
    """
    exponent = np.asarray(alpha, dtype=np.float64)
    best = (exponent * np.asarray(k) / price) ** (1.0 / (exponent + 1.0))
    return np.asarray(np.clip(best, 0.0, math.inf if horizon is None else horizon))


def tail_energy_optimum(k: Floats | float, energy: TailEnergy, price: float) -> Floats:
    """Depth that minimizes K S(c)/S(0) + price c, for any schedule.

    Where the learning rate never rises this is the first step with eta_c^2 <= price S(0) / K: see
    `stopping_learning_rate`. With warm-up the lower convex hull of S decides whether getting
    through the start is worth it.

    Args:
        k: (n,) K, squared units of R.
        energy: tail energy of the schedule.
        price: gamma lambda, squared units of R per step.
    """
    corners, falls = energy.hull
    scaled = price / np.maximum(np.asarray(k, dtype=np.float64), 1e-300)
    return np.asarray(corners[np.searchsorted(-falls, -scaled, side="left")])


def tail_power_optimum(k: Floats, b: Floats, energy: TailEnergy, price: float) -> Floats:
    """Depths (n,) that minimize K (S(c)/S(0))^b + price c, for K and b of shape (n,).

    In closed form for b = 1; for the others the best whole step, by `minimize_each`.
    """
    best = np.empty(k.shape)
    plain = b == 1.0
    best[plain] = tail_energy_optimum(k[plain], energy, price)
    if not plain.all():
        scale, power = k[~plain], b[~plain]
        best[~plain] = minimize_each(
            lambda curve, depth: scale[curve] * energy.at(depth) ** power[curve],
            lambda depth: price * depth,
            np.linspace(0.0, energy.horizon, _COARSE),
            scale.size,
        )
    return best


def stopping_learning_rate(k: float, energy: TailEnergy, price: float) -> float:
    """Learning rate at which probing stops under the tail energy: sqrt(price S(0) / K).

    While the rate is above it, the risk the next step removes, K eta_c^2 / S(0), exceeds the
    price. Infinite when there is nothing to remove.
    """
    return math.sqrt(price * energy.total / k) if k > 0 else math.inf


def candidate_depths(anchor: float, limit: float, n: int = _COARSE) -> Floats:
    """Depths from 0 to `limit` at which curves are compared first: even, and geometric."""
    even = np.linspace(0.0, limit, n)
    return np.unique(np.concatenate([even, np.geomspace(min(anchor, limit) / 64.0, limit, n)]))


def minimize(risk: Callable[[Floats], Floats], charge: Charge, start: Floats) -> float:
    """Whole step that minimizes risk(c) + charge(c).

    Args:
        risk: (n,) depths -> (n,) risks, non-increasing.
        charge: depth -> charge in the units of the risk, non-decreasing.
        start: (n,) increasing depths that span the search; its end is tried even if not whole.

    Raises:
        ValueError: a charge that is not finite or that falls.
    """
    depths_found = minimize_each(
        lambda _, depth: risk(depth), CheckedCharge(charge), start, 1, max_open=_MAX_OPEN
    )
    return float(depths_found[0])


class CheckedCharge:
    """Charges (n,) at depths (n,) from a user's function, each depth asked once.

    Raises:
        ValueError: on a call, a charge that is not finite or one that falls with depth.
    """

    def __init__(self, charge: Charge) -> None:
        self._charge = charge
        self._depths: Floats = np.empty(0)
        self._values: Floats = np.empty(0)

    def __call__(self, depths: Floats) -> Floats:
        """Charges (n,) at depths (n,) in any order."""
        new = np.setdiff1d(depths, self._depths)
        if new.size:
            all_depths = np.concatenate([self._depths, new])
            values = np.array([float(self._charge(float(depth))) for depth in new])
            order = np.argsort(all_depths)
            self._depths = all_depths[order]
            self._values = np.concatenate([self._values, values])[order]
            self._check()
        return np.asarray(self._values[np.searchsorted(self._depths, depths)])

    def _check(self) -> None:
        depths, values = self._depths, self._values
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise ValueError(
                f"the cost at depth {depths[bad[0]]:g} is {values[bad[0]]}, expected a finite "
                "number"
            )
        falls = np.flatnonzero(np.diff(values) < 0)
        if falls.size:
            i = int(falls[0])
            raise ValueError(
                f"the cost must not fall with depth: {values[i]:g} at {depths[i]:g} steps "
                f"but {values[i + 1]:g} at {depths[i + 1]:g}"
            )


def minimize_each(
    risk: Callable[[np.ndarray, Floats], Floats],
    charge: Callable[[Floats], Floats],
    start: Floats,
    n_curves: int,
    max_open: int = _MAX_OPEN_EACH,
) -> Floats:
    """Whole step that minimizes risk + charge, for each of several curves.

    Branch and bound. The risk falls and the charge rises, so on [a, b] their sum is at least
    risk(b) + charge(a): intervals that cannot hold the minimum by that bound are dropped, the
    others split, down to single steps. Jumps and several local minima are found too.

    Args:
        risk: (curve numbers (m,), depths (m,)) -> risks (m,), non-increasing in the depth.
        charge: depths (m,) -> charges (m,), non-decreasing.
        start: (n,) increasing depths that span the search; its end is tried even if not whole.
        n_curves: number of curves.
        max_open: intervals above which the search ends early. So many only stay open where the
            sum is flat: the risk falls as the charge rises, over most of the run.
    """
    end = start[-1]
    grid = np.unique(np.append(np.floor(start), end))
    curve = np.repeat(np.arange(n_curves), grid.size)
    risks = risk(curve, np.tile(grid, n_curves)).reshape(n_curves, grid.size)
    charged = charge(grid)
    total = risks + charged
    at = total.argmin(axis=1)
    best, lowest = grid[at], total[np.arange(n_curves), at]
    # Intervals (m,): their curve, ends, risk at the far end and charge at the near one.
    curve = np.repeat(np.arange(n_curves), grid.size - 1)
    low, high = np.tile(grid[:-1], n_curves), np.tile(grid[1:], n_curves)
    low_charge, high_risk = np.tile(charged[:-1], n_curves), risks[:, 1:].ravel()
    while True:
        open_ = (high_risk + low_charge < lowest[curve]) & (high - low > 1.0)
        if not open_.any() or open_.sum() > max_open:
            return np.asarray(best)
        curve, low, high = curve[open_], low[open_], high[open_]
        low_charge, high_risk = low_charge[open_], high_risk[open_]
        middle = np.floor((low + high) / 2.0)
        middle = np.where(middle > low, middle, low + 1.0)
        new_risk, new_charge = risk(curve, middle), charge(middle)
        objective = new_risk + new_charge
        order = np.lexsort((objective, curve))
        first = order[np.unique(curve[order], return_index=True)[1]]
        better = first[objective[first] < lowest[curve[first]]]
        best[curve[better]], lowest[curve[better]] = middle[better], objective[better]
        curve = np.concatenate([curve, curve])
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        low_charge = np.concatenate([low_charge, new_charge])
        high_risk = np.concatenate([new_risk, high_risk])


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
        names = [name for name, number in money.items() if number is not None]
        if names and len(names) < len(money):
            raise ValueError(f"a price from money needs all three of {money}")
        if names and (self.price is not None or self.cost is not None):
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
