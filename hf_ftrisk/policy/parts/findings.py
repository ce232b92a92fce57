"""What decides a pre-flight's verdict, in words: the part, its numbers, one change. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hf_ftrisk.diagnoses.rates import peak_rate
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.parts.parts import (
    needed_fall,
    probe_log_odds,
    probe_skill,
    skill_asked,
    step_gain,
    trivial_loss,
)
from hf_ftrisk.record import RunRecord
from hf_ftrisk.signals.ordering import ORDERING
from hf_ftrisk.text import percent
from hf_ftrisk.verdict import Diagnosis

# The rates that are suggested bring, to first order, once to ten times the fall that is needed:
# most sound recordings lie there.
_MIN_GAIN, _MAX_GAIN = 1.0, 10.0
NO_SIGNAL = "no_signal"
# Part -> stable name of what is wrong with a run that it speaks against.
NAMES = {
    "signal": NO_SIGNAL,
    "reach": "target_out_of_reach",
    "rows": "too_few_rows",
    "movement": "cannot_move",
    "simulated": "learns_too_slowly",
    "heat": "unstable",
    "stability": "unstable",
    "learning": "learns_too_slowly",
    "separation": "learns_too_slowly",
    "progress": "learns_too_slowly",
    "forecast": "learns_too_slowly",
}
# p-value above which shuffled labels would do as well.
_CHANCE = 0.05


@dataclass(frozen=True)
class _Run:
    """What the words are made of."""

    probe: RunRecord
    goal: Goal
    baseline: float | None

    @property
    def static(self) -> Mapping[str, float]:
        return self.probe.static

    @property
    def rate(self) -> float | None:
        return peak_rate(self.probe)


def finding(part: str, probe: RunRecord, goal: Goal, baseline: float | None) -> Diagnosis:
    """What this part says against the run, with its numbers and one change.

    Args:
        part: name of one of `Parts`.
        probe: trajectory and static signals the parts were read from.
        goal: what the run is judged by.
        baseline: trivial baseline of the goal's metric.
    """
    run = _Run(probe, goal, baseline)
    if part == "reach" and run.static.get("signal_p", 0.0) > _CHANCE:
        part = "signal"  # nothing is in reach of labels that say nothing
    message, advice = _WORDS[part](run)
    evidence = {name: run.static[name] for name in _EVIDENCE[part] if name in run.static}
    return Diagnosis(NAMES[part], message, advice, "warning", evidence)


def _signal(run: _Run) -> tuple[str, str]:
    static = run.static
    if "input_gain" in static:
        evidence = (
            f"the loss of a target is only {static['input_gain']:.3g} nats a token lower after its "
            f"own input than after another row's ({static.get('input_gain_z', 0.0):.1f} standard "
            "errors)"
        )
    else:
        score, shuffled = static.get("signal_score", math.nan), static.get("signal_shuffled", 0.0)
        evidence = (
            "a linear probe of the frozen model predicts the training labels no better than "
            f"shuffled ones: score {score:.3f} against {shuffled:.3f} "
            f"(p = {static.get('signal_p', 1.0):.2g}, {static.get('signal_rows', 0.0):.0f} rows)"
        )
    return (
        f"No signal: {evidence}.",
        "Read ten training rows with their labels: a shuffled or wrong label column looks like "
        "this. If the labels are right, this model's features may not hold what they depend on: "
        "try a larger or better suited model.",
    )


def _reach(run: _Run) -> tuple[str, str]:
    needed = skill_asked(run.goal, run.baseline) or 0.0
    skill_of_probe = max(probe_skill(run.static) or 0.0, 0.0)
    odds = probe_log_odds(run.probe, run.goal)
    reachable = 0.0 if odds is None else 1.0 / (1.0 + math.exp(-odds))
    return (
        f"Target out of reach: {run.goal} asks for {percent(needed)} of the way from the trivial "
        f"baseline to a perfect value; a linear probe of the frozen model gets "
        f"{percent(skill_of_probe)} of the way, and about {percent(reachable)} with all the rows "
        "that the run sees.",
        _lower_target(run, reachable),
    )


def _lower_target(run: _Run, reachable: float) -> str:
    """The target that this skill reaches."""
    goal, baseline = run.goal, run.baseline
    best = goal.bounds[1] if goal.greater_is_better else goal.bounds[0]
    if baseline is None or not math.isfinite(best):
        return "Set a lower target, or take a larger model or more data."
    value = baseline + reachable * (best - baseline)
    side = "below" if goal.greater_is_better else "above"
    return f"Set a target {side} {value:.3g}, or take a larger model or more data."


def _rows(run: _Run) -> tuple[str, str]:
    rows = run.static.get("train_rows", run.static.get("sampled_rows", 0.0))
    return (
        f"Too few rows: {rows:.0f} to train on.",
        f"Label more: most tasks of this size begin to work at {max(200.0, 4 * rows):.0f} rows.",
    )


def _rates(run: _Run) -> tuple[float, float, float, float] | None:
    """Peak rate, gain of the schedule, fall that is needed, factor from gain to needed fall."""
    gain = run.static.get("schedule_gain")
    needed = needed_fall(run.probe, run.goal, skill_asked(run.goal, run.baseline))
    if run.rate is None or not gain or needed is None:
        return None
    return run.rate, gain, needed, needed / gain


def _suggestion(rate: float, needed: float, factor: float) -> str:
    low, high = rate * factor * _MIN_GAIN, rate * factor * _MAX_GAIN
    return (
        f"{_one_digit(low)} to {_one_digit(high)} would lower the loss by about "
        f"{needed * _MIN_GAIN:.2g} to {needed * _MAX_GAIN:.2g}"
    )


def _one_digit(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+")


def _movement(run: _Run) -> tuple[str, str]:
    rates = _rates(run)
    if rates is None:
        return "Cannot move: the learning rates are too low.", "Raise the learning rate."
    rate, gain, needed, factor = rates
    return (
        f"Cannot move: at a peak learning rate of {rate:.2g} all steps together lower the loss by "
        f"at most about {gain:.2g} (first-order estimate), and the goal needs {needed:.2g}.",
        f"Raise the learning rate: {_suggestion(rate, needed, factor)}.",
    )


def _simulated(run: _Run) -> tuple[str, str]:
    rates, static = _rates(run), run.static
    score, trivial = static.get("simulated_score"), static.get("signal_eval_trivial")
    score_words = "."
    if score is not None and trivial is not None:
        score_words = (
            f" scores {score:.3f} on evaluation rows, and the most frequent class {trivial:.3f}."
        )
    advice = f"Train longer: {2 * run.probe.max_steps} steps rather than {run.probe.max_steps}."
    if rates is not None and rates[3] * _MAX_GAIN > 1.0:
        advice = f"Raise the learning rate: {_suggestion(rates[0], rates[2], rates[3])}."
    return (
        "Learns too slowly for this schedule: a linear head on the frozen model that is trained "
        f"for as long{score_words}",
        advice,
    )


def _heat(run: _Run) -> tuple[str, str]:
    step, trivial, rate = step_gain(run.probe), trivial_loss(run.probe), run.rate
    if step is None or trivial is None or rate is None:
        return "Unstable: the learning rate is too large.", "Lower the learning rate."
    return (
        f"Unstable: at learning rate {rate:.2g} a single step changes the loss by about "
        f"{step:.2g} (first-order estimate), and the loss of a constant prediction is "
        f"{trivial:.2g}.",
        _cooler(run, rate),
    )


def _cooler(run: _Run, rate: float) -> str:
    """A range below `rate`, by what the schedule then moves; a tenth where that lies above."""
    rates = _rates(run)
    if rates is None or rates[3] * _MAX_GAIN >= 1.0:
        return f"Lower the learning rate, for a start to {_one_digit(rate / 10.0)}."
    return f"Lower the learning rate: {_suggestion(rate, rates[2], rates[3])}."


def _stability(run: _Run) -> tuple[str, str]:
    losses = run.probe.train_curve()[1]
    first, last = (float(part.mean()) for part in (losses[:1], losses[-3:]))
    advice = "Lower the learning rate." if run.rate is None else _cooler(run, run.rate)
    rate_words = "" if run.rate is None else f" at learning rate {run.rate:.2g}"
    return (
        f"Unstable: the training loss went from {first:.3g} to {last:.3g} in "
        f"{run.probe.last_step:.0f} steps{rate_words}.",
        advice,
    )


def _separation(run: _Run) -> tuple[str, str]:
    _, areas = run.probe.curve(ORDERING)
    finite = [area for area in areas.tolist() if math.isfinite(area)]
    area = f"{finite[-1]:.2f}" if finite else "unknown"
    return (
        f"Learns too slowly: after {run.probe.last_step:.0f} of {run.probe.max_steps} steps the "
        f"model's scores hardly tell the classes of evaluation rows apart: area under the ROC "
        f"curve {area}, by chance 0.5.",
        _learning(run)[1],
    )


def _learning(run: _Run) -> tuple[str, str]:
    losses = run.probe.train_curve()[1]
    last = float(losses[-3:].mean()) if losses.size else math.nan
    trivial = trivial_loss(run.probe)
    trivial_words = "" if trivial is None else f", that of a constant prediction {trivial:.3g}"
    rates = _rates(run)
    advice = f"Train longer: {2 * run.probe.max_steps} steps rather than {run.probe.max_steps}."
    if rates is not None and rates[3] > 1.0:
        advice = f"Raise the learning rate: {_suggestion(rates[0], rates[2], rates[3])}."
    return (
        f"Learns too slowly: after {run.probe.last_step:.0f} of {run.probe.max_steps} steps the "
        f"loss is {last:.3g}{trivial_words}.",
        advice,
    )


_WORDS = {
    "signal": _signal,
    "reach": _reach,
    "rows": _rows,
    "movement": _movement,
    "simulated": _simulated,
    "heat": _heat,
    "stability": _stability,
    "learning": _learning,
    "separation": _separation,
    "progress": _learning,
    "forecast": _learning,
}
_EVIDENCE = {
    "signal": ("signal_p", "signal_z", "signal_score", "signal_shuffled", "input_gain"),
    "reach": ("signal_eval_score", "signal_eval_trivial"),
    "rows": ("train_rows",),
    "movement": ("schedule_gain", "schedule_rates"),
    "simulated": ("simulated_score", "signal_eval_trivial"),
    "heat": ("schedule_gain", "schedule_rates"),
    "stability": ("zero_shot_loss",),
    "learning": ("zero_shot_loss", "label_entropy"),
    "separation": (),
    "progress": ("zero_shot_loss", "label_entropy"),
    "forecast": ("zero_shot_loss", "label_entropy"),
}
