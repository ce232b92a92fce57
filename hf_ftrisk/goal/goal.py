"""What a run is judged by: one metric, its direction, and what counts as a good outcome.

Pure Python and numpy. A goal without a target means "beat the trivial baseline", the usual
definition of a run that did not fail (Mosbach et al. 2021, section 3).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace

from hf_ftrisk.goal.metric_names import (
    MetricKind,
    infer_greater_is_better,
    metric_kind,
)

_KINDS = ("rate", "percent", "loss", "correlation", "real")
_DEFAULT_TOLERANCE: dict[MetricKind, float | None] = {
    "rate": 0.03,
    "percent": 3.0,
    "correlation": 0.03,
    "loss": None,
    "real": None,
}
_COMPARISON = re.compile(
    r"""^\s*(?:(?P<quote>["'])(?P<quoted>.+?)(?P=quote)|(?P<bare>[^<>="'\u2265\u2264]+?))\s*"""
    r"""(?:(?P<sign>>=|<=|[\u2265\u2264]|>|<)\s*(?P<number>[^\s<>=]+))?\s*$"""
)


@dataclass(frozen=True)
class Goal:
    """The metric a run is judged by, and what value of it is good.

    Args:
        metric: name as in the Trainer's log history. ``accuracy`` and ``eval_accuracy`` are the
            same goal: the ``eval_`` prefix is added when it is missing.
        target: value the run must reach, in the metric's own units. None: the run must beat the
            trivial baseline (majority class, constant predictor, loss of the untrained model).
        greater_is_better: direction; None infers it from the name.
        kind: range of the metric, ``"rate"`` [0, 1], ``"percent"`` [0, 100], ``"correlation"``
            [-1, 1], ``"loss"`` [0, inf) or ``"real"``; None infers it from the name and the target
            (``"real"`` if the name is unknown), and later from the values (`goal_for_values`).
        tolerance: how many units of the metric matter (delta of the regimes); None: 0.03 for
            rates and correlations, 3 for percent, otherwise unset and chosen from the run's own
            scale.
        kind_inferred: whether nobody asked for the kind.

    Raises:
        ValueError: empty name, direction that cannot be inferred, target outside the metric's
            range or not finite, tolerance not above zero.

    Examples:
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
    kind_inferred: bool = field(default=False, repr=False, compare=False)

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
                    f"metric. Write '{metric}>=...' or '{metric}<=...', or pass "
                    f"Goal({metric!r}, greater_is_better=True) or False."
                )
            object.__setattr__(self, "greater_is_better", inferred)
        if self.kind is None:
            object.__setattr__(self, "kind_inferred", True)
            object.__setattr__(self, "kind", _kind_of(metric, self.target))
        if self.kind not in _KINDS:
            raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {self.kind!r}")
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
            raise ValueError(
                f"target of {self.metric} must lie in [{low:g}, {high:g}], got {target!r}: give "
                "its kind (--kind, or Goal(..., kind=...)) if its values lie elsewhere"
            )
        object.__setattr__(self, "target", float(target))

    @classmethod
    def parse(cls, text: str | Goal, kind: MetricKind | None = None) -> Goal:
        """Goal from ``"eval_accuracy>=0.85"``, ``"eval_loss<=0.7"`` or a bare metric name.

        The comparison must agree with the metric's direction; for a name whose direction is not
        known, the comparison sets it. Any name can be written, spaces included (``"macro f1"``,
        ``"ndcg@10>=0.4"``); one that holds a comparison sign or ends in a number stands in quotes
        (``"'recall@k=10'>=0.4"``).

        Args:
            text: what is good; a `Goal` is returned as it is, of the kind asked for.
            kind: range of the metric's values; None: see `Goal`.

        Raises:
            ValueError: text of another form, a target that is no number, or a comparison against
                the metric's direction.
        """
        if isinstance(text, Goal):
            return text if kind is None else replace(text, kind=kind, kind_inferred=False)
        match = _COMPARISON.match(text)
        metric = None if match is None else match["quoted"] or match["bare"]
        if match is None or metric is None or (match["bare"] and _ends_in_number(metric)):
            raise ValueError(
                f"cannot read the goal {text!r}: write a metric such as 'eval_accuracy', "
                "or a comparison such as 'eval_accuracy>=0.85' or 'eval_loss<=0.7'; put a "
                "name that holds a comparison sign, or ends in a number, in quotes of its own"
            )
        comparison, number = match["sign"], match["number"]
        if comparison is None:
            return cls(metric, kind=kind)
        try:
            target = float(number)
        except ValueError:
            raise ValueError(f"target in the goal {text!r} is not a number: {number!r}") from None
        upward = comparison[0] in ">\u2265"
        inferred = infer_greater_is_better(metric)
        if inferred is not None and inferred != upward:
            better = "greater" if inferred else "smaller"
            raise ValueError(
                f"the goal {text!r} asks in the wrong direction: a {better} {metric} is better; "
                f"write '{metric}{'>=' if inferred else '<='}{number}', or build "
                f"Goal({metric!r}, target={number}, greater_is_better={upward}) if yours differs"
            )
        return cls(metric, target=target, greater_is_better=upward, kind=kind)

    @property
    def bounds(self) -> tuple[float, float]:
        """Range (low, high) of the metric's values."""
        if self.kind == "rate":
            return (0.0, 1.0)
        if self.kind == "percent":
            return (0.0, 100.0)
        if self.kind == "correlation":
            return (-1.0, 1.0)
        if self.kind == "loss":
            return (0.0, math.inf)
        return (-math.inf, math.inf)

    @property
    def unit(self) -> float:
        """What 1 on the scale of fractions is on this goal's: 100 for percent, else 1."""
        return 100.0 if self.kind == "percent" else 1.0

    def is_better(self, value: float, than: float) -> bool:
        """Whether `value` is strictly better than `than`; a non-finite value never is."""
        if not math.isfinite(value):
            return False
        if not math.isfinite(than):
            return True
        return value > than if self.greater_is_better else value < than

    def threshold(self, baseline: float | None = None) -> float | None:
        """Value that separates a good outcome from a poor one: the target, else the baseline.

        None when there is neither: then no run can be called poor.
        """
        return self.target if self.target is not None else baseline

    def meets(self, value: float, baseline: float | None = None) -> bool:
        """Whether a final `value` is good: at least the target, or strictly above the baseline.

        Raises:
            ValueError: neither a target nor a baseline to compare with.
        """
        threshold = known_threshold(self, baseline)
        if self.target is None:
            return self.is_better(value, threshold)
        if not math.isfinite(value):
            return False
        return value >= threshold if self.greater_is_better else value <= threshold

    def with_target(self, target: float) -> Goal:
        """The same goal with another target."""
        return replace(self, target=target)

    def __str__(self) -> str:
        if self.target is None:
            return self.metric
        plain = _COMPARISON.match(self.metric)
        bare = plain is not None and plain["bare"] is not None and not _ends_in_number(self.metric)
        name = self.metric if bare else f"'{self.metric}'"
        return f"{name}{'>=' if self.greater_is_better else '<='}{self.target:g}"


def known_threshold(goal: Goal, baseline: float | None) -> float:
    """`Goal.threshold`, which has to be there.

    Raises:
        ValueError: neither a target nor a baseline.
    """
    threshold = goal.threshold(baseline)
    if threshold is None:
        raise ValueError(
            f"{goal.metric} has no target and no trivial baseline is known: "
            f"give Goal({goal.metric!r}, target=...)"
        )
    return threshold


def _ends_in_number(name: str) -> bool:
    """Whether the last of several words is a number: then a comparison sign was forgotten."""
    words = name.split()
    try:
        float(words[-1])
    except ValueError:
        return False
    return len(words) > 1


def _kind_of(metric: str, target: float | None) -> MetricKind:
    """Range of a metric from its name; a target of 2 or more says that a fraction is in percent."""
    kind = metric_kind(metric) or "real"
    number = isinstance(target, int | float) and not isinstance(target, bool)
    if kind in ("rate", "correlation") and number and 2.0 <= float(target or 0.0) <= 100.0:
        return "percent"
    return kind
