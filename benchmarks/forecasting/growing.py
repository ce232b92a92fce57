"""Growing a `Forest`: extremely randomized trees, each on some of the sources only.

Geurts, Ernst and Wehenkel 2006. Each tree is grown on a random part of the *sources* (families of
runs, data sets), the whole of each: what all sources agree on is found by most trees, and the trees
that a source had no part in forecast its runs out of sample (`Grown.unseen`), which is what
calibration rests on. Then all cases fall into the leaves, those of left-out sources too: an honest
distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.tree import ExtraTreeRegressor

from hf_ftrisk.forecast.forest import LEAF, Forest


@dataclass(frozen=True, eq=False)
class Grown:
    """A forest and which trees know which source.

    Args:
        forest: the forest.
        knows: (n_trees, n_cases) whether the case's source was among those of the tree.
        leaf: (n_trees, n_cases) leaf of each case.
    """

    forest: Forest
    knows: np.ndarray
    leaf: np.ndarray


def grow(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    source: np.ndarray,
    *,
    trees: int = 120,
    min_leaf: int = 15,
    columns: float = 0.5,
    share: float = 0.6,
) -> Grown:
    """Forest of cases.

    Args:
        x: (n_cases, n_features) features, NaN where not known.
        y: (n_cases,) or (n_cases, n_targets) what splits are chosen by.
        weight: (n_cases,) how much each case counts.
        source: (n_cases,) what cases belong together.
        trees: number of trees.
        min_leaf: cases a leaf has at least.
        columns: share of the features that each split may choose from.
        share: share of the sources that each tree is grown on.
    """
    names, member = np.unique(source, return_inverse=True)
    rng = np.random.default_rng(0)
    n_known = max(1, round(share * names.size))
    parts: dict[str, list[np.ndarray]] = {k: [] for k in ("feature", "threshold", "missing_left")}
    parts |= {k: [] for k in ("left", "right", "members", "starts", "leaf", "knows")}
    roots, nodes, leaves = [], 0, 0
    x32 = x.astype(np.float32)
    for number in range(trees):
        known = np.isin(member, rng.permutation(names.size)[:n_known])
        tree = ExtraTreeRegressor(
            min_samples_leaf=min_leaf, max_features=columns, random_state=number
        )
        tree.fit(x32[known], y[known], sample_weight=weight[known])
        t = tree.tree_
        leaf_nodes = t.children_left < 0
        order = np.cumsum(leaf_nodes) - 1
        at = order[tree.apply(x32)]
        sizes = np.bincount(at, minlength=int(leaf_nodes.sum()))
        parts["feature"].append(np.where(leaf_nodes, LEAF, t.feature))
        parts["threshold"].append(t.threshold)
        parts["missing_left"].append(t.missing_go_to_left.astype(bool))
        parts["left"].append(np.where(leaf_nodes, order + leaves, t.children_left + nodes))
        parts["right"].append(np.where(leaf_nodes, 0, t.children_right + nodes))
        parts["members"].append(np.argsort(at, kind="stable"))
        parts["starts"].append(number * len(x) + np.cumsum(sizes) - sizes)
        parts["leaf"].append(at + leaves)
        parts["knows"].append(known)
        roots.append(nodes)
        nodes += t.node_count
        leaves += int(leaf_nodes.sum())
    starts = np.concatenate([*parts["starts"], [trees * len(x)]])
    forest = Forest(
        feature=np.concatenate(parts["feature"]).astype(np.int16),
        threshold=np.concatenate(parts["threshold"]).astype(np.float32),
        missing_left=np.concatenate(parts["missing_left"]),
        left=np.concatenate(parts["left"]).astype(np.int32),
        right=np.concatenate(parts["right"]).astype(np.int32),
        roots=np.array(roots, dtype=np.int32),
        starts=starts.astype(np.int32),
        members=np.concatenate(parts["members"]).astype(np.uint16),
        case_weight=weight.astype(np.float32),
    )
    return Grown(forest, np.array(parts["knows"]), np.array(parts["leaf"]))
