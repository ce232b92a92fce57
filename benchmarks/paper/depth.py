"""Budget-optimal depth: what stopping to probe at the estimated c* costs, against fixed depths.

The truth is the risk replayed with all seeds of a task, straight between the depths that were
evaluated, from the variance of the ends at depth 0. A whole run's steps are worth `PRICES` times
the risk before probing: gamma lambda T = price * L(0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.paper.risks import Replay, mean_errors, regression_errors
from hf_ftrisk.risk import RiskDecomposition, fit_risk_curve
from hf_ftrisk.risk.estimators import effective_count
from hf_ftrisk.text import percent

PRICES = (0.1, 0.3, 1.0, 3.0)
FIXED = (0.0, 0.01, 0.05, 0.1, 0.2, 0.5)
KNOWN = (3, 7)
PROBES = 3
PROBED_TO = 0.3
DRAWS = 5


@dataclass(frozen=True, eq=False)
class Truth:
    """L(c) of a task from all its seeds.

    Args:
        depths: (n,) steps, 0 first.
        risks: (n,) never rising.
        horizon: planned steps.
    """

    depths: np.ndarray
    risks: np.ndarray
    horizon: float

    def cost(self, depth: np.ndarray | float, price: float) -> np.ndarray:
        """L(c) + gamma C(c) in units of L(0)."""
        risk = np.interp(depth, self.depths, self.risks) / self.risks[0]
        return np.asarray(risk + price * np.asarray(depth) / self.horizon)

    def regret(self, depth: float, price: float) -> float:
        """Cost above the best depth's, units of L(0)."""
        best = float(self.cost(np.linspace(0.0, self.horizon, 401), price).min())
        return float(self.cost(depth, price)) - best


def truth(replay: Replay) -> Truth:
    """The best predictor's risk, as far as it falls."""
    start = float((mean_errors(replay.task.ends) ** 2).mean())
    risks = np.minimum.accumulate([start, *replay.risk(replay.best)])
    depths = np.concatenate([[0.0], replay.depths])
    return Truth(depths, risks, float(replay.task.horizon))


def regrets(replay: Replay, rng: np.random.Generator) -> Mapping[str, np.ndarray]:
    """Rule -> (n_prices,) mean regret on this task."""
    true = truth(replay)
    by_rule = {
        f"always {percent(share)}": np.array([true.regret(share * true.horizon, p) for p in PRICES])
        for share in FIXED
    }
    probed = [_from_probes(replay, rng) for _ in range(DRAWS)]
    by_rule[f"c* from {PROBES} probes to {percent(PROBED_TO)}"] = _mean_regret(true, probed)
    for spread in (False, True):
        more = ", with their spread" if spread else ""
        for count in KNOWN:
            fits = [_from_runs(replay, rng, count, spread) for _ in range(DRAWS)]
            by_rule[f"c* from {count} known runs{more}"] = _mean_regret(true, fits)
        errors = replay.errors[replay.best]
        whole = _fit(replay, replay.depths, errors**2, replay.task.ends if spread else None)
        by_rule[f"c* from all seeds{more}"] = _mean_regret(true, [whole])
    return by_rule


def is_probed_early(replay: Replay) -> bool:
    """Whether a task was evaluated early enough for a choice of depth."""
    return bool(replay.depths[0] <= PROBED_TO * replay.task.horizon)


def _mean_regret(true: Truth, fits: Sequence[RiskDecomposition]) -> np.ndarray:
    rows = []
    for fit in fits:
        # The rule knows the price of a step in the units of R, as the truth does.
        step = [p * true.risks[0] / true.horizon for p in PRICES]
        depths = [fit.optimal_depth(price=max(s, 1e-300)) for s in step]
        rows.append(
            [true.regret(min(c, true.horizon), p) for c, p in zip(depths, PRICES, strict=True)]
        )
    return np.asarray(np.mean(rows, axis=0))


def _from_runs(
    replay: Replay, rng: np.random.Generator, count: int, spread: bool
) -> RiskDecomposition:
    """From a few completed runs, replayed by the regression."""
    ends = replay.task.ends
    drawn = rng.choice(ends.size, count, replace=False)
    squares = regression_errors(replay.features[drawn], ends[drawn]) ** 2
    return _fit(replay, replay.depths, squares, ends[drawn] if spread else None)


def _from_probes(replay: Replay, rng: np.random.Generator) -> RiskDecomposition:
    """From the forecasts of a few probes: no completed run of the task is known."""
    reached = replay.depths <= PROBED_TO * replay.task.horizon + 1e-9
    drawn = rng.choice(len(replay.task.runs), PROBES, replace=False)
    return _fit(replay, replay.depths[reached], replay.spread[drawn][:, reached] ** 2)


def _fit(
    replay: Replay, depths: np.ndarray, squares: np.ndarray, ends: np.ndarray | None = None
) -> RiskDecomposition:
    """Risk curve; with ends of known runs, their spread is the risk at the first step."""
    if ends is not None:
        depths = np.concatenate([[1.0], depths])
        squares = np.column_stack([mean_errors(ends) ** 2, squares])
    counts = [effective_count(column) for column in squares.T]
    risks = np.maximum(squares.mean(axis=0), 1e-14)
    return fit_risk_curve(
        depths, risks, counts=counts, learning_rates=replay.task.rates, same_runs=True
    )
