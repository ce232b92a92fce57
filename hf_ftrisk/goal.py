"""What a run is judged by: one metric, its direction, and what counts as a good end.

Pure Python and numpy. A goal without a target means "beat the trivial baseline", the usual
definition of a run that did not fail (Mosbach et al. 2021, section 3).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

MetricKind = Literal["rate", "loss", "correlation", "real"]

# The last word of a metric's name decides its direction and range. "rate" metrics live in
# [0, 1], "correlation" in [-1, 1], "loss" in (0, inf), "real" anywhere.
_RATES_UP = frozenset(
    {
        "accuracy",
        "acc",
        "f1",
        "precision",
        "recall",
        "auc",
        "auroc",
        "auprc",
        "em",
        "exact_match",
        "map",
        "ndcg",
        "mrr",
        "iou",
        "dice",
        "top5",
        "top1",
        "accuracies",
        "sensitivity",
        "specificity",
    }
)
_RATES_DOWN = frozenset({"error", "error_rate", "eer", "brier"})
_CORRELATIONS = frozenset(
    {
        "pearson",
        "spearman",
        "pearsonr",
        "spearmanr",
        "kendall",
        "matthews_correlation",
        "matthews",
        "mcc",
        "corr",
        "correlation",
        "kappa",
    }
)
_LOSSES = frozenset(
    {
        "loss",
        "perplexity",
        "ppl",
        "nll",
        "mse",
        "rmse",
        "mae",
        "mape",
        # Edits per reference word: insertions carry them above 1.
        "wer",
        "cer",
        "ter",
        "cross_entropy",
        "xent",
        "kl",
        "bits_per_byte",
        "bpb",
    }
)
_REALS_UP = frozenset(
    {
        "bleu",
        "sacrebleu",
        "rouge",
        "rouge1",
        "rouge2",
        "rougel",
        "rougelsum",
        "meteor",
        "chrf",
        "reward",
        "rewards",
        "margins",
        "score",
        "r2",
    }
)

_COMPARISON = re.compile(r"^\s*([A-Za-z_][\w./-]*)\s*(?:(>=|<=|>|<)\s*([^\s]+))?\s*$")

_DEFAULT_TOLERANCE: dict[MetricKind, float | None] = {
    "rate": 0.03,
    "correlation": 0.03,
    "loss": None,
    "real": None,
}


def _name_words(metric: str) -> tuple[str, ...]:
    """All suffixes of the metric's name, longest first: eval_g0_f1 -> eval_g0_f1, g0_f1, f1."""
    words = re.split(r"[_/.\s-]+", metric.lower())
    return tuple("_".join(words[i:]) for i in range(len(words)))


def metric_kind(metric: str) -> MetricKind | None:
    """Range of a metric, from its name.

    Returns:
        ``"rate"`` for [0, 1], ``"correlation"`` for [-1, 1], ``"loss"`` for (0, inf),
        ``"real"`` for scores of another scale, None when the name is not known.
    """
    for name in _name_words(metric):
        if name in _RATES_UP or name in _RATES_DOWN:
            return "rate"
        if name in _CORRELATIONS:
            return "correlation"
        if name in _LOSSES:
            return "loss"
        if name in _REALS_UP:
            return "real"
    return None


def infer_greater_is_better(metric: str) -> bool | None:
    """Direction of a metric, from its name; None when the name is not known."""
    for name in _name_words(metric):
        if name in _RATES_UP or name in _CORRELATIONS or name in _REALS_UP:
            return True
        if name in _RATES_DOWN or name in _LOSSES:
            return False
    return None


