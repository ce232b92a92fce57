"""Verdict of a pre-flight from the parts of its probes, by the calibrated rule. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hf_ftrisk.forecast.distribution import Predictor
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.parts.findings import finding
from hf_ftrisk.policy.parts.parts import Parts, read_parts, skill_asked, uses_inputs
from hf_ftrisk.policy.parts.rule import (
    MIN_PARTS,
    PreflightRules,
    decisive_part,
    wrong_parts,
)
from hf_ftrisk.policy.rule import chance
from hf_ftrisk.policy.ruling import Ruling
from hf_ftrisk.record import RunRecord
from hf_ftrisk.verdict import Diagnosis, Verdict

# Movement of a schedule that brings less than a three-hundredth of the fall that is needed.
_STILL = -4.99
# Separation that is worth a word in favor of a run.
_TOLD_APART = 0.2


@dataclass(frozen=True)
class Decision:
    """The verdict, and what decided it.

    Args:
        ruling: the verdict with its reason.
        finding: what speaks against the run most, with one change; None where nothing does.
        by_parts: whether the ruling is the calibrated rule's, and its P(good) with it.
    """

    ruling: Ruling
    finding: Diagnosis | None
    by_parts: bool = True


def decide(
    probes: Sequence[RunRecord],
    goal: Goal,
    baseline: float | None,
    rules: PreflightRules,
    false_stop_rate: float = 0.05,
    forecaster: Predictor | None = None,
) -> Decision | None:
    """Verdict on a run that was probed with one seed or several; None where too little is known.

    The full run's seed is one more draw: P(good) is the mean over the probes.

    Args:
        probes: (n_seeds,) trajectories with their evaluations and static signals.
        goal: what the run is judged by.
        baseline: trivial baseline of the goal's metric.
        rules: the calibrated rules, by kind of task.
        false_stop_rate: share of good runs that NO_GO is allowed to meet, in (0, 1).
        forecaster: forecasts the full run's outcome from a probe, as the rule's pairs were
            forecast: without completed runs of the task. None: that part is not measured.

    Raises:
        ValueError: no probe.
    """
    if not probes:
        raise ValueError("a pre-flight is judged by its probes: expected at least one, got none")
    parts_of_probes = [
        read_parts(
            probe, goal, baseline, None if forecaster is None else forecaster.predict(probe, goal)
        )
        for probe in probes
    ]
    if min(parts.measured for parts in parts_of_probes) < MIN_PARTS:
        return None
    # Of tasks that were not recorded only a schedule that moves nothing is judged.
    moves = any(parts.movement is None or parts.movement > _STILL for parts in parts_of_probes)
    rule = rules.of(probes[0])
    if rule is None:
        if moves:
            return None
        rule = rules.rows
    chances = [rule.prob_good(parts) for parts in parts_of_probes]
    prob = sum(chances) / len(chances)
    worst = min(range(len(probes)), key=chances.__getitem__)
    probe, parts = probes[worst], parts_of_probes[worst]
    prob_words = f"{chance(goal, baseline)} = {prob:.3f}"
    if len(probes) > 1:
        prob_words += f", mean over {len(probes)} probes"
    if prob >= rule.go and not uses_inputs(probe.static):
        concern = finding("signal", probe, goal, baseline)
        reason = (
            f"{prob_words}, but a GO needs targets that depend on their inputs. Main concern: "
            f"{concern.message} {concern.advice}"
        )
        return Decision(Ruling(Verdict.UNDECIDED, reason, prob_good=prob), concern)
    if prob >= rule.go:
        reason = (
            f"Sound: {_why_sound(probe, parts, goal, baseline)}. {prob_words}, at least the "
            f"{rule.go:.2g} that GO needs."
        )
        return Decision(Ruling(Verdict.GO, reason, prob_good=prob), None)
    threshold = rule.no_go(false_stop_rate)
    between = (
        f"{prob_words}, between {threshold:.2g} (below it NO_GO) and {min(rule.go, 1.0):.2g} "
        "(from it GO)."
    )
    if prob >= threshold and not wrong_parts(parts):
        reason = (
            f"{between} Nothing measured speaks against the run, but {probe.last_step:.0f} of "
            f"{probe.max_steps} steps are too few for a GO: give a larger budget."
        )
        ruling = Ruling(Verdict.UNDECIDED, reason, prob_good=prob, threshold=threshold)
        return Decision(ruling, None)
    concern = finding(decisive_part(parts, rule), probe, goal, baseline)
    complaint = f"{concern.message} {concern.advice}"
    if prob < threshold:
        verdict = Verdict.NO_GO
        reason = f"{complaint} {prob_words}, below {threshold:.2g}, which is a NO_GO."
    else:
        verdict, reason = Verdict.UNDECIDED, f"{between} Main concern: {complaint}"
    return Decision(Ruling(verdict, reason, prob_good=prob, threshold=threshold), concern)


def stands(ruling: Ruling, static: Mapping[str, float]) -> bool:
    """Whether a verdict by completed runs of the task holds for a run with these signals.

    Those runs had targets that depend on their inputs: no GO by them where this run's do not.
    """
    return ruling.verdict is not Verdict.GO or uses_inputs(static)


def _why_sound(probe: RunRecord, parts: Parts, goal: Goal, baseline: float | None) -> str:
    """What was seen in its favor, as far as it was measured."""
    static, reasons = probe.static, []
    if "signal_score" in static:
        reasons.append(
            f"a linear probe of the frozen model scores {static['signal_score']:.3f} where "
            f"shuffled labels give {static['signal_shuffled']:.3f}"
        )
    elif "input_gain" in static:
        reasons.append(
            f"the loss of a target is {static['input_gain']:.2g} nats a token lower after its own "
            "input than after another row's"
        )
    if "schedule_gain" in static:
        reasons.append(
            "the planned learning rates can lower the loss by about "
            f"{static['schedule_gain']:.2g} (first-order estimate)"
        )
    losses = probe.train_curve()[1]
    if losses.size and parts.learning is not None:
        reasons.append(
            f"after {probe.last_step:.0f} steps the loss is {float(losses[-3:].mean()):.3g}, "
            f"{parts.learning:.0%} below that of a constant prediction"
        )
    if parts.separation is not None and parts.separation > _TOLD_APART:
        reasons.append(
            "its scores tell the classes of evaluation rows apart: area under the ROC curve "
            f"{0.5 + 0.5 * parts.separation:.2f}"
        )
    asked = skill_asked(goal, baseline)
    if not reasons and asked is not None:
        reasons.append(f"the goal asks for {asked:.0%} of the way from baseline to perfect")
    return "; ".join(reasons) or "the probes look like those of good runs"
