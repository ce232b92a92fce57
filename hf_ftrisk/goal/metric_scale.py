"""On which scale a goal's metric is really reported: the kind follows from name *and* values.

A name says what range a metric usually has. Programs report fractions in percent, losses below 0
and errors above 1 all the same, and people write a target of 0.8 for an accuracy that is logged as
57.3. Everyone who compares values with a goal (forecast, policy, watch, replay, pre-flight, card)
asks here first, with all values seen so far, and tells the note once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hf_ftrisk.goal.goal import Goal
from hf_ftrisk.goal.metric_names import (
    MAX_ERRORS_PER_WORD,
    LossForm,
    MetricKind,
    metric_facts,
    metric_kind,
)

# Rounding, as a share of the scale's end: a fraction of 1.00001 is one. And of a loss of 0.
_ROUNDING = 1e-4
_ROUNDING_OF_ZERO = 1e-6
# A target in percent and values between this and 1: those are fractions. Below, a first value in
# percent may lie there too.
_MIN_FRACTION = 0.02
# So many values of at most 1 are fractions: few runs that reach a percentage begin so slowly.
_MIN_FRACTIONS = 3
# A trivial predictor of this size in percent leaves no room for values of at most 1 in percent.
_MIN_TRIVIAL_PERCENT = 10.0
# Percentages have at least one value of this size; less than that above 1 is no fraction either.
_MIN_PERCENT = 2.0
# Range of what is made of a loss of 0 or more.
_FORM_RANGES: dict[LossForm, tuple[float, float]] = {
    "exponential": (1.0, math.inf),
    "complement": (-math.inf, 1.0),
    "negative": (-math.inf, 0.0),
}
# Errors per word all below this are no percentages, where the target is one.
_MAX_FRACTION = 1.5


@dataclass(frozen=True)
class _Seen:
    """Least and greatest value so far, and how many are no smaller than a fraction mostly is."""

    low: float
    high: float
    fractions: int

    def within(self, low: float, high: float) -> bool:
        """Whether both lie in [low, high], rounding aside."""
        slack = _ROUNDING * high if math.isfinite(high) else _ROUNDING_OF_ZERO
        return low - slack <= self.low and self.high <= high + slack


def goal_for_values(
    goal: Goal,
    values: Iterable[float],
    *,
    others: Mapping[str, Iterable[float]] | None = None,
    trivial: float | None = None,
) -> tuple[Goal, str | None]:
    """The goal on the scale on which its metric is reported.

    - Fractions (rates, correlations) with a value of 2 or more and none above 100 are in percent; a
      target of at most 1 is then one of a fraction, and is multiplied by 100. A kind that was
      asked for is kept as long as it can hold the values.
    - A target of 2 or more makes a fraction one in percent before anything is seen; where the
      values turn out to be fractions, the target is divided by 100. One value of at most 1 shows
      that for a share of errors, and for a share of right answers that no model begins near 0
      (accuracy), unless it would meet the target at once. An F1 may begin below 1 %: three
      values, none above 1, are fractions. Overlaps of text (BLEU, ROUGE) stay in percent. What
      is not told is in percent, and `unsure_scale`.
    - Values that no scale of fractions holds, and losses below 0, make the metric a ``"real"``
      one; errors above 100 that are not below 0 a ``"loss"``.

    Args:
        goal: as it was asked for. Asking again with the goal that was returned changes nothing
            until values appear that it cannot hold.
        values: all values of the metric so far; those that are not finite say nothing.
        others: the run's other metrics -> their values. One that is in percent shows that the
            goal's is, where its target says so too.
        trivial: what a trivial predictor reaches, on the scale of `goal`.

    Returns:
        The goal, the same object when nothing changes, and what has changed in one sentence; None
        when nothing has.
    """
    finite = np.asarray(list(values), dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return goal, None
    large = int((np.abs(finite) >= _MIN_FRACTION).sum())
    span = _Seen(float(finite.min()), float(finite.max()), large)
    kind = _kind(goal, span, fractions=_fractions_after_all(goal, span, others or {}, trivial))
    factor = _factor(goal, kind, span)
    if kind == goal.kind and factor == 1.0:
        return goal, None
    fitted = Goal(
        goal.metric,
        target=None if goal.target is None else goal.target * factor,
        greater_is_better=goal.greater_is_better,
        kind=kind,
        tolerance=_tolerance(goal, kind, factor),
    )
    return fitted, _note(goal, fitted, span)


def unsure_scale(goal: Goal, values: Iterable[float]) -> str | None:
    """Why a goal's target may be on another scale than the values so far; None: it is not.

    An F1 or an overlap of generated text of 0.3 is usual at the beginning in percent, and a good
    end as a fraction. No run may be called poor for it.

    Args:
        goal: on the scale of its values (`goal_for_values`).
        values: all values of the metric so far.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite or not _only_the_target_is_percent(goal):
        return None
    if not _MIN_FRACTION <= max(finite) <= 1.0:
        return None
    return (
        f"{goal.metric} is {max(finite):.4g} at most, read as percent because the target is "
        f"{goal.target:g}. If it is reported as a fraction, give the target as one, such as "
        f"{(goal.target or 0.0) / goal.unit:g}."
    )


