"""The forecast as a function of the budget: the same run over fewer or more steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hf_ftrisk.diagnoses.evidence import Evidence
from hf_ftrisk.forecast.distribution import Forecast, Predictor
from hf_ftrisk.forecast.schedule import planned_schedule
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.columns import schedule_steps
from hf_ftrisk.verdict import Diagnosis

# Before this share of the run nearly every good one is still improving.
MIN_PROGRESS = 0.5
MIN_EVALS = 4
# What counts as a gain where the goal has no tolerance: a share of the value, and for a loss never
# less than so many nats.
_RELATIVE_GAIN = 0.05
_LOSS_GAIN = 0.01
# Share of that gain which the last third of the evaluations must have brought already.
_LATE_SHARE = 0.25
# P(good) from which more steps are a choice, not a need.
_WELL = 0.8


def at_budget(record: RunRecord, factor: float) -> RunRecord:
    """The run as if planned over `factor` times the steps, as far as it would have come by now.

    The schedule keeps its shape and is stretched with the plan; what is recorded stays at its
    steps, and what lies beyond a shorter plan is cut off.

    Raises:
        ValueError: a factor not above 0.
    """
    if not factor > 0:
        raise ValueError(f"the budget's factor must be above 0, got {factor!r}")
    steps = max(1, round(record.max_steps * factor))
    planned = planned_schedule(record)
    n_rates = schedule_steps(steps).size
    places = (np.arange(n_rates) + 0.5) * (planned.size / n_rates) - 0.5
    return replace(
        record.prefix(min(steps, record.last_step)),
        max_steps=steps,
        schedule=np.interp(places, np.arange(planned.size), planned),
        status="running",
        final={},
    )


@dataclass(frozen=True)
class Budgets:
    """Forecasts of one run at half, the planned and twice the steps."""

    half: Forecast
    planned: Forecast
    twice: Forecast

    @classmethod
    def of(cls, record: RunRecord, goal: Goal, forecaster: Predictor) -> Budgets:
        """Forecasts from what is recorded so far."""
        half, planned, twice = (
            forecaster.predict(at_budget(record, factor), goal) for factor in (0.5, 1.0, 2.0)
        )
        return cls(half, planned, twice)


def too_few_steps(evidence: Evidence) -> Diagnosis | None:
    """The metric is still improving, and twice the steps are forecast to gain more than noise."""
    record, goal, forecaster = evidence.record, evidence.goal, evidence.forecaster
    if forecaster is None:
        return None
    _, values = record.trained(goal.metric)
    values = values if goal.greater_is_better else -values
    if values.size < MIN_EVALS or record.progress < MIN_PROGRESS:
        return None
    least = _LOSS_GAIN if goal.kind == "loss" else 0.0
    needed = goal.tolerance or max(_RELATIVE_GAIN * abs(float(values[-1])), least)
    late = max(values.size // 3, 2)
    gained = values[-late:].max() - values[:-late].max()
    if gained < _LATE_SHARE * needed or values[-1] < values[-late:].mean():
        return None
    budgets = Budgets.of(record, goal, forecaster)
    half, planned, twice = budgets.half.median, budgets.planned.median, budgets.twice.median
    sign = 1.0 if goal.greater_is_better else -1.0
    if sign * (twice - planned) < needed or sign * (planned - half) <= 0:
        return None
    baseline = record.baseline(goal)
    has_threshold = goal.threshold(baseline) is not None
    numbers = {"half": half, "planned": planned, "twice": twice}
    chances = ""
    if has_threshold:
        p_planned = budgets.planned.prob_meets(goal, baseline)
        p_twice = budgets.twice.prob_meets(goal, baseline)
        numbers |= {"prob_good_planned": p_planned, "prob_good_twice": p_twice}
        chances = f" P(good) is {p_planned:.2f} as planned, {p_twice:.2f} with twice the steps."
    well = has_threshold and numbers["prob_good_planned"] >= _WELL
    return Diagnosis(
        name="too_few_steps",
        message=f"{goal.metric} is still improving. Its final value is forecast as {half:.4g} with "
        f"half the steps, {planned:.4g} with the planned {record.max_steps}, {twice:.4g} with "
        f"twice as many.{chances}",
        advice=f"Plan {2 * record.max_steps} steps (twice the epochs), the learning-rate schedule "
        "stretched over all of them.",
        severity="info" if well else "warning",
        evidence=numbers,
    )
