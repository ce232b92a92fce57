"""How deep it pays to probe: minimise L(c) + gamma C(c) over the depth c.

arXiv 2606.17649, Theorem 6.1: probing stops where |V_opt'(c)| = gamma C'(c). L_int drops out.
For a linear cost C(c) = C_s + lambda c only the product gamma lambda matters, here called the
`price`: the risk one optimiser step has to remove to be worth its compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from hf_ftrisk.risk.decay import Decay, Floats, Form, TailEnergy

Cost = Callable[[float], float]

_COARSE = 129
_SPLIT = 4
_MOST_INTERVALS = 20_000


def check_positive(name: str, value: float, unit: str) -> float:
    """The value as a float; ValueError unless it is a finite number above zero."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number above 0 ({unit}), got {value!r}")
    return float(value)


def price_from_money(
    level: float, price_per_hour: float, seconds_per_step: float, value: float
) -> float:
    """Price of one optimiser step (gamma lambda) from money.

    Removing the whole risk `level` is taken to be worth `value`; a step costs its time.

    Args:
        level: risk before probing, squared units of R.
        price_per_hour: price of the machine per hour.
        seconds_per_step: measured time of one optimiser step.
        value: what avoiding one wasted run is worth, in the same currency.

    Returns:
        Squared units of R per optimiser step.
    """
    money = check_positive("price_per_hour", price_per_hour, "money per hour") / 3600.0
    money *= check_positive("seconds_per_step", seconds_per_step, "seconds")
    return level * money / check_positive("value", value, "money")


def power_law_optimum(
    k: Floats | float, alpha: Floats | float, price: float, horizon: float | None = None
) -> Floats:
    """c* = (alpha K / price)^(1 / (alpha + 1)), clipped to [0, T] (Theorem 6.1).

    The finite-horizon form differs by a constant and has the same optimum.
    """
    best = (np.asarray(alpha) * np.asarray(k) / price) ** (1.0 / (np.asarray(alpha) + 1.0))
    return np.asarray(np.clip(best, 0.0, math.inf if horizon is None else horizon))


def tail_energy_optimum(k: Floats | float, energy: TailEnergy, price: float) -> Floats:
    """Depth that minimises K S(c)/S(0) + price c, for any schedule.

    Where the learning rate never rises this is the first step whose eta_c^2 is at most
    price S(0) / K. With warm-up the convex hull of S decides whether the start is worth it at all.
    """
    corners, falls = energy.hull
    scaled = price / np.maximum(np.asarray(k, dtype=np.float64), 1e-300)
    return np.asarray(corners[np.searchsorted(-falls, -scaled, side="left")])


def stopping_learning_rate(k: float, energy: TailEnergy, price: float) -> float:
    """Learning rate at which probing stops under the tail energy: sqrt(price S(0) / K).

    Probing pays while the learning rate is above it: eta_c^2 K / S(0) is the risk the next step
    removes. Infinite when there is nothing to remove.
    """
    return math.sqrt(price * energy.total / k) if k > 0 else math.inf


def draw_optima(
    form: Form, decay: Decay, amplitude: Floats, exponent: Floats, price: float
) -> Floats:
    """Optimum (n,) of each draw's own curve under a linear cost: closed forms where they exist."""
    k = amplitude / decay.unit(form, exponent)
    if form in ("power", "horizon"):
        return power_law_optimum(k, exponent, price, decay.horizon)
    assert decay.energy is not None
    if form == "tail":
        return tail_energy_optimum(k, decay.energy, price)
    return grid_optima(form, decay, amplitude, exponent, lambda depth: price * depth)


def candidate_depths(decay: Decay, limit: float, n: int = _COARSE) -> Floats:
    """Depths from 0 to `limit`, even and geometric, at which curves are compared."""
    even = np.linspace(0.0, limit, n)
    start = min(decay.anchor, limit) / 64.0
    return np.unique(np.concatenate([even, np.geomspace(start, limit, n)]))


def grid_optima(
    form: Form, decay: Decay, amplitude: Floats, exponent: Floats, charge: Cost
) -> Floats:
    """Optimum (n,) of each draw's own curve for any charge (risk per depth), on a grid."""
    assert decay.horizon is not None
    depths = candidate_depths(decay, decay.horizon)
    charges = np.array([charge(float(depth)) for depth in depths])
    curve = decay.shape(form, depths, exponent[:, None]) * amplitude[:, None]
    return np.asarray(depths[np.argmin(curve + charges, axis=1)])


def minimise(
    risk: Callable[[Floats], Floats], charge: Cost, start: Sequence[float] | Floats
) -> float:
    """Depth that minimises risk(c) + charge(c), to one optimiser step.

    The risk falls and the charge rises, so on [a, b] the sum is at least risk(b) + charge(a):
    intervals that cannot hold the minimum are dropped, the others split. No assumption on
    convexity is made; jumps are allowed.

    Args:
        risk: (n,) depths -> (n,) risks, non-increasing.
        charge: depth -> charge in the units of the risk, non-decreasing.
        start: (n,) increasing depths that span the search.

    Raises:
        ValueError: a charge that is not finite or that falls.
    """
    depths = np.asarray(start, dtype=np.float64)
    risks, charges = risk(depths), _charges(charge, depths)
    while True:
        total = risks + charges
        best = int(np.argmin(total))
        bound = risks[1:] + charges[:-1]
        open_ = np.flatnonzero((bound < total[best]) & (np.diff(depths) > 1.0))
        if open_.size == 0 or depths.size > _MOST_INTERVALS:
            return float(depths[best])
        inner = np.linspace(depths[open_], depths[open_ + 1], _SPLIT + 1)[1:-1].ravel()
        # Only what borders an open interval is needed again, besides the best depth so far.
        kept = np.unique(np.concatenate([open_, open_ + 1, [best]]))
        new_risks, new_charges = risk(inner), _charges(charge, inner)
        depths = np.concatenate([depths[kept], inner])
        order = np.argsort(depths)
        depths = depths[order]
        risks = np.concatenate([risks[kept], new_risks])[order]
        charges = np.concatenate([charges[kept], new_charges])[order]


def _charges(charge: Cost, depths: Floats) -> Floats:
    values = np.array([float(charge(float(depth))) for depth in depths])
    if not np.all(np.isfinite(values)):
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"the cost at depth {depths[bad]:g} is {values[bad]}, expected a number")
    order = np.argsort(depths)
    falls = np.flatnonzero(np.diff(values[order]) < 0)
    if falls.size:
        a, b = order[falls[0]], order[falls[0] + 1]
        raise ValueError(
            f"the cost must not fall with depth: {values[a]:g} at {depths[a]:g} "
            f"but {values[b]:g} at {depths[b]:g}"
        )
    return values
