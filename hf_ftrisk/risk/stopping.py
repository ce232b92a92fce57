"""How deep it pays to probe: minimise L(c) + gamma C(c) over the depth c.

arXiv 2606.17649, Theorem 6.1: probing stops where |V_opt'(c)| = gamma C'(c). L_int drops out.
For a linear cost C(c) = C_s + lambda c only the product gamma lambda matters, here called the
`price`: the risk one optimiser step has to remove to be worth its compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hf_ftrisk.risk.decay import Floats, TailEnergy

Charge = Callable[[float], float]

_COARSE = 129
_SPLIT = 4
_MOST_INTERVALS = 20_000


def power_law_optimum(
    k: Floats | float, alpha: Floats | float, price: float, horizon: float | None = None
) -> Floats:
    """c* = (alpha K / price)^(1 / (alpha + 1)), clipped to [0, T] (Theorem 6.1).

    The finite-horizon form differs by a constant and has the same optimum.

    Args:
        k: (n,) K, squared units of R.
        alpha: (n,) exponent.
        price: gamma lambda, squared units of R per step.
        horizon: T in optimiser steps; None: no upper end.
    """
    exponent = np.asarray(alpha, dtype=np.float64)
    best = (exponent * np.asarray(k) / price) ** (1.0 / (exponent + 1.0))
    return np.asarray(np.clip(best, 0.0, math.inf if horizon is None else horizon))


def tail_energy_optimum(k: Floats | float, energy: TailEnergy, price: float) -> Floats:
    """Depth that minimises K S(c)/S(0) + price c, for any schedule.

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
    """Depth that minimises K (S(c)/S(0))^b + price c: exact for b = 1, else on 1,025 depths."""
    best = np.empty(k.shape)
    plain = b == 1.0
    best[plain] = tail_energy_optimum(k[plain], energy, price)
    if not plain.all():
        depths = np.linspace(0.0, energy.horizon, 1025)
        curve = k[~plain, None] * energy.at(depths) ** b[~plain, None]
        best[~plain] = depths[np.argmin(curve + price * depths, axis=1)]
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


def charges(charge: Charge, depths: Floats) -> Floats:
    """Charge (n,) at increasing depths (n,).

    Raises:
        ValueError: a charge that is not finite, or one that falls with depth.
    """
    values = np.array([float(charge(float(depth))) for depth in depths])
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ValueError(
            f"the cost at depth {depths[bad[0]]:g} is {values[bad[0]]}, expected a finite number"
        )
    falls = np.flatnonzero(np.diff(values) < 0)
    if falls.size:
        i = int(falls[0])
        raise ValueError(
            f"the cost must not fall with depth: {values[i]:g} at {depths[i]:g} steps "
            f"but {values[i + 1]:g} at {depths[i + 1]:g}"
        )
    return values


def minimise(risk: Callable[[Floats], Floats], charge: Charge, start: Floats) -> float:
    """Depth that minimises risk(c) + charge(c), to one optimiser step.

    The risk falls and the charge rises, so on [a, b] the sum is at least risk(b) + charge(a).
    Intervals that cannot hold the minimum by that bound are dropped and the others split, so jumps
    and several local minima are found too.

    Args:
        risk: (n,) depths -> (n,) risks, non-increasing.
        charge: depth -> charge in the units of the risk, non-decreasing.
        start: (n,) increasing depths that span the search.

    Raises:
        ValueError: a charge that is not finite or that falls.
    """
    depths, risks, charged = start, risk(start), charges(charge, start)
    while True:
        total = risks + charged
        best = int(np.argmin(total))
        bound = risks[1:] + charged[:-1]
        open_ = np.flatnonzero((bound < total[best]) & (np.diff(depths) > 1.0))
        if open_.size == 0 or open_.size > _MOST_INTERVALS:
            return float(depths[best])
        inner = np.linspace(depths[open_], depths[open_ + 1], _SPLIT + 1)[1:-1].T.ravel()
        # A gap between intervals that were dropped stays dropped: its bound is no better.
        kept = np.unique(np.concatenate([open_, open_ + 1, [best]]))
        order = np.argsort(np.concatenate([depths[kept], inner]), kind="stable")
        risks = np.concatenate([risks[kept], risk(inner)])[order]
        charged = np.concatenate([charged[kept], charges(charge, inner)])[order]
        depths = np.concatenate([depths[kept], inner])[order]
