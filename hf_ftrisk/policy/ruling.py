"""What a rule says of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from hf_ftrisk.diagnoses.certain import evaluated
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_scale import unsure_scale
from hf_ftrisk.record import RunRecord
from hf_ftrisk.verdict import Verdict


@dataclass(frozen=True)
class Ruling:
    """A verdict with what it rests on.

    Args:
        verdict: GO, NO_GO or UNDECIDED.
        reason: one paragraph for a person, with the numbers.
        prob_good: forecast probability of a good outcome, None when it could not be computed.
        threshold: probability below which a run is stopped, None when the rule cannot stop yet.
        certain: the failure is certain (non-finite loss, nothing trainable, ...), not a forecast.
        forecast: the forecaster's forecast that it rests on, where one was made.
        advice: one change that what decided asks for; empty: it names none.
    """

    verdict: Verdict
    reason: str
    prob_good: float | None = None
    threshold: float | None = None
    certain: bool = False
    forecast: Forecast | None = field(default=None, compare=False)
    advice: str = ""


def held_without_value(ruling: Ruling, goal: Goal, record: RunRecord) -> Ruling:
    """The ruling, but no GO where the metric's last evaluation is NaN or infinite.

    Args:
        ruling: what a rule says.
        goal: what it says it of.
        record: the run so far.
    """
    steps, values = evaluated(record, goal.metric)
    if ruling.verdict is not Verdict.GO or not values.size or math.isfinite(values[-1]):
        return ruling
    reason = (
        f"{goal.metric} is {values[-1]:g} at step {int(steps[-1])}, its last evaluation: no run is "
        "called good before it has a value again."
    )
    return replace(ruling, verdict=Verdict.UNDECIDED, reason=reason)


def held_if_unsure(ruling: Ruling, goal: Goal, values: Iterable[float]) -> Ruling:
    """The ruling, but no forecast failure where the goal's target may be on another scale.

    Args:
        ruling: what a rule says.
        goal: what it says it of, on the scale of its values.
        values: all values of the metric so far.
    """
    if ruling.verdict is not Verdict.NO_GO or ruling.certain:
        return ruling
    why = unsure_scale(goal, values)
    return ruling if why is None else replace(ruling, verdict=Verdict.UNDECIDED, reason=why)
