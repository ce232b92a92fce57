"""Which runs a rule is calibrated on, when nobody says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hf_ftrisk.forecast.distribution import Predictor
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.packaged import reference_rule
from hf_ftrisk.policy.rule import StoppingRule
from hf_ftrisk.record import RunRecord


def default_rule(
    goal: Goal,
    forecaster: Predictor,
    history: Iterable[RunRecord] | None = None,
    false_stop_rate: float = 0.05,
) -> StoppingRule:
    """The rule calibrated on the history, or else on packaged runs of other tasks.

    With enough good runs of the same task in the history the guarantee is exact. Without them the
    packaged runs are used where their false stops, measured on data sets left out, stay within
    the allowed rate (`policy.reference_rule`); the rule's `source` says so. They were forecast
    without a history, and so is the new run for this: a few known runs, all of them poor, would
    make a good one look lost. Where packaged runs do not do, the rule cannot stop yet, and says
    how many runs are missing.

    A `Forecaster` is taken to have been built from the history: the calibration runs are then
    forecast by cross-fitting. Any other forecaster is used as it is, and must not have been
    fitted on the history; packaged runs say nothing about it.

    Args:
        goal: what a run is judged by.
        forecaster: predicts the end of new runs.
        history: completed runs of the same task.
        false_stop_rate: allowed chance that a good run is stopped.
    """
    if not isinstance(forecaster, Forecaster):
        return StoppingRule.from_runs(history or (), goal, forecaster, false_stop_rate)
    rule = StoppingRule.from_runs(
        history or (), goal, forecaster, false_stop_rate, fit=forecaster.refit
    )
    if rule.can_stop:
        return rule
    packaged = reference_rule(goal, forecaster, false_stop_rate)
    if packaged is None or not forecaster.history:
        return packaged or rule
    return replace(packaged, judged_by=forecaster.refit(()))
