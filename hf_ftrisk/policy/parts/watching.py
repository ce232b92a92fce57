"""Judging a run that trains by its parts, where the untrained model's signals are known. No torch.

A forecast from the first evaluations alone tells few poor runs from good ones; with what a
pre-flight measured of the untrained model most are told by a fifth of the run
(docs/evidence/policy.md). Later the trajectory says more, and the forecast judges.
"""

from __future__ import annotations

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.grid import FIRST_SHARE, first_evaluation
from hf_ftrisk.policy.parts.findings import finding
from hf_ftrisk.policy.parts.parts import read_parts
from hf_ftrisk.policy.parts.rule import (
    MIN_PARTS,
    PartsRule,
    decisive_part,
    is_like_recorded,
    wrong_parts,
)
from hf_ftrisk.policy.ruling import Ruling
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent
from hf_ftrisk.verdict import Diagnosis, Verdict

# Share of the run up to which the parts judge it (chosen in docs/evidence/policy.md).
LAST_SHARE = 0.2
# The signals come from a pre-flight, which could have refused a good run already: the allowed rate
# is for both together, and half of it is left here.
CAUTION = 2.0


def judges(record: RunRecord, goal: Goal) -> bool:
    """Whether runs like this one were recorded, by what is known before its first step.

    Those were judged by accuracies: nothing is said of a loss.
    """
    return bool(goal.greater_is_better) and goal.kind != "loss" and is_like_recorded(record)


def rule_by_parts(
    record: RunRecord, goal: Goal, forecast: Forecast, rule: PartsRule, rate: float, *, chance: str
) -> Ruling | None:
    """Ruling on a run at this look; None where the parts do not judge it.

    Args:
        record: the run so far, with the untrained model's signals in its ``static``.
        goal: what the run is judged by.
        forecast: of its outcome, without completed runs of the task.
        rule: the calibrated rule.
        rate: allowed share of good runs that pre-flight and looks stop, in (0, 1).
        chance: P(good) in words.
    """
    if not FIRST_SHARE <= record.progress <= LAST_SHARE or not judges(record, goal):
        return None
    baseline = record.baseline(goal)
    parts = read_parts(record, goal, baseline, forecast)
    if first_evaluation(record, goal.metric) is None or parts.measured < MIN_PARTS:
        return None
    prob, threshold = rule.prob_good(parts), rule.no_go(rate / CAUTION)
    adjusted = forecast.with_chance(goal, baseline, prob)
    low, high = adjusted.interval(0.9)
    reason = (
        f"{chance} = {prob:.3f} at step {forecast.step}, by the untrained model's signals and the "
        f"training so far; forecast {adjusted.point:.4g} (90 %: {low:.4g} to {high:.4g})"
    )
    if prob >= threshold:
        reason += f"; not below the threshold of {threshold:.2g}."
        return Ruling(
            Verdict.UNDECIDED, reason, prob_good=prob, threshold=threshold, forecast=adjusted
        )
    against = finding(decisive_part(parts, rule), record, goal, baseline)
    reason += (
        f"; below {threshold:.2g}, under which at most {percent(rate / CAUTION, '.2g')} of good "
        f"runs ever fall ({rule.runs} recorded runs of {rule.data_sets} other data sets). "
        f"{against.message}"
    )
    return Ruling(
        Verdict.NO_GO,
        reason,
        prob_good=prob,
        threshold=threshold,
        forecast=adjusted,
        advice=against.advice,
    )


def concern(record: RunRecord, goal: Goal, rule: PartsRule) -> Diagnosis | None:
    """What the untrained model's signals and the training so far say against a run by themselves.

    Args:
        record: the run so far, with the untrained model's signals in its ``static``.
        goal: what the run is judged by.
        rule: tells which part weighs most, where several are wrong.

    Returns:
        None where nothing is wrong by itself, or runs like this one were not recorded.
    """
    if not is_like_recorded(record):
        return None
    baseline = record.baseline(goal)
    parts = read_parts(record, goal, baseline)
    if not wrong_parts(parts):
        return None
    return finding(decisive_part(parts, rule), record, goal, baseline)
