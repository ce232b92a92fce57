"""Gradient-boosted trees as plain numbers: a chance from features, without what grew them.

`benchmarks/finish/growing.py` grows them (scikit-learn) and writes what is read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_ftrisk.forecast.forest import Trees


@dataclass(frozen=True, eq=False)
class BoostedTrees(Trees):
    """An additive model of the log odds: an intercept and one leaf of every tree.

    Args:
        intercept: log odds before any tree.
        value: (n_nodes,) log odds a leaf adds.
    """

    intercept: float
    value: np.ndarray

    def chance(self, rows: np.ndarray) -> np.ndarray:
        """Chances (n,) in (0, 1) for rows of features (n, n_features); NaN is a missing value."""
        rows = np.atleast_2d(np.asarray(rows, dtype=np.float64))
        odds = self.intercept + self.value[self.leaf_nodes(rows)].sum(axis=1)
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
