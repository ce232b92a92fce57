"""Do the labels carry signal that a linear probe finds in the frozen model? No torch.

Ridge regression of the targets on the representation right before the head. Its cross-validated
predictions are linear in the targets, so the same matrix scores the true labels and hundreds of
shuffled ones: a permutation test at the price of a few products.

| signal | definition | unit | range | source |
|---|---|---|---|---|
| ``signal_score`` | cross-validated score on training rows of ridge regression on the \
representation right before the head: accuracy (of rows, or of tokens), micro F1 of several labels \
a row, R2 of numbers | share | <= 1 | Alain and Bengio 2017 |
| ``signal_shuffled`` | mean of the same score over shuffled labels | share | <= 1 | Ojala and \
Garriga 2010 |
| ``signal_p`` | share of shufflings, the given labels counted as one, whose labels are explained \
as well: a permutation p-value | share | [1/200, 1] | Ojala and Garriga 2010 |
| ``signal_z`` | standard deviations by which they are explained better than shuffled ones | - | \
any | - |
| ``signal_correlation`` | correlation of the cross-validated predictions with numbers | - | \
[-1, 1] | - |
| ``signal_eval_score`` | score on evaluation rows of the probe fitted on the training rows: what \
a fine-tune that works should exceed | share | <= 1 | Alain and Bengio 2017 |
| ``signal_eval_trivial`` | score there of the best constant of the training rows | share | <= 1 | \
- |
| ``signal_rows``, ``signal_eval_rows`` | rows (or tokens) the scores were computed on | rows | \
>= 1 | - |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["class", "token", "multilabel", "number"]

PERMUTATIONS = 199
_FOLDS = 5
# Ridge penalties, in units of the mean squared norm of a row: the best one is taken, of the given
# labels and of each shuffling alike.
_PENALTIES = (0.3, 3.0, 30.0)
_FEWEST_ROWS = 20
_COLUMNS_AT_ONCE = 4096
# Operations a second that any processor does, in products of large matrices.
_SLOW = 1e10


@dataclass(frozen=True, eq=False)
class Labeled:
    """Rows (or tokens) as the head sees them, with what it should say of them.

    Args:
        features: (n, n_dims).
        targets: (n,) class indices, (n, n_labels) zeros and ones, or (n, n_numbers) numbers.
        groups: (n,) the row that each belongs to: folds do not cut a row.
        kind: what the targets are.
    """

    features: np.ndarray
    targets: np.ndarray
    groups: np.ndarray
    kind: Kind

    def __len__(self) -> int:
        return int(self.targets.shape[0])


def label_signal(train: Labeled, held_out: Labeled | None) -> dict[str, float]:
    """Signals of the module's table; empty where rows are too few or all targets equal.

    Args:
        train: training rows.
        held_out: evaluation rows of the same kind; None: none were seen.
    """
    encoded = _Encoder.of(train)
    y = encoded(train.targets)
    if len(train) < _FEWEST_ROWS or np.ptp(y, axis=0).max(initial=0.0) == 0.0:
        return {}
    if np.unique(train.groups).size < _FOLDS:
        return {}
    smoothers = _cross_validation(train.features, train.groups)
    total = float(((y - y.mean(axis=0)) ** 2).sum())
    explained = [_explained(smoother, y, total) for smoother in smoothers]
    best = int(np.argmax(explained))
    shuffled, scores = _permuted(smoothers, y, total, encoded)
    predicted = smoothers[best] @ y
    spread = float(shuffled.std())
    signals = {
        "signal_score": encoded.score(predicted, y),
        "signal_shuffled": float(scores.mean()),
        "signal_p": (1.0 + float((shuffled >= explained[best]).sum())) / (1.0 + shuffled.size),
        "signal_rows": float(len(train)),
    }
    if spread > 0.0:
        signals["signal_z"] = (explained[best] - float(shuffled.mean())) / spread
    if train.kind == "number":
        signals["signal_correlation"] = _correlation(predicted, y)
    if held_out is not None and held_out.kind == train.kind and len(held_out):
        signals |= _on_evaluation(train, held_out, encoded, _PENALTIES[best])
    return signals


def label_signal_seconds(n_rows: int, n_columns: int) -> float:
    """Time at most that `label_signal` of this many rows and target columns takes, seconds."""
    smoothers = 4.0 * n_rows**3 * _FOLDS
    permutations = 2.0 * len(_PENALTIES) * n_rows**2 * n_columns * PERMUTATIONS
    return (smoothers + permutations) / _SLOW


@dataclass(frozen=True, eq=False)
class _Encoder:
    """Targets as columns that a regression can fit, and the score of what it says of them."""

    kind: Kind
    classes: np.ndarray

    @classmethod
    def of(cls, train: Labeled) -> _Encoder:
        classes = np.unique(train.targets) if train.kind in ("class", "token") else np.empty(0)
        return cls(train.kind, classes)

    def __call__(self, targets: np.ndarray) -> np.ndarray:
        """(n, n_columns): one column a class; a class the training rows lack is all zeros."""
        if self.classes.size:
            return np.asarray(targets[:, None] == self.classes[None, :], dtype=np.float32)
        return np.asarray(targets, dtype=np.float32).reshape(targets.shape[0], -1)

    def score(self, predicted: np.ndarray, y: np.ndarray) -> float:
        """Accuracy, micro F1 or R2 of predictions (n, n_columns) of y (n, n_columns)."""
        if self.classes.size:
            rows = np.arange(y.shape[0])
            return float((y[rows, predicted.argmax(axis=1)] > 0.5).mean())
        if self.kind == "multilabel":
            predicted_true, true = predicted > 0.5, y > 0.5
            either = float(predicted_true.sum() + true.sum())
            return 2.0 * float((predicted_true & true).sum()) / either if either else 0.0
        spread = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        missed = ((y - predicted) ** 2).sum(axis=0)
        return float(np.mean(1.0 - missed[spread > 0] / spread[spread > 0]))


def _cross_validation(features: np.ndarray, groups: np.ndarray) -> list[np.ndarray]:
    """For each penalty the matrix (n, n) that turns targets into cross-validated predictions."""
    n = features.shape[0]
    folds = np.unique(groups, return_inverse=True)[1] % _FOLDS
    smoothers = [np.zeros((n, n), dtype=np.float32) for _ in _PENALTIES]
    for fold in range(_FOLDS):
        held_out, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if held_out.size == 0:
            continue
        for smoother, part in zip(
            smoothers, _fitted(features[others], features[held_out], _PENALTIES), strict=True
        ):
            smoother[np.ix_(held_out, others)] = part
    return smoothers


def _fitted(
    features: np.ndarray, others: np.ndarray, penalties: Sequence[float]
) -> Iterator[np.ndarray]:
    """For each penalty the matrix (n_others, n) from the rows' targets to predictions of others.

    Features are standardized by the rows that are fitted; the intercept is not penalized.
    """
    n = features.shape[0]
    x, z = standardized(features, others)
    values, vectors = np.linalg.eigh(x @ x.T)
    cross = (z @ x.T) @ vectors
    for penalty in penalties:
        part = (cross / (np.maximum(values, 0.0) + penalty)) @ vectors.T
        # Targets are centered by their mean, which is added again.
        yield (part - part.mean(axis=1, keepdims=True) + 1.0 / n).astype(np.float32)


def standardized(features: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, n_dims) and those of other rows by the first's center and spread.

    Rows are of length 1 in the mean.
    """
    center, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-8, scale, np.inf) * np.sqrt(max(1, int((scale > 1e-8).sum())))
    x, z = ((part - center) / scale for part in (features, others))
    return x.astype(np.float64), z.astype(np.float64)


