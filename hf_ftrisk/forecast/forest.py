"""A forest of regression trees that answers with the known cases a new one resembles.

Quantile regression forests (Meinshausen 2006): what a tree gives is not a number but the leaf's
known cases, and the forest's weights over all of them are a predictive distribution for anything
that is known of them. Nothing beyond what was ever seen can come out. Plain arrays, no library
that grew the trees is needed to read them; `benchmarks/forecasting/growing.py` grows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

LEAF = -1
_STORED = ("feature", "threshold", "missing_left", "right", "roots", "case_weight")


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees over columns of features, as arrays over all their nodes.

    Args:
        feature: (n_nodes,) column that a node asks for; `LEAF` in a leaf.
        threshold: (n_nodes,) values up to it go left.
        missing_left: (n_nodes,) whether a case without the value goes left.
        left: (n_nodes,) node on the left.
        right: (n_nodes,) node on the right.
        roots: (n_trees,) first node of each tree.
    """

    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    right: np.ndarray
    roots: np.ndarray

    def leaf_nodes(self, rows: np.ndarray) -> np.ndarray:
        """Leaf of each tree (n, n_trees) that rows of features (n, n_features) fall into."""
        node = np.repeat(self.roots.astype(np.int64)[None, :], rows.shape[0], axis=0)
        row = np.arange(rows.shape[0])[:, None]
        while True:
            column = self.feature[node]
            inner = column != LEAF
            if not inner.any():
                return node
            value = rows[row, np.maximum(column, 0)]
            goes_left = np.where(
                np.isnan(value), self.missing_left[node], value <= self.threshold[node]
            )
            node = np.where(inner, np.where(goes_left, self.left[node], self.right[node]), node)


@dataclass(frozen=True, eq=False)
class Forest(Trees):
    """Trees, and the known cases in their leaves. In a leaf, `left` is its number among all leaves.

    A node's left child is the next node, so that `left` need not be stored.

    Args:
        starts: (n_leaves + 1,) where each leaf's cases start in `members`.
        members: (n_trees * n_cases,) numbers of the known cases, leaf by leaf.
        case_weight: (n_cases,) how much each known case counts.
    """

    starts: np.ndarray
    members: np.ndarray
    case_weight: np.ndarray

    def leaves(self, x: np.ndarray) -> np.ndarray:
        """Leaf of each tree (n_trees,) that a case with features `x` (n_features,) falls into."""
        return np.asarray(self.left[self.leaf_nodes(x.astype(np.float32)[None])[0]])

    def weights(self, x: np.ndarray, trees: np.ndarray | None = None) -> np.ndarray:
        """Weight of each known case (n_cases,) for a new one with features `x`; they sum to 1.

        Args:
            x: (n_features,) features.
            trees: (n_trees,) which trees to ask; None: all.
        """
        leaves = self.leaves(x)
        if trees is not None:
            leaves = leaves[trees]
        leaf_members = [self.members[self.starts[leaf] : self.starts[leaf + 1]] for leaf in leaves]
        cases = np.concatenate(leaf_members)
        weight = self.case_weight[cases]
        ends = np.cumsum([members.size for members in leaf_members])
        total = np.add.reduceat(weight, np.concatenate([[0], ends[:-1]]))
        each = weight / np.repeat(total, [members.size for members in leaf_members])
        return np.bincount(cases, each, minlength=self.case_weight.size) / len(leaf_members)

    def arrays(self) -> dict[str, np.ndarray]:
        """Name -> array, for storage; `from_arrays` is the inverse."""
        arrays = {name: getattr(self, name) for name in _STORED}
        n_trees, n_cases = self.roots.size, self.case_weight.size
        leaf = np.empty((n_trees, n_cases), dtype=np.uint16)
        leaf_of_member = np.repeat(np.arange(self.starts.size - 1), np.diff(self.starts))
        for tree in range(n_trees):
            members_of_tree = slice(tree * n_cases, (tree + 1) * n_cases)
            leaf[tree, self.members[members_of_tree]] = (
                leaf_of_member[members_of_tree] - leaf_of_member[members_of_tree.start]
            )
        return arrays | {"leaf": leaf}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], prefix: str = "") -> Forest:
        """Forest from stored arrays whose names start with `prefix`."""
        members, sizes = [], []
        for leaf in arrays[prefix + "leaf"]:
            members.append(np.argsort(leaf, kind="stable").astype(np.uint16))
            sizes.append(np.bincount(leaf))
        starts = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
        plain = {name: arrays[prefix + name] for name in _STORED}
        left = _left_of(plain["feature"])
        return cls(**plain, left=left, starts=starts, members=np.concatenate(members))


def _left_of(feature: np.ndarray) -> np.ndarray:
    """`Forest.left` (n_nodes,) from the columns that nodes ask for."""
    is_leaf = feature == LEAF
    following = np.arange(1, feature.size + 1)
    return np.where(is_leaf, np.cumsum(is_leaf) - 1, following).astype(np.int32)
