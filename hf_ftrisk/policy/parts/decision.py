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
    PartsRule,
    PreflightRules,
    decisive_part,
    wrong_parts,
)
from hf_ftrisk.policy.rule import chance
from hf_ftrisk.policy.ruling import Ruling
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent
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
    rule = _judging_rule(rules, probes[0], parts_of_probes)
    if rule is None:
        return None
    chances = [rule.prob_good(parts) for parts in parts_of_probes]
    prob = sum(chances) / len(chances)
    worst = min(range(len(probes)), key=chances.__getitem__)
    case = _Case(
        probes[worst], parts_of_probes[worst], goal, baseline, rule, prob, n_probes=len(probes)
    )
    threshold = rule.no_go(false_stop_rate)
    if prob >= rule.go:
        return _go(case) if uses_inputs(case.probe.static) else _without_inputs(case)
    if prob < threshold:
        return _no_go(case, threshold)
    return _between(case, threshold)


@dataclass(frozen=True)
class _Case:
    """What a verdict is made from.

    Args:
        probe: the probe with the lowest P(good).
        parts: what was measured on it.
        goal: what the run is judged by.
        baseline: trivial baseline of the goal's metric.
        rule: the rule that judges.
        prob: P(good), the mean over all probes.
        n_probes: how many there are.
    """

    probe: RunRecord
    parts: Parts
    goal: Goal
    baseline: float | None
    rule: PartsRule
    prob: float
    n_probes: int

    @property
    def prob_words(self) -> str:
        """P(good) with what it is the chance of."""
        words = f"{chance(self.goal, self.baseline)} = {self.prob:.3f}"
        return words if self.n_probes == 1 else f"{words}, mean over {self.n_probes} probes"

    def concern(self, part: str) -> Diagnosis:
        """What this part says against the run."""
        return finding(part, self.probe, self.goal, self.baseline)


def _judging_rule(
    rules: PreflightRules, probe: RunRecord, parts_of_probes: Sequence[Parts]
) -> PartsRule | None:
    """The rule of the run's kind of task; None where this kind cannot be judged.

    Of tasks that were not recorded only a schedule that moves nothing is judged.
    """
    rule = rules.of(probe)
    if rule is not None:
        return rule
    moves = any(parts.movement is None or parts.movement > _STILL for parts in parts_of_probes)
    return None if moves else rules.rows


def _go(case: _Case) -> Decision:
    """P(good) is high enough, and the targets depend on their inputs."""
    sound = _why_sound(case.probe, case.parts, case.goal, case.baseline)
    reason = f"Sound: {sound}. {case.prob_words}, at least the {case.rule.go:.2g} that GO needs."
    return Decision(Ruling(Verdict.GO, reason, prob_good=case.prob), None)


def _without_inputs(case: _Case) -> Decision:
    """P(good) is high enough, but the targets do not depend on their inputs."""
    concern = case.concern("signal")
    reason = (
        f"{case.prob_words}, but a GO needs targets that depend on their inputs. Main concern: "
        f"{concern.message} {concern.advice}"
    )
    return Decision(Ruling(Verdict.UNDECIDED, reason, prob_good=case.prob), concern)


def _no_go(case: _Case, threshold: float) -> Decision:
    """P(good) is below the threshold: the part that decided says why."""
    concern = case.concern(decisive_part(case.parts, case.rule))
    reason = (
        f"{concern.message} {concern.advice} {case.prob_words}, below {threshold:.2g}, which is "
        "a NO_GO."
    )
    ruling = Ruling(Verdict.NO_GO, reason, prob_good=case.prob, threshold=threshold)
    return Decision(ruling, concern)


def _between(case: _Case, threshold: float) -> Decision:
    """P(good) is between NO_GO and GO: what speaks against the run, or that it saw too little."""
    between = (
        f"{case.prob_words}, between {threshold:.2g} (below it NO_GO) and "
        f"{min(case.rule.go, 1.0):.2g} (from it GO)."
    )
    if wrong_parts(case.parts):
        concern = case.concern(decisive_part(case.parts, case.rule))
        reason = f"{between} Main concern: {concern.message} {concern.advice}"
    else:
        concern = None
        reason = (
            f"{between} Nothing measured speaks against the run, but {case.probe.last_step:.0f} of "
            f"{case.probe.max_steps} steps are too few for a GO: give a larger budget."
        )
    ruling = Ruling(Verdict.UNDECIDED, reason, prob_good=case.prob, threshold=threshold)
    return Decision(ruling, concern)


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
            f"{percent(parts.learning)} below that of a constant prediction"
        )
    if parts.separation is not None and parts.separation > _TOLD_APART:
        reasons.append(
            "its scores tell the classes of evaluation rows apart: area under the ROC curve "
            f"{0.5 + 0.5 * parts.separation:.2f}"
        )
    asked = skill_asked(goal, baseline)
    if not reasons and asked is not None:
        reasons.append(f"the goal asks for {percent(asked)} of the way from baseline to perfect")
    return "; ".join(reasons) or "the probes look like those of good runs"
