"""Metrics that are another metric by their definition, and are forecast as that one.

Percentages are a hundred times fractions, a perplexity is the exponential of a cross-entropy, R2
is 1 less a share of the variance, and scikit-learn's ``neg_mean_squared_error`` is a loss with its
sign turned. The forecast of the one is the forecast of the other, and keeps its bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import LossForm, metric_facts
from hf_ftrisk.goal.metric_scale import as_fractions, possible_range
from hf_ftrisk.record import RunRecord

_PERCENT = 100.0
# Cross-entropy of a guess among all tokens of the largest vocabularies, in nats: a run that ends
# above it has diverged, and its exponential is no number to show.
_UNIFORM = math.log(256_000)
_FAR = 690.0  # e to this is the end of the floating numbers, a hundredfold aside


@dataclass(frozen=True)
class Form:
    """What a metric makes of the plain one.

    Args:
        name: a hundred times a fraction (``"percent"``), or what is made of a loss.
    """

    name: LossForm | Literal["percent"]

    def plain(self, value: Any) -> Any:
        """The plain metric's values, of the same shape; a loss is never below 0."""
        if self.name == "percent":
            return value / _PERCENT
        if self.name == "exponential":
            return np.log(np.maximum(value, 1.0))
        return np.maximum(1.0 - value if self.name == "complement" else -value, 0.0)

    def back(self, values: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """Values (n,) of the metric from those of the plain one.

        Args:
            values: draws of the plain metric.
            shown: (m,) finite evaluations of the plain metric so far. No perplexity is forecast
                above all of them and a guess among all tokens.
        """
        if self.name == "percent":
            return np.asarray(_PERCENT * values)
        if self.name == "exponential":
            most = min(float(np.max(shown, initial=_UNIFORM)), _FAR)
            return np.asarray(np.exp(np.minimum(values, most)))
        return np.asarray(1.0 - values if self.name == "complement" else 0.0 - values)

    def plain_goal(self, goal: Goal) -> Goal:
        """The goal for the plain metric, under the same name."""
        if self.name == "percent":
            return as_fractions(goal)
        return Goal(goal.metric, greater_is_better=False, kind="loss")

    def plain_run(self, record: RunRecord, goal: Goal) -> RunRecord:
        """A run that reports the plain metric; itself where it reports fractions already."""
        if self.name == "percent":
            reported = record.goal_scale(goal)[0]
            return record if reported.unit == 1.0 else record.rescored(goal.metric, self.plain)
        plain = record.rescored(goal.metric, self.plain)
        selection = plain.selection
        if goal.greater_is_better and selection is not None and selection.metric == goal.metric:
            turned = replace(selection, greater_is_better=not selection.greater_is_better)
            return replace(plain, selection=turned)
        return plain


def form_of(record: RunRecord, goal: Goal) -> Form | None:
    """The form of a goal's metric; None where it is forecast as it is.

    Args:
        record: the run so far. What contradicts the definition (an R2 above 1) ends it.
        goal: the metric, on the scale of its values.
    """
    if goal.kind == "percent":
        return Form("percent")
    facts = metric_facts(goal.metric)
    if facts is None or facts.loss_form is None or facts.kind != goal.kind:
        return None
    return None if range_of(record, goal) == goal.bounds else Form(facts.loss_form)


def range_of(record: RunRecord, goal: Goal) -> tuple[float, float]:
    """`possible_range` of a goal's metric by all that a run knows of it."""
    known = [*record.curve(goal.metric)[1].tolist()]
    known += [
        values[goal.metric] for values in (record.baselines, record.final) if goal.metric in values
    ]
    return possible_range(goal, known)
