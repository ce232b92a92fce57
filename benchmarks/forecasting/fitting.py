"""What the package learns from completed runs, one family of metrics at a time.

1. *Rows*: at most `MAX_RUNS` runs of a source, two metrics of a run, half of the depths, drawn
   once. Sources weigh alike, within one runs, within one depths; scores by the root of what a unit
   of z is worth at their level.
2. *Size*: weighted ridge of the log of the absolute change on `change_model.size_terms`.
3. *Forest*: `growing.grow` on the change in units of the size.
4. *Shares and calibration*: on each row's forecast from the trees that do not know its source,
   sources weighing alike, with the (n + 1) correction.
5. *Reach*: extremes of the change from each depth on.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import sparse

from benchmarks.forecasting.conformity import nonconformity
from benchmarks.forecasting.examples import Examples
from benchmarks.forecasting.growing import Grown, grow
from hf_ftrisk.forecast.change_model import (
    ENDINGS,
    ChangeModel,
    Ending,
    Outcomes,
    Size,
    columns,
    combined,
    shares_at,
    size_terms,
    spread,
)
from hf_ftrisk.forecast.conformal import DEPTHS, LEVELS, DepthCalibration, conformal_quantile
from hf_ftrisk.forecast.forest import Forest
from hf_ftrisk.forecast.network import load_networks, network_draws

MAX_RUNS, MAX_METRICS, SHARE_OF_DEPTHS = 25, 2, 0.5
SIZE_RIDGE = 0.02
MAX_CHANGE = 6.0
DRAWS = 200
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
FACTOR_RANGE = (0.4, 8.0)
MIN_PUBLIC = 12  # sources of public runs that calibrate by themselves
# Rows that calibrate a depth: those at most this far from it.
NEAR = {0.0: 0.06, 0.1: 0.055, 0.2: 0.055, 0.3: 0.105, 0.5: 0.105, 0.7: 0.105, 0.9: 0.105}
MIN_SLOPE = 0.02


@dataclass(frozen=True)
class Choices:
    """What is compared in docs/evidence/forecasting.md; the defaults are what is packaged."""

    trees: int = 100
    min_leaf: int = 10
    columns: float = 0.4
    share: float = 0.6
    sized: bool = True
    seed: int = 0


PACKAGED = Choices()
# Fewer trees where few runs are forecast: the packaged file stays below 3 MB.
SMALL = Choices(trees=50)


def sampled(rows: Examples, seed: int = 0) -> Examples:
    """The rows a model is grown on: no source more than `MAX_RUNS` runs."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    runs: dict[str, set[str]] = {}
    metrics: dict[tuple[str, str], set[str]] = {}
    kept = np.zeros(len(rows), dtype=bool)
    for i in order.tolist():
        source, run, metric = str(rows.source[i]), str(rows.run[i]), str(rows.metric[i])
        of_source = runs.setdefault(source, set())
        if run not in of_source and len(of_source) >= MAX_RUNS:
            continue
        of_source.add(run)
        of_run = metrics.setdefault((source, run), set())
        if metric not in of_run and len(of_run) >= MAX_METRICS:
            continue
        of_run.add(metric)
        kept[i] = True
    return rows.where(kept & (rng.random(len(rows)) < SHARE_OF_DEPTHS))


def weights_of(rows: Examples) -> np.ndarray:
    """Weight (n,) of each row: sources alike, within one runs alike, mean 1."""
    _, source = np.unique(rows.source, return_inverse=True)
    _, run = np.unique(np.char.add(rows.source, rows.run), return_inverse=True)
    rows_of_run = np.bincount(run)
    first = np.unique(run, return_index=True)[1]
    runs_of_source = np.bincount(source[first])
    weight = 1.0 / (runs_of_source[source] * rows_of_run[run])
    return np.asarray(weight / weight.mean())


def worth(rows: Examples) -> np.ndarray:
    """What a unit of z is worth (n,): 1 for losses, up to 1 for scores (the slope over 1/4)."""
    return np.where(rows.family == "score", 4.0 * np.maximum(rows.slope, MIN_SLOPE), 1.0)


