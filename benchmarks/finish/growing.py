"""Fit the classifier of the gain, and turn it into plain numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.finish.cases import REAL, Case
from benchmarks.finish.looks import COLUMNS, Looks
from benchmarks.finish.rules import MORE
from hf_ftrisk.forecast.forest import LEAF
from hf_ftrisk.forecast.gain.trees import BoostedTrees

# A source weighs the root of its number of cases, and less where runs are short or of one kind.
OTHER_WEIGHT = 0.3
# Of a run's further metrics beside its first of a family: they mostly repeat it.
EXTRA_WEIGHT = 0.3
ROUNDS, DEPTH, RATE, MIN_LEAF, RIDGE, BINS, COLUMNS_SHARE = 120, 3, 0.08, 30, 5.0, 48, 0.4
# Rows at other tolerances, or with fewer evaluations, that are kept; they repeat what others say.
KEPT_COPIES = 0.3
# Looks of a run that are kept on average: those of one run lie close together.
KEPT_LOOKS = 15
RISING = ("gain_1", "gain_2", "gain_3", "gain_5", "gain_10", "gain_from_quarter", "gain_from_half",
          "gain_from_two_thirds", "gain_from_80", "gain_from_90", "gain_mirrored", "doubling",
          "slope_to_come", "line_end", "evaluations_left", "headroom", "noise_to_come")  # fmt: skip
FALLING = ("since_best", "since_best_of_run", "stale", "progress")


def weights(cases: Sequence[Case], looks: Looks) -> np.ndarray:
    """Weight of each row (n_rows,): sources by the root of their runs, runs and looks alike."""
    parts = np.array([f"{case.table} {case.source}" for case in cases])
    per_case = np.zeros(len(cases))
    for part in np.unique(parts):
        own = parts == part
        table = cases[int(np.flatnonzero(own)[0])].table
        per_case[own] = (1.0 if table in REAL else OTHER_WEIGHT) * own.sum() ** -0.5
    per_case[[case.extra for case in cases]] *= EXTRA_WEIGHT
    weight = np.zeros(looks.case.size)
    for part in (looks.plain, ~looks.plain):
        rows = np.bincount(looks.case[part], minlength=len(cases))
        weight[part] = per_case[looks.case[part]] / rows[looks.case[part]]
    return weight


def grow(looks: Looks, weight: np.ndarray, fitted: np.ndarray, seed: int = 0) -> BoostedTrees:
    """Trees fitted to a draw of the rows of a mask (n_rows,)."""
    rng = np.random.default_rng(1 + seed)
    per_case = np.bincount(looks.case[looks.plain], minlength=looks.case.max() + 1)[looks.case]
    share = np.minimum(KEPT_LOOKS / np.maximum(per_case, 1), 1.0)
    share = np.where(looks.plain, share, KEPT_COPIES * share)
    sampled = fitted & (rng.random(fitted.size) < share)
    rows = np.flatnonzero(sampled)
    weight = weight / share
    signs = [1 if name in RISING else -1 if name in FALLING else 0 for name in COLUMNS]
    model = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        max_depth=DEPTH,
        learning_rate=RATE,
        min_samples_leaf=MIN_LEAF,
        l2_regularization=RIDGE,
        max_bins=BINS,
        max_features=COLUMNS_SHARE,
        monotonic_cst=signs,
        early_stopping=False,
        random_state=seed,
    )
    own = weight[rows] / weight[rows].mean()
    model.fit(looks.features[rows], looks.gain[rows] > MORE, sample_weight=own)
    return plain(model)


def plain(model: HistGradientBoostingClassifier) -> BoostedTrees:
    """A fitted scikit-learn model as arrays."""
    roots, nodes, offset = [], [], 0
    for (tree,) in model._predictors:
        roots.append(offset)
        moved = tree.nodes.copy()
        moved["left"] += offset
        moved["right"] += offset
        nodes.append(moved)
        offset += moved.size
    all_nodes = np.concatenate(nodes)
    leaf = all_nodes["is_leaf"].astype(bool)
    own = np.arange(offset)
    return BoostedTrees(
        intercept=float(np.ravel(model._baseline_prediction)[0]),
        roots=np.array(roots),
        feature=np.where(leaf, LEAF, all_nodes["feature_idx"].astype(int)),
        threshold=np.where(leaf, 0.0, all_nodes["num_threshold"].astype(float)),
        missing_left=all_nodes["missing_go_to_left"].astype(bool),
        left=np.where(leaf, own, all_nodes["left"].astype(int)),
        right=np.where(leaf, own, all_nodes["right"].astype(int)),
        value=np.where(leaf, all_nodes["value"], 0.0),
    )
