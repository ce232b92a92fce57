"""The empirical phase diagram: L_int and the decay of every task, and how many seeds name it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.paper.risks import REGRESSION, Replay, fit_of, regression_errors
from hf_ftrisk.risk import Regime, RiskDecomposition
from hf_ftrisk.risk.decay import ALPHA_FORMS

RESAMPLES = 60
SUBSETS = 30
SEED_COUNTS = (3, 5, 8, 12, 20, 30)


@dataclass(frozen=True, eq=False)
class Place:
    """Where a task lies.

    Args:
        fit: decomposition of the best predictor's risk over all seeds.
        intrinsic: 5 %, 50 % and 95 % quantile of the root of L_int over resampled seeds.
        alpha: the same of the median exponent of the power laws.
        reducible: the same of the share of the first depth's risk that depth removes.
        agree: share of the resamples that name the same regime.
    """

    fit: RiskDecomposition
    intrinsic: np.ndarray
    alpha: np.ndarray
    reducible: np.ndarray
    agree: float


def alpha_of(fit: RiskDecomposition) -> float:
    """Median exponent of the power laws, identified or not; NaN where they carry no weight."""
    mine = np.isin(np.array(fit.draws.forms)[fit.draws.form], ALPHA_FORMS)
    return float(np.median(fit.draws.exponent[mine])) if mine.any() else float("nan")


def place(replay: Replay, rng: np.random.Generator) -> Place:
    """Fit, and bootstrap over seeds: the runs' squared errors are drawn anew, not forecast anew."""
    squares = replay.errors[replay.best] ** 2
    whole = fit_of(replay.task, replay.depths, squares)
    n = squares.shape[0]
    rows = []
    for _ in range(RESAMPLES):
        resampled = squares[rng.integers(0, n, n)]
        if not resampled.any():
            continue
        fit = fit_of(replay.task, replay.depths, resampled)
        share = 1.0 - fit.intrinsic / fit.level if fit.level > 0 else 0.0
        rows.append((np.sqrt(fit.intrinsic), alpha_of(fit), share, fit.regime == whole.regime))
    table = np.array(rows, float)
    ends = [_quantiles(table[:, k]) for k in range(3)]
    return Place(whole, ends[0], ends[1], ends[2], float(table[:, 3].mean()))


def _quantiles(values: np.ndarray) -> np.ndarray:
    """5 %, 50 % and 95 % of the finite values; NaN where half of them are not."""
    finite = values[np.isfinite(values)]
    if 2 * finite.size < values.size:
        return np.full(3, np.nan)
    return np.asarray(np.quantile(finite, (0.05, 0.5, 0.95)))


@dataclass(frozen=True)
class Naming:
    """How far some number of seeds goes.

    Args:
        seeds: number of them.
        named: share of subsets in which a regime reaches its probability.
        right: of these, the share that names what all seeds name.
    """

    seeds: int
    named: float
    right: float


def naming(replay: Replay, rng: np.random.Generator, *, alone: bool) -> tuple[Regime, list[Naming]]:
    """The regime that all seeds name, and what subsets of the seeds say.

    Args:
        replay: the task.
        rng: draws the subsets.
        alone: whether the subset is all that is known, so that its runs are forecast by the
            regression on each other; else the best predictor is given, and the subset only
            measures its errors.
    """
    task, ends = replay.task, replay.task.ends
    predictor = REGRESSION if alone else replay.best
    whole = fit_of(task, replay.depths, replay.errors[predictor] ** 2).regime
    namings = []
    for count in _counts(ends.size):
        regimes: list[Regime] = []
        for _ in range(SUBSETS):
            subset = rng.choice(ends.size, count, replace=False)
            if np.ptp(ends[subset]) < 1e-12:
                continue
            errors = replay.errors[predictor][subset]
            if alone:
                errors = regression_errors(replay.features[subset], ends[subset])
            regimes.append(fit_of(task, replay.depths, errors**2).regime)
        named = [regime for regime in regimes if regime != "unidentified"]
        right = float(np.mean([r == whole for r in named])) if named else float("nan")
        namings.append(Naming(count, len(named) / max(len(regimes), 1), right))
    return whole, namings


def _counts(n: int) -> Sequence[int]:
    return [count for count in SEED_COUNTS if count < n]