def fit_size(rows: Examples, weight: np.ndarray) -> Size:
    """Ridge of the log of the absolute change."""
    terms = size_terms(rows.features)
    mean, sd = terms.mean(axis=0), terms.std(axis=0) + 1e-6
    x = (terms - mean) / sd
    y = np.log(np.abs(rows.end - rows.last) + 0.01)
    middle = float(np.average(y, weights=weight))
    gram = x.T @ (weight[:, None] * x) + SIZE_RIDGE * len(rows) * np.eye(x.shape[1])
    return Size(mean, sd, np.linalg.solve(gram, x.T @ (weight * (y - middle))), middle)


def still_to_come(rows: Examples, ending: Ending) -> np.ndarray:
    """Change of z (n,) that a model forecasts."""
    if ending == "best":
        return np.asarray(np.maximum(rows.best_end - rows.best, 0.0))
    return np.asarray(rows.end - rows.last)


def fit_change_model(all_rows: Examples, choices: Choices = PACKAGED) -> ChangeModel:
    """Model of one family of metrics from the rows of its runs."""
    rows = sampled(all_rows, choices.seed)
    weight = weights_of(rows)
    size = fit_size(rows, weight)
    if not choices.sized:
        size = Size(size.mean, size.sd, 0.0 * size.weights, 0.0)
    unit = size.of(rows.features)
    change = {
        ending: np.clip(still_to_come(rows, ending) / unit, -MAX_CHANGE, MAX_CHANGE)
        for ending in ENDINGS
    }
    grown = grown_on(rows, columns(rows.features, unit), change["end"], choices)
    unseen = weights_of_unseen(grown, rows.source)
    outcomes = {
        ending: _outcomes(all_rows, rows, change[ending], unit, unseen, ending)
        for ending in ENDINGS
    }
    runs = np.unique(np.char.add(all_rows.source, all_rows.run)).size
    return ChangeModel(size, grown.forest, outcomes, int(np.unique(rows.source).size), int(runs))


def grown_on(rows: Examples, x: np.ndarray, change: np.ndarray, choices: Choices) -> Grown:
    """Forest of rows by what it is asked with (n, n_columns) and the change (n,) that came."""
    return grow(
        x,
        change,
        weights_of(rows) * np.sqrt(worth(rows)),
        rows.source,
        trees=choices.trees,
        min_leaf=choices.min_leaf,
        columns=choices.columns,
        share=choices.share,
    )


def leaf_shares(forest: Forest) -> sparse.csr_matrix:
    """Share of each known case in each leaf, (n_leaves, n_cases)."""
    n_leaves, n = forest.starts.size - 1, forest.case_weight.size
    leaf = np.repeat(np.arange(n_leaves), np.diff(forest.starts))
    weight = forest.case_weight[forest.members]
    total = np.bincount(leaf, weight, minlength=n_leaves)
    members = forest.members.astype(int)
    return sparse.csr_matrix((weight / total[leaf], (leaf, members)), shape=(n_leaves, n))


def weights_of_unseen(grown: Grown, source: np.ndarray) -> sparse.csr_matrix:
    """Weights (n, n) of the cases of other sources for each case.

    From the trees that do not know its source (n,); what its own source left in their leaves does
    not count.
    """
    in_leaf = leaf_shares(grown.forest)
    n_leaves, n = in_leaf.shape
    tree, case = np.nonzero(~grown.knows)
    share = 1.0 / np.maximum((~grown.knows).sum(axis=0), 1)
    asked = sparse.csr_matrix((share[case], (case, grown.leaf[tree, case])), shape=(n, n_leaves))
    weights = asked @ in_leaf
    # Names are compared once, not for each of some ten million pairs.
    name = np.unique(source, return_inverse=True)[1].astype(np.int32)
    row = np.repeat(np.arange(n, dtype=np.int32), np.diff(weights.indptr))
    other = name[row] != name[weights.indices]
    row, weight = row[other], weights.data[other]
    total = np.bincount(row, weight, minlength=n)
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n))])
    others = (weight / total[row], weights.indices[other], starts)
    unseen = sparse.csr_matrix(others, shape=(n, n))
    unseen.sort_indices()
    return unseen


