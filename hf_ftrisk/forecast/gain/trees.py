"""Gradient-boosted trees as plain numbers: a chance from features, without what grew them.

`benchmarks/finish/growing.py` grows them (scikit-learn) and writes what is read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# In `feature`: the node is a leaf.
LEAF = -1


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """An additive model of the log odds: an intercept and one leaf of every tree.

    Args:
        intercept: log odds before any tree.
        roots: (n_trees,) first node of each tree.
        feature: (n_nodes,) column a node asks for, `LEAF` in a leaf.
        threshold: (n_nodes,) values up to it go left.
        missing_left: (n_nodes,) whether a row without the value goes left.
        left: (n_nodes,) node on the left.
        right: (n_nodes,) node on the right.
        value: (n_nodes,) log odds a leaf adds.
    """

    intercept: float
    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray

    def chance(self, rows: np.ndarray) -> np.ndarray:
        """Chances (n,) in (0, 1) for rows of features (n, n_features); NaN is a missing value."""
        rows = np.atleast_2d(np.asarray(rows, dtype=np.float64))
        at = np.repeat(self.roots[None, :], rows.shape[0], axis=0)
        which = np.arange(rows.shape[0])[:, None]
        while True:
            column = self.feature[at]
            inner = column != LEAF
            if not inner.any():
                break
            split_value = rows[which, np.maximum(column, 0)]
            goes_left = np.where(
                np.isnan(split_value), self.missing_left[at], split_value <= self.threshold[at]
            )
            at = np.where(inner, np.where(goes_left, self.left[at], self.right[at]), at)
        odds = self.intercept + self.value[at].sum(axis=1)
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict; `from_dict` restores it, thresholds and values to six digits."""
        return {
            "intercept": round(self.intercept, 6),
            "roots": self.roots.tolist(),
            "feature": self.feature.tolist(),
            "threshold": _short(self.threshold),
            "missing_left": self.missing_left.astype(int).tolist(),
            "left": self.left.tolist(),
            "right": self.right.tolist(),
            "value": _short(self.value),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BoostedTrees:
        """Trees from `to_dict`'s form."""
        whole = {name: np.array(data[name], dtype=np.int64) for name in _WHOLE}
        return cls(
            intercept=float(data["intercept"]),
            threshold=np.array(data["threshold"], dtype=np.float64),
            value=np.array(data["value"], dtype=np.float64),
            missing_left=np.array(data["missing_left"], dtype=bool),
            **whole,
        )


_WHOLE: Sequence[str] = ("roots", "feature", "left", "right")


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]