@dataclass(frozen=True)
class Goal:
    """The metric a run is judged by, and what value of it is good.

    Args:
        metric: name as in the Trainer's log history. ``accuracy`` and ``eval_accuracy`` are the
            same goal: the ``eval_`` prefix is added when it is missing.
        target: value the run must reach, in the metric's own units. None: the run must beat the
            trivial baseline (majority class, constant predictor, loss of the untrained model).
        greater_is_better: direction; None infers it from the name.
        kind: range of the metric, ``"rate"`` [0, 1], ``"correlation"`` [-1, 1], ``"loss"``
            (0, inf) or ``"real"``; None infers it from the name, ``"real"`` if unknown.
        tolerance: how many units of the metric matter (delta of the regimes); None: 0.03 for
            rates and correlations, otherwise unset and chosen from the run's own scale.

    Raises:
        ValueError: empty name, direction that cannot be inferred, target outside the metric's
            range or not finite, tolerance not above zero.

    Example:
        >>> Goal("accuracy", target=0.85)
        Goal(metric='eval_accuracy', target=0.85, greater_is_better=True, ...)
        >>> Goal.parse("eval_loss<=0.7").meets(0.65)
        True
    """

    metric: str
    target: float | None = None
    greater_is_better: bool | None = field(default=None)
    kind: MetricKind | None = field(default=None)
    tolerance: float | None = field(default=None)

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or not self.metric.strip():
            raise ValueError(f"metric must be a name such as 'eval_accuracy', got {self.metric!r}")
        metric = self.metric.strip()
        if not metric.startswith("eval_"):
            metric = f"eval_{metric}"
        object.__setattr__(self, "metric", metric)
        if self.greater_is_better is None:
            inferred = infer_greater_is_better(metric)
            if inferred is None:
                raise ValueError(
                    f"cannot tell whether a greater {metric!r} is better: its name is not a known "
                    f"metric. Pass Goal({metric!r}, greater_is_better=True) or False."
                )
            object.__setattr__(self, "greater_is_better", inferred)
        if self.kind is None:
            object.__setattr__(self, "kind", metric_kind(metric) or "real")
        if self.kind not in ("rate", "loss", "correlation", "real"):
            raise ValueError(
                f"kind must be 'rate', 'loss', 'correlation' or 'real', got {self.kind!r}"
            )
        if self.target is not None:
            self._check_target(self.target)
        if self.tolerance is None:
            object.__setattr__(self, "tolerance", _DEFAULT_TOLERANCE[self.kind])
        elif not (math.isfinite(self.tolerance) and self.tolerance > 0):
            raise ValueError(
                f"tolerance must be a finite number above 0, in units of {metric}, "
                f"got {self.tolerance!r}"
            )

    def _check_target(self, target: float) -> None:
        low, high = self.bounds
        if isinstance(target, bool) or not isinstance(target, int | float):
            raise ValueError(f"target of {self.metric} must be a number, got {target!r}")
        if not math.isfinite(target) or not low <= target <= high:
            hint = (
                f" Trainer reports {self.metric} as a fraction: write {target / 100:g}, "
                "or pass kind='real' if yours is in percent."
                if self.kind in ("rate", "correlation") and 1 < target <= 100
                else ""
            )
            raise ValueError(
                f"target of {self.metric} must lie in [{low:g}, {high:g}], got {target!r}.{hint}"
            )
        object.__setattr__(self, "target", float(target))

    @classmethod
    def parse(cls, text: str | Goal) -> Goal:
        """Goal from ``"eval_accuracy>=0.85"``, ``"eval_loss<=0.7"`` or a bare metric name.

        The comparison must agree with the metric's direction; for a name whose direction is not
        known, the comparison sets it.

        Raises:
            ValueError: text of another form, a target that is no number, or a comparison against
                the metric's direction.
        """
        if isinstance(text, Goal):
            return text
        match = _COMPARISON.match(text)
        if match is None:
            raise ValueError(
                f"cannot read the goal {text!r}: write a metric such as 'eval_accuracy', "
                "or a comparison such as 'eval_accuracy>=0.85' or 'eval_loss<=0.7'"
            )
        metric, comparison, number = match.groups()
        if comparison is None:
            return cls(metric)
        try:
            target = float(number)
        except ValueError:
            raise ValueError(f"target in the goal {text!r} is not a number: {number!r}") from None
        upward = comparison.startswith(">")
        known = infer_greater_is_better(metric)
        if known is not None and known != upward:
            better = "greater" if known else "smaller"
            raise ValueError(
                f"the goal {text!r} asks in the wrong direction: a {better} {metric} is better; "
                f"write '{metric}{'>=' if known else '<='}{number}', or build "
                f"Goal({metric!r}, target={number}, greater_is_better={upward}) if yours differs"
            )
        return cls(metric, target=target, greater_is_better=upward)

    @property
    def bounds(self) -> tuple[float, float]:
        """Range (low, high) of the metric's values."""
        if self.kind == "rate":
            return (0.0, 1.0)
        if self.kind == "correlation":
            return (-1.0, 1.0)
        if self.kind == "loss":
            return (0.0, math.inf)
        return (-math.inf, math.inf)

    def is_better(self, value: float, than: float) -> bool:
        """Whether `value` is strictly better than `than`; a non-finite value never is."""
        if not math.isfinite(value):
            return False
        if not math.isfinite(than):
            return True
        return value > than if self.greater_is_better else value < than

    def threshold(self, baseline: float | None = None) -> float | None:
        """Value that separates a good end from a poor one: the target, else the baseline.

        None when there is neither: then no run can be called poor.
        """
        return self.target if self.target is not None else baseline

    def meets(self, value: float, baseline: float | None = None) -> bool:
        """Whether a final `value` is good: at least the target, or strictly above the baseline.

        Raises:
            ValueError: neither a target nor a baseline to compare with.
        """
        if self.target is not None:
            if not math.isfinite(value):
                return False
            return value >= self.target if self.greater_is_better else value <= self.target
        if baseline is None:
            raise ValueError(
                f"{self.metric} has no target and no trivial baseline is known: "
                f"give Goal({self.metric!r}, target=...)"
            )
        return self.is_better(value, baseline)

    def with_target(self, target: float) -> Goal:
        """The same goal with another target."""
        return replace(self, target=target)

    def __str__(self) -> str:
        if self.target is None:
            return self.metric
        return f"{self.metric}{'>=' if self.greater_is_better else '<='}{self.target:g}"