def _outcomes(
    all_rows: Examples,
    rows: Examples,
    change: np.ndarray,
    unit: np.ndarray,
    unseen: sparse.csr_matrix,
    ending: Ending,
) -> Outcomes:
    asked, draws = draws_unseen(unseen, change)
    draws *= unit[asked][:, None]
    known = rows.where(asked)
    truth = still_to_come(known, ending)
    simulated = network_draws(load_networks(), known.curve, ENDINGS.index(ending), DRAWS)
    shares = shares_of(known, np.median(draws, axis=1), np.median(simulated, axis=1), truth)
    draws = combined(draws, simulated, shares_at(shares, known.progress))
    everything, depth = still_to_come(all_rows, ending), all_rows.progress
    reach = [(everything[depth >= d].min(), everything[depth >= d].max()) for d in DEPTHS]
    return Outcomes(change, shares, _calibration(known, draws, truth), np.array(reach))


def draws_unseen(unseen: sparse.csr_matrix, change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cases that some tree did not know, (m,), and the draws (m, n_draws) that those give them."""
    asked = np.flatnonzero(np.diff(unseen.indptr) > 0)
    parts = [slice(unseen.indptr[i], unseen.indptr[i + 1]) for i in asked]
    draws = [spread(unseen.data[p], change[unseen.indices[p]], DRAWS) for p in parts]
    return asked, np.array(draws)


def _near(rows: Examples, depth: float) -> np.ndarray:
    return np.asarray(np.abs(rows.depth - depth) <= NEAR[depth])


def shares_of(
    rows: Examples, known: np.ndarray, simulated: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Shares of both medians (n_depths, 2) with the least error, neighboring depths averaged.

    Args:
        rows: rows of sources that the trees did not know.
        known: (n,) median change of the forest.
        simulated: (n,) median change of the networks.
        truth: (n,) change that came.
    """
    weight = weights_of(rows) * worth(rows) * _counts(rows)
    best = []
    for depth in DEPTHS:
        near = _near(rows, depth)
        error = {
            (a, b): weight[near] @ np.minimum(np.abs(a * known + b * simulated - truth)[near], 1.0)
            for a, b in product(SHARES, SHARES)
        }
        best.append(min(error, key=error.__getitem__))
    padded = np.pad(np.array(best), ((1, 1), (0, 0)), mode="edge")
    return np.asarray((padded[:-2] + 2.0 * padded[1:-1] + padded[2:]) / 4.0)


def _counts(rows: Examples) -> np.ndarray:
    """Which rows shares and calibration rest on (n,): others' runs and own ones of real length."""
    return np.asarray(~np.char.startswith(rows.source, "own ") | (rows.table == "recordings"))


def _calibration(rows: Examples, draws: np.ndarray, truth: np.ndarray) -> DepthCalibration:
    """Factors that hold over all sources, and no narrower than public runs by themselves need.

    Those of all hold with the finite-sample correction; public runs, of which there are fewer, ask
    for the plain quantile.
    """
    calibrates, public = _counts(rows), rows.table == "public"
    factors = []
    for depth in DEPTHS:
        near = np.flatnonzero(_near(rows, depth) & calibrates)
        wide = calibrated(rows.where(near), draws[near], truth[near])
        others = near[public[near]]
        if np.unique(rows.source[others]).size >= MIN_PUBLIC:
            alone = calibrated(rows.where(others), draws[others], truth[others], corrected=False)
            wide = tuple(np.maximum(wide, alone).tolist())
        factors.append(wide)
    return DepthCalibration(tuple(factors), int(np.unique(rows.source[calibrates]).size))


def calibrated(
    rows: Examples, draws: np.ndarray, truth: np.ndarray, *, corrected: bool = True
) -> tuple[float, ...]:
    """Factors (n_levels,) that make the intervals of draws (n, n_draws) hold over sources.

    Args:
        rows: n rows.
        draws: their forecasts, ascending.
        truth: (n,) what came.
        corrected: with the finite-sample correction for the number of sources.
    """
    groups = rows.source.tolist()
    n_sources = len(set(groups))
    factors = []
    for level in LEVELS:
        scores = nonconformity(draws, truth, level)
        # Undoes the weight of the unknown source.
        asked = level if corrected else level * n_sources / (n_sources + 1)
        factors.append(float(np.clip(conformal_quantile(scores, asked, groups), *FACTOR_RANGE)))
    return tuple(factors)
