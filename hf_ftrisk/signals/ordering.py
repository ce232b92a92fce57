"""How well a model's own scores order rows by their class, whatever they predict. No torch.

A classifier that has learned a little ranks rows by it long before any prediction changes: while
accuracy and loss are still those of the most frequent class, its scores already tell rows apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# As scikit-learn names it: one class against the rest, weighted by its rows.
ORDERING = "eval_roc_auc_ovr_weighted"
_FEWEST_ROWS = 16


def class_ordering(scores: Any, labels: Any) -> float | None:
    """Area under the ROC curve, one class against the rest, mean weighted by rows: 0.5 by chance.

    Args:
        scores: (n, n_classes) logits, or a tuple that begins with them.
        labels: (n,) class indices; rows with a negative one are left out.

    Returns:
        None where these are not the scores of a classifier of rows, or rows or classes are too few.
    """
    logits, classes = (
        part[0] if isinstance(part, tuple | list) and part else part for part in (scores, labels)
    )
    # Outputs nested deeper, or ragged, are those of other models.
    if not isinstance(logits, np.ndarray) or not isinstance(classes, np.ndarray):
        return None
    if logits.ndim != 2 or logits.shape[1] < 2 or classes.shape != logits.shape[:1]:
        return None
    if not np.issubdtype(classes.dtype, np.integer) or logits.dtype.kind != "f":
        return None
    counted = (classes >= 0) & (classes < logits.shape[1])
    logits, classes = logits[counted].astype(np.float64), classes[counted]
    if classes.size < _FEWEST_ROWS or not np.isfinite(logits).all():
        return None
    # A softmax sees differences alone.
    logits = logits - logits.mean(axis=1, keepdims=True)
    areas, weights = [], []
    for index in np.unique(classes):
        own = classes == index
        n_own = int(own.sum())
        if n_own == classes.size:
            return None
        ranks = _ranks(logits[:, index])[own].sum()
        pairs = n_own * (classes.size - n_own)
        areas.append((ranks - n_own * (n_own + 1) / 2.0) / pairs)
        weights.append(n_own)
    return float(np.average(areas, weights=weights))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks (n,) from 1 on, equal values sharing their mean; scipy.stats is slow to import."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[place])