def possible_range(goal: Goal, values: Iterable[float] = ()) -> tuple[float, float]:
    """Range (low, high) in which a goal's metric can end, by its kind and by what its name says.

    A perplexity is at least 1 and R2 at most 1; shares and correlations on no known scale are
    within 100 of 0. Where a value or the target lies beyond what the name says, the kind alone
    counts.

    Args:
        goal: on the scale of its values (`goal_for_values`).
        values: all values of the metric so far; those that are not finite say nothing.

    Examples:
        >>> possible_range(Goal("r2")), possible_range(Goal("r2"), [1.4])
        ((-inf, 1.0), (-inf, inf))
    """
    facts = metric_facts(goal.metric)
    if facts is None:
        return goal.bounds
    known = [*values, *(() if goal.target is None else (goal.target,))]
    known = [value for value in known if math.isfinite(value)]
    if facts.loss_form is not None and facts.kind == goal.kind:
        low, high = _FORM_RANGES[facts.loss_form]
    elif goal.kind == "real" and facts.kind in ("rate", "percent", "correlation"):
        above_zero = facts.kind != "correlation" and min(known, default=0.0) >= 0.0
        low, high = 0.0 if above_zero else -100.0, 100.0
    else:
        return goal.bounds
    named = all(low - _ROUNDING <= value <= high + _ROUNDING for value in known)
    return (low, high) if named else goal.bounds


def rescaled(value: float, before: Goal, after: Goal) -> float:
    """A value known on one goal's scale (a majority rate), on the other's."""
    return value * after.unit / before.unit


def as_fractions(goal: Goal) -> Goal:
    """A goal in percent as the same goal of fractions; any other goal itself."""
    if goal.kind != "percent":
        return goal
    return replace(
        goal,
        kind="rate",
        kind_inferred=False,
        target=None if goal.target is None else goal.target / goal.unit,
        tolerance=None if goal.tolerance is None else goal.tolerance / goal.unit,
    )


def _kind(goal: Goal, seen: _Seen, *, fractions: bool) -> MetricKind:
    """Kind that holds the values, the goal's own where it does."""
    kind = metric_kind(goal.metric) if fractions else goal.kind
    assert kind is not None
    if fractions:
        return kind
    low, high = goal.bounds
    if seen.within(low, high):
        return kind
    if kind in ("rate", "correlation") and seen.within(0.0, 100.0):
        facts = metric_facts(goal.metric)
        # An F1 of 1.4 is the first of a run in percent; an accuracy is not.
        may_begin = facts is not None and facts.greater_is_better and not facts.chance_level
        if may_begin or seen.high >= _MIN_PERCENT:
            return "percent"
    return "real" if seen.low < 0 or goal.greater_is_better else "loss"


