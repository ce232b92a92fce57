"""What a predictor without learning reaches: a constant one, or the model before any step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hf_ftrisk.goal.goal import Goal
from hf_ftrisk.goal.metric_names import metric_kind


def majority_rate(labels: Sequence[int] | np.ndarray) -> float:
    """Accuracy of always predicting the most frequent label, in [0, 1].

    Args:
        labels: (n,) class indices; negative ones (-100, ignored) don't count.

    Raises:
        ValueError: no label left to count.
    """
    return float(_label_shares(labels).max())


def label_entropy(labels: Sequence[int] | np.ndarray) -> float:
    """Entropy of the label distribution in nats: the cross-entropy of the best constant predictor.

    Args:
        labels: (n,) class indices; negative ones (-100, ignored) don't count.

    Raises:
        ValueError: no label left to count.
    """
    shares = _label_shares(labels)
    return float(-(shares * np.log(shares)).sum())


def _label_shares(labels: Sequence[int] | np.ndarray) -> np.ndarray:
    """(n_classes,) share of each label that occurs."""
    counted = np.asarray(labels).reshape(-1)
    counted = counted[counted >= 0]
    if counted.size == 0:
        raise ValueError("no label to count: labels are empty or all masked (negative)")
    _, counts = np.unique(counted, return_counts=True)
    return np.asarray(counts / counted.size)


def trivial_baseline(
    goal: Goal,
    *,
    labels: Sequence[int] | np.ndarray | None = None,
    majority: float | None = None,
    untrained: float | None = None,
) -> float | None:
    """Value of the goal's metric that a predictor without learning reaches.

    For an accuracy, a loss or an error of known `labels` that of the best constant predictor, for a
    loss never worse than the untrained model's own value; for correlations 0; for a preference
    trainer's ``rewards/accuracies`` one half, as its untrained policy equals its reference and
    ties in every pair, which counts as wrong. Otherwise the untrained model's value, None if that
    is not given.

    Args:
        goal: the goal whose metric is asked for.
        labels: of the evaluation set: (n,) class indices, of rows or of their tokens; (n,) numbers
            of a regression; (n, n_labels) zeros and ones, where a row has several labels.
        majority: share of its most frequent class, in [0, 1], where only that is known.
        untrained: the metric of the model before any step (zero-shot).
    """
    name = goal.metric.removeprefix("eval_")
    candidates: list[float] = []
    if metric_kind(name) == "correlation" or goal.kind == "correlation" or name.endswith("r2"):
        candidates.append(0.0)
    if name.endswith("rewards/accuracies"):
        candidates.append(0.5 * goal.unit)
    known = np.asarray([] if labels is None else labels)
    if known.size:
        majority = _majority(known)
        constant = _constant_loss(known, name)
        candidates += [] if constant is None else [constant]
    if majority is not None and name.endswith(("accuracy", "acc")):
        candidates.append(goal.unit * majority)
    if untrained is not None and math.isfinite(untrained) and (name == "loss" or not candidates):
        candidates.append(untrained)
    if not candidates:
        return None
    return max(candidates) if goal.greater_is_better else min(candidates)


def _majority(labels: np.ndarray) -> float | None:
    """Accuracy of the best constant prediction; None for numbers."""
    if labels.ndim == 2:  # all labels of a row have to be right
        _, counts = np.unique(labels, axis=0, return_counts=True)
        return float(counts.max() / len(labels))
    return None if np.issubdtype(labels.dtype, np.floating) else majority_rate(labels)


def _constant_loss(labels: np.ndarray, name: str) -> float | None:
    """Loss or error of the best constant prediction; None where `name` is neither."""
    if labels.ndim == 2:
        return _binary_entropy(labels) if name == "loss" else None
    if not np.issubdtype(labels.dtype, np.floating):
        return label_entropy(labels) if name == "loss" else None
    spread = float(labels.std())
    if name in ("loss", "mse", "mean_squared_error"):
        return spread**2
    if name in ("rmse", "root_mean_squared_error"):
        return spread
    if name in ("mae", "mean_absolute_error"):
        return float(np.abs(labels - np.median(labels)).mean())
    return None


def _binary_entropy(labels: np.ndarray) -> float:
    """Mean over the labels of the binary cross-entropy, in nats, of predicting their shares.

    Args:
        labels: (n, n_labels) zeros and ones.
    """
    share = np.clip(labels.mean(axis=0), 1e-12, 1.0 - 1e-12)
    return float(-(share * np.log(share) + (1.0 - share) * np.log(1.0 - share)).mean())
