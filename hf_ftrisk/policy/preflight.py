"""The verdict of a pre-flight: several short probes of one run, judged together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_ftrisk.diagnoses.certain import certain_failure
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.calibration import MIN_PROB
from hf_ftrisk.policy.protocol import Rule
from hf_ftrisk.policy.rule import (
    GO_PROBABILITY,
    POOR_PROBABILITY,
    StoppingRule,
    chance,
    why_not_judged,
)
from hf_ftrisk.policy.ruling import Ruling
from hf_ftrisk.record import RunRecord
from hf_ftrisk.verdict import Diagnosis, Verdict

# A mean of equal numbers may come out a little smaller than they are.
_ROUNDING = 1e-9


def judge_preflight(
    forecasts: Sequence[Forecast],
    probes: Sequence[RunRecord],
    goal: Goal,
    *,
    rule: Rule,
    baseline: float | None,
) -> Ruling:
    """Verdict on a run that was probed with several seeds.

    The full run's seed is one more draw, so its P(good) is the mean over the probes; a probe that
    failed for certain and has no forecast counts as 0.

    Args:
        forecasts: forecasts of the full run's end, one for each probe that has one.
        probes: trajectories of the probes, (n_seeds,).
        goal: what the run is judged by.
        rule: says which run is poor: a `StoppingRule` by the threshold under its mean P(good), any
            other where it would end every probe.
        baseline: trivial baseline of the goal's metric.

    Returns:
        NO_GO when every probe failed for certain, or the mean P(good) is below the rule's
        threshold; GO when it reaches `GO_PROBABILITY`; UNDECIDED otherwise.

    Raises:
        ValueError: no probe to judge by.
    """
    if not probes:
        raise ValueError(
            "a pre-flight is judged by its probes: expected at least one, got none, and "
            f"{len(forecasts)} forecasts"
        )
    failures = [
        failure for probe in probes if (failure := certain_failure(probe, goal)) is not None
    ]
    if failures and len(failures) == len(probes):
        reason = f"{len(failures)} of {len(probes)} probes failed: {failures[0].message}"
        return Ruling(Verdict.NO_GO, reason, certain=True)
    if goal.threshold(baseline) is None:
        return Ruling(Verdict.UNDECIDED, why_not_judged(goal))
    if not forecasts:
        return Ruling(Verdict.UNDECIDED, "No probe gave a forecast.")
    probs = [forecast.prob_meets(goal, baseline) for forecast in forecasts]
    probs += [0.0] * min(len(failures), max(0, len(probes) - len(forecasts)))
    probes = [probe.with_baseline(goal, baseline) for probe in probes]
    if not isinstance(rule, StoppingRule):
        return _by_every_probe(probs, probes, rule)
    apart = None if rule.judged_by is None else _judged_apart(rule, probes, goal, baseline)
    return _ruling(probs, apart, failures, probes, rule, chance(goal, baseline))


def _by_every_probe(probs: Sequence[float], probes: Sequence[RunRecord], rule: Rule) -> Ruling:
    """Ruling by a rule of another kind: NO_GO where it would end every probe."""
    rulings = [rule.judge(probe) for probe in probes]
    mean = float(np.mean(probs))
    if all(ruling.verdict is Verdict.NO_GO for ruling in rulings):
        verdict = Verdict.NO_GO
    else:
        verdict = Verdict.GO if mean >= GO_PROBABILITY - _ROUNDING else Verdict.UNDECIDED
    poor = sum(ruling.verdict is Verdict.NO_GO for ruling in rulings)
    event = chance(rule.goal, probes[0].baseline(rule.goal))
    reason = (
        f"{event} = {_mean_words(probs)}; the rule would end {poor} of {len(rulings)} probes. "
        f"{rulings[0].reason}"
    )
    return Ruling(verdict, reason, prob_good=mean)


def _mean_words(probs: Sequence[float]) -> str:
    """The mean P(good), and its range where there are several probes."""
    mean = f"{float(np.mean(probs)):.3f}"
    if len(probs) == 1:
        return f"{mean} from one probe"
    return f"{mean}, mean over {len(probs)} probes (from {min(probs):.3f} to {max(probs):.3f})"


def _judged_apart(
    rule: StoppingRule, probes: Sequence[RunRecord], goal: Goal, baseline: float | None
) -> float:
    """Mean over the probes of the P(good) that the rule holds against its threshold."""
    probs = [0.0] * len(probes)
    for index, probe in enumerate(probes):
        if certain_failure(probe, goal) is None:
            probs[index] = rule.judged_forecast(probe).prob_meets(goal, baseline)
    return float(np.mean(probs))


def _ruling(
    probs: Sequence[float],
    apart: float | None,
    failures: Sequence[Diagnosis],
    probes: Sequence[RunRecord],
    rule: StoppingRule,
    event: str,
) -> Ruling:
    # One probe that the rule cannot judge is enough.
    judged_probe = next((probe for probe in probes if rule.threshold(probe) is None), probes[0])
    mean, threshold = float(np.mean(probs)), rule.threshold(judged_probe)
    prob_words = f"{event} = {_mean_words(probs)}"
    if apart is not None:
        prob_words += f", and {apart:.3f} if the history is left out"
    if failures:
        prob_words += (
            f"; {len(failures)} of {len(probes)} probes failed: {failures[0].message[:-1]}"
        )
    score = max(mean if apart is None else apart, MIN_PROB)
    if threshold is not None and score < threshold - _ROUNDING and mean < POOR_PROBABILITY:
        verdict = Verdict.NO_GO
        comparison = f"below the threshold of {threshold:.2g} ({rule.source})"
    elif mean >= GO_PROBABILITY - _ROUNDING:
        verdict = Verdict.GO
        comparison = f"at least the {GO_PROBABILITY:g} that GO needs"
    else:
        verdict = Verdict.UNDECIDED
        comparison = f"below the {GO_PROBABILITY:g} that GO needs, and "
        comparison += (
            rule.cannot_stop(judged_probe)
            if threshold is None
            else f"not below the stopping threshold of {threshold:.2g}"
        )
    return Ruling(verdict, f"{prob_words}; {comparison}.", prob_good=mean, threshold=threshold)