def _fractions_after_all(
    goal: Goal, seen: _Seen, others: Mapping[str, Iterable[float]], trivial: float | None
) -> bool:
    """Whether only the target spoke of percent, and the values are fractions."""
    facts = metric_facts(goal.metric)
    if not _only_the_target_is_percent(goal) or facts is None or facts.begins_near_zero:
        return False
    lowest = -1.0 if facts.kind == "correlation" else 0.0
    if not seen.within(lowest, 1.0) or not seen.fractions:
        return False
    if any(_in_percent(name, values) for name, values in others.items()):
        return False
    if seen.fractions >= _MIN_FRACTIONS or seen.low < 0 or not facts.greater_is_better:
        return True
    if not facts.chance_level:
        return False
    below_target = goal.target is not None and goal.unit * seen.high < goal.target
    return below_target or (trivial is not None and trivial >= _MIN_TRIVIAL_PERCENT)


def _in_percent(metric: str, values: Iterable[float]) -> bool:
    """Whether another metric of a run shows that its shares of right answers are in percent."""
    facts = metric_facts(metric)
    if facts is None or facts.kind != "rate" or facts.begins_near_zero:
        return False
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) >= 0.0 and _MIN_PERCENT <= max(finite) <= 100.0


def _only_the_target_is_percent(goal: Goal) -> bool:
    """Whether nothing but the size of its target makes a metric one in percent."""
    return goal.kind == "percent" and goal.kind_inferred and metric_kind(goal.metric) != "percent"


def _factor(goal: Goal, kind: MetricKind, seen: _Seen) -> float:
    """What the target has to be multiplied by."""
    if goal.target is None:
        return 1.0
    if kind in ("rate", "correlation") and goal.kind == "percent":
        return 0.01
    fraction = abs(goal.target) <= 1.0
    if goal.kind in ("rate", "correlation") and seen.within(-100.0, 100.0) and fraction:
        large = kind == "real" and seen.high >= _MIN_PERCENT
        return 100.0 if kind == "percent" or large else 1.0
    facts = metric_facts(goal.metric)
    if kind != "loss" or not goal.kind_inferred or facts is None or facts.mostly_below is None:
        return 1.0
    if fraction and seen.high > MAX_ERRORS_PER_WORD:
        return 100.0
    fractions = 0.0 < seen.high <= _MAX_FRACTION
    return 0.01 if goal.target > MAX_ERRORS_PER_WORD and fractions else 1.0


def _tolerance(goal: Goal, kind: MetricKind, factor: float) -> float | None:
    """A tolerance that was asked for on the new scale; None: the new kind's own."""
    usual = Goal(goal.metric, greater_is_better=goal.greater_is_better, kind=goal.kind).tolerance
    if goal.tolerance is None or goal.tolerance == usual:
        return None
    if kind == "percent":
        return goal.tolerance * 100.0 if goal.tolerance <= 1.0 else goal.tolerance
    return goal.tolerance * factor


def _note(goal: Goal, fitted: Goal, seen: _Seen) -> str:
    extreme = seen.low if seen.low < 0 else seen.high
    if fitted.kind == "percent":
        text = f"{goal.metric} is reported in percent ({extreme:.4g})"
    elif fitted.kind in (goal.kind, "rate", "correlation"):
        scale = "in percent" if fitted.target and fitted.target > (goal.target or 0.0) else ""
        text = f"{goal.metric} is reported {scale or 'as a fraction'} ({extreme:.4g})"
    else:
        low, high = goal.bounds
        end = "]" if math.isfinite(high) else ")"
        text = (
            f"{goal.metric} is {extreme:.4g}, outside [{low:g}, {high:g}{end}: it is taken for "
            + ("a positive number of any size" if fitted.kind == "loss" else "any real number")
        )
    if fitted.target != goal.target:
        text += f": the target of {goal.target:g} is read as {fitted.target:g}"
    return f"{text}."