def majority_rate(labels: Sequence[int] | np.ndarray) -> float:
    """Accuracy of always predicting the most frequent label, in [0, 1].

    Args:
        labels: (n,) class indices; negative ones (-100, ignored) don't count.

    Raises:
        ValueError: no label left to count.
    """
    kept = np.asarray(labels).reshape(-1)
    kept = kept[kept >= 0]
    if kept.size == 0:
        raise ValueError("no label to count: labels are empty or all masked (negative)")
    _, counts = np.unique(kept, return_counts=True)
    return float(counts.max() / kept.size)


def label_entropy(labels: Sequence[int] | np.ndarray) -> float:
    """Entropy of the label distribution in nats: the cross-entropy of the best constant predictor.

    Args:
        labels: (n,) class indices; negative ones (-100, ignored) don't count.

    Raises:
        ValueError: no label left to count.
    """
    kept = np.asarray(labels).reshape(-1)
    kept = kept[kept >= 0]
    if kept.size == 0:
        raise ValueError("no label to count: labels are empty or all masked (negative)")
    _, counts = np.unique(kept, return_counts=True)
    shares = counts / kept.size
    return float(-(shares * np.log(shares)).sum())


def trivial_baseline(
    goal: Goal,
    *,
    labels: Sequence[int] | np.ndarray | None = None,
    untrained: float | None = None,
) -> float | None:
    """Value of the goal's metric that a predictor without learning reaches.

    For an accuracy it is the majority rate of `labels`; for ``eval_loss`` of a classifier the
    label entropy (the best constant predictor's loss), but never worse than the untrained model's
    own value; for correlations 0. Otherwise the untrained model's value, None if that is not
    given.

    Args:
        goal: the goal whose metric is asked for.
        labels: (n,) class indices of the evaluation set, when it is a classification.
        untrained: the metric of the model before any step (zero-shot).
    """
    name = goal.metric.removeprefix("eval_")
    candidates: list[float] = []
    if goal.kind == "correlation" or name.endswith("r2"):
        candidates.append(0.0)
    if labels is not None and len(labels) > 0:
        if name.endswith(("accuracy", "acc")):
            candidates.append(majority_rate(labels))
        elif name == "loss":
            candidates.append(label_entropy(labels))
    if untrained is not None and math.isfinite(untrained) and (name == "loss" or not candidates):
        candidates.append(untrained)
    if not candidates:
        return None
    return max(candidates) if goal.greater_is_better else min(candidates)
