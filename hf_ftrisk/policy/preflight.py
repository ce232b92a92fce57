"""The verdict of a pre-flight: several short probes of one run, judged together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.failures import certain_failure
from hf_ftrisk.policy.stopping import GO_PROBABILITY, StoppingRule
from hf_ftrisk.policy.verdict import Ruling, Verdict
from hf_ftrisk.record import RunRecord


def judge_preflight(
    forecasts: Sequence[Forecast],
    probes: Sequence[RunRecord],
    goal: Goal,
    *,
    rule: StoppingRule,
    baseline: float | None,
) -> Ruling:
    """Verdict on a run that was probed with several seeds.

    The full run's seed is one more draw, so its P(good) is the mean over the probes; a probe that
    failed for certain counts as 0.

    Args:
        forecasts: forecasts of the full run's end, one for each probe that did not fail.
        probes: trajectories of the probes, (n_seeds,).
        goal: what the run is judged by.
        rule: supplies the floor below which a run counts as poor.
        baseline: trivial baseline of the goal's metric.

    Returns:
        NO_GO when every probe failed for certain, or the mean P(good) is below the rule's floor;
        GO when it reaches `GO_PROBABILITY`; UNDECIDED otherwise.

    Raises:
        ValueError: neither a forecast nor a probe to judge by.
    """
    if not forecasts and not probes:
        raise ValueError("a pre-flight is judged by its probes: got no forecast and no probe")
    failures = [failure for probe in probes if (failure := certain_failure(probe)) is not None]
    if failures and len(failures) == len(probes):
        return Ruling(
            Verdict.NO_GO,
            f"{len(failures)} of {len(probes)} probes failed for certain: {failures[0].message}",
            floor=rule.floor,
            certain=True,
        )
    threshold = goal.threshold(baseline)
    if threshold is None:
        return Ruling(
            Verdict.UNDECIDED,
            f"{goal.metric} has neither a target nor a known trivial baseline: no end can be "
            "called poor. Give the goal a target.",
            floor=rule.floor,
        )
    if not forecasts:
        return Ruling(Verdict.UNDECIDED, "No probe gave a forecast.", floor=rule.floor)
    probs = [forecast.prob_meets(goal, baseline) for forecast in forecasts]
    probs += [0.0] * max(0, min(len(failures), len(probes) - len(forecasts)))
    mean = float(np.mean(probs))
    sign = ">=" if goal.greater_is_better else "<="
    said = (
        f"P({goal.metric} {sign} {threshold:.4g}) = {mean:.3f}, mean of {len(probs)} probes "
        f"({min(probs):.3f} to {max(probs):.3f})"
    )
    if failures:
        said += f"; {len(failures)} of {len(probes)} probes failed: {failures[0].message[:-1]}"
    if rule.floor is not None and mean < rule.floor:
        held = f"below the floor of {rule.floor:.3f} ({rule.source})"
        return Ruling(Verdict.NO_GO, f"{said}; {held}.", prob_good=mean, floor=rule.floor)
    if mean >= GO_PROBABILITY:
        held = f"at least the {GO_PROBABILITY:.2f} that a GO asks for"
        return Ruling(Verdict.GO, f"{said}; {held}.", prob_good=mean, floor=rule.floor)
    if rule.floor is None:
        held = (
            f"below the {GO_PROBABILITY:.2f} that a GO asks for, and {rule.missing_runs} more good "
            f"completed runs are needed before a NO_GO can be given at false_stop_rate "
            f"{rule.false_stop_rate:g}"
        )
    else:
        held = f"between the floor of {rule.floor:.3f} and the {GO_PROBABILITY:.2f} of a GO"
    return Ruling(Verdict.UNDECIDED, f"{said}; {held}.", prob_good=mean, floor=rule.floor)
