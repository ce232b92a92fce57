"""How much compute one method needs for the regret that another has: read off two curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def compute_for(regret: float, spent: np.ndarray, regrets: np.ndarray) -> float:
    """Least compute at which a method's regret is as low; linear between its budgets.

    Args:
        regret: what is to be reached.
        spent: (n_budgets,) compute the method used, increasing.
        regrets: (n_budgets,) its regret there.

    Returns:
        The compute; the least one measured where that is enough already, infinity where none is.
    """
    if regrets[0] <= regret:
        return float(spent[0])
    for i in range(1, len(regrets)):
        if regrets[i] <= regret:
            part = (regrets[i - 1] - regret) / (regrets[i - 1] - regrets[i])
            return float(spent[i - 1] + part * (spent[i] - spent[i - 1]))
    return float("inf")


def drawn_ratios(
    ours: Sequence[tuple[np.ndarray, np.ndarray]],
    theirs: Sequence[tuple[np.ndarray, np.ndarray]],
    at: int,
    repeats: int,
) -> np.ndarray:
    """(repeats,) our compute for their regret against theirs, sources and pools resampled.

    Args:
        ours: for each source (spent, regret), both (n_pools, n_budgets).
        theirs: likewise, of the same pools.
        at: index of the budget whose regret is to be reached.
        repeats: draws.
    """
    rng = np.random.default_rng(0)
    ratios = np.empty(repeats)
    for r in range(repeats):
        picked = [
            (j, rng.integers(len(ours[j][0]), size=len(ours[j][0])))
            for j in rng.integers(len(ours), size=len(ours)).tolist()
        ]
        spent, regret = (
            np.mean([ours[j][k][pools].mean(axis=0) for j, pools in picked], axis=0)
            for k in range(2)
        )
        their_spent, their_regret = (
            float(np.mean([theirs[j][k][pools, at].mean() for j, pools in picked]))
            for k in range(2)
        )
        ratios[r] = compute_for(their_regret, spent, regret) / their_spent
    return ratios