def _explained(smoother: np.ndarray, y: np.ndarray, total: float) -> float:
    return 1.0 - float(((y - smoother @ y) ** 2).sum()) / total


def _permuted(
    smoothers: Sequence[np.ndarray], y: np.ndarray, total: float, encoded: _Encoder
) -> tuple[np.ndarray, np.ndarray]:
    """Best explained share over the penalties, and its score, of shuffled targets: (n_perms,)."""
    generator = np.random.default_rng(0)
    n, columns = y.shape
    orders = [generator.permutation(n) for _ in range(PERMUTATIONS)]
    at_once = max(1, _COLUMNS_AT_ONCE // columns)
    best, scores = [], []
    for start in range(0, PERMUTATIONS, at_once):
        part = [y[order] for order in orders[start : start + at_once]]
        stacked = np.concatenate(part, axis=1)
        predictions = [
            (smoother @ stacked).reshape(n, len(part), columns) for smoother in smoothers
        ]
        for index, shuffled in enumerate(part):
            shares = [
                1.0 - float(((shuffled - predicted[:, index]) ** 2).sum()) / total
                for predicted in predictions
            ]
            chosen = int(np.argmax(shares))
            best.append(shares[chosen])
            scores.append(encoded.score(predictions[chosen][:, index], shuffled))
    return np.array(best), np.array(scores)


def _on_evaluation(
    train: Labeled, held_out: Labeled, encoded: _Encoder, penalty: float
) -> dict[str, float]:
    y, truth = encoded(train.targets), encoded(held_out.targets)
    (smoother,) = _fitted(train.features, held_out.features, (penalty,))
    constant = np.broadcast_to(y.mean(axis=0), truth.shape)
    return {
        "signal_eval_score": encoded.score(smoother @ y, truth),
        "signal_eval_trivial": encoded.score(constant, truth),
        "signal_eval_rows": float(len(held_out)),
    }


def _correlation(predicted: np.ndarray, y: np.ndarray) -> float:
    """Mean over the columns of the correlation; 0 for a constant."""
    a, b = predicted - predicted.mean(axis=0), y - y.mean(axis=0)
    norms = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return float(np.mean((a * b).sum(axis=0) / np.where(norms > 0, norms, np.inf)))
