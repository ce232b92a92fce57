"""How a report is worded: on a terminal, in Markdown and on a model card."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hf_ftrisk.risk.fit import WIDEST
from hf_ftrisk.text import percent, printable

if TYPE_CHECKING:
    from hf_ftrisk.goal import Goal
    from hf_ftrisk.report.findings import Findings
    from hf_ftrisk.risk import RiskDecomposition

LEVEL = 0.9  # of every interval that is shown
_MAX_TEXT = 4000  # characters of one item in the Markdown form
_VERDICT_WORDS = {
    "GO": "go",
    "NO_GO": "no go",
    "UNDECIDED": "undecided",
}
_REGIMES = {
    "noise-dominant": "the luck of a single run outweighs what can be known: probing deeper would "
    "not narrow the forecast to the tolerance",
    "static-sufficient": "the outcome is as good as known from the first steps",
    "dynamic-critical": "the outcome becomes known only as the run goes on: probing deeper pays",
    "unidentified": "too little was measured to tell which kind of run this is",
}


def value(number: float | None, goal: Goal | None = None) -> str:
    """A metric value as text: three decimals for rates and correlations, else four digits."""
    if number is None or not math.isfinite(number):
        return "unknown"
    if goal is not None and goal.kind in ("rate", "correlation"):
        return f"{number:.3f}"
    return f"{number:.4g}"


def share(number: float) -> str:
    """A share in [0, 1] as a percentage without needless digits."""
    if 0.0 < number < 0.01:
        return "<1 %"
    if 0.99 < number < 1.0:
        return ">99 %"
    return percent(number)


def seconds(number: float) -> str:
    """A duration for a person: seconds, minutes or hours."""
    if number < 120:
        return f"{number:.0f} s"
    if number < 7200:
        return f"{number / 60:.0f} min"
    return f"{number / 3600:.1f} h"


def memory(number: int) -> str:
    """Bytes as MiB or GiB."""
    if number < 1 << 30:
        return f"{number / (1 << 20):.0f} MiB"
    return f"{number / (1 << 30):.1f} GiB"


def verdict_words(report: Findings) -> str:
    """The verdict in words; a stopped run says so."""
    words = _VERDICT_WORDS[str(report.verdict)]
    if report.stopped_at is not None:
        return f"{words}: stopped at step {report.stopped_at} of {report.cost.full_steps}"
    if report.finish is not None:
        return f"{words}: finished at step {report.finish.step} of {report.cost.full_steps}"
    return words


def gain_words(gain: float, goal: Goal) -> str:
    """A gain of the goal metric: points of a rate or a correlation, else its own units."""
    if goal.kind in ("rate", "correlation", "percent"):
        points = f"{gain * (1.0 if goal.kind == 'percent' else 100.0):.2g}"
        return f"{points} point" if points == "1" else f"{points} points"
    return f"{gain:.2g}"


def finish_words(report: Findings) -> str | None:
    """How the run was ended for want of gain, None when it was not."""
    finish, goal = report.finish, report.goal
    if finish is None:
        return None
    text = f"finished at {share(finish.step / report.cost.full_steps)}: "
    if finish.way == "goal":
        text += "the target was reached"
    elif finish.expected_gain is not None:
        text += f"expected gain of the rest {gain_words(finish.expected_gain, goal)}"
        if finish.most_gain is not None:
            text += f", at most {gain_words(finish.most_gain, goal)} (90 %)"
    if finish.way == "anneal":
        text += "; cooled down from there"
    return f"{text}; best {value(finish.best, goal)} at step {finish.best_step}"


def forecast_words(
    point: float, low: float, high: float, *, step: int, full: int, goal: Goal, level: float = LEVEL
) -> str:
    """A forecast of the final metric with its interval, and the steps it had seen."""
    between = f"{value(low, goal)} to {value(high, goal)}"
    return (
        f"{value(point, goal)} after {step:,} of {full:,} steps ({share(level)} interval {between})"
    )


def goal_words(goal: Goal, baseline: float | None = None) -> str:
    """What counts as a good outcome."""
    if goal.target is not None:
        side = "at least" if goal.greater_is_better else "at most"
        return f"{goal.metric} {side} {goal.target:g}"
    if baseline is None:
        return f"{goal.metric} better than the trivial baseline, which is not known"
    return f"{goal.metric} better than the trivial baseline of {value(baseline, goal)}"


def outcome_words(
    outcome: float,
    goal: Goal,
    baseline: float | None,
    forecasts: Iterable[tuple[int, float, float]],
) -> str:
    """The final value next to what was predicted of it.

    Args:
        outcome: the final value.
        goal: what the run is judged by.
        baseline: trivial baseline of the metric, None if unknown.
        forecasts: (step, low, high) of each forecast that is held against it.
    """
    parts = [value(outcome, goal)]
    looks_by_place: dict[str, list[str]] = {}
    for step, low, high in forecasts:
        where = "inside" if low <= outcome <= high else "outside"
        looks_by_place.setdefault(where, []).append(f"{step:,}")
    for where, steps in looks_by_place.items():
        what = "interval" if len(steps) == 1 else "intervals"
        parts.append(f"{where} the {what} predicted after {' and '.join(steps)} steps")
    if goal.threshold(baseline) is not None:
        met = "goal met" if goal.meets(outcome, baseline) else "goal not met"
        return f"{', '.join(parts)}; {met}"
    return ", ".join(parts)


# --- rows -----------------------------------------------------------------------------------------

Part = Literal["verdict", "prediction", "uncertainty", "cost"]


@dataclass(frozen=True)
class Row:
    """One line of a report. Terminal, Markdown and model card pick from the same ones.

    Args:
        part: what it is about.
        label: what it says, in a few words.
        text: the answer.
        known: whether it is an answer, and not that there is none.
    """

    part: Part
    label: str
    text: str
    known: bool = True


def rows(report: Findings) -> list[Row]:
    """The whole report as rows, in reading order; what does not apply is left out."""
    return [
        Row("verdict", "Verdict", verdict_words(report)),
        *_prediction(report),
        *_uncertainty(report),
        *_cost(report),
    ]


def forecasts(report: Findings) -> list[tuple[int, float, float, float]]:
    """(step, median, low, high) of the early forecast, if there is one apart, and the last one."""
    predictions = []
    early, last = report.early_look, report.forecast
    if early is not None:
        predictions.append((early.step, early.median, early.low, early.high))
    if last is not None:
        predictions.append((last.step, last.point, *last.interval(LEVEL)))
    return predictions


def happened(report: Findings) -> str | None:
    """`outcome_words` of a report, None while the outcome is not known."""
    if report.outcome is None:
        return None
    intervals = [(step, low, high) for step, _, low, high in forecasts(report)]
    return outcome_words(report.outcome, report.goal, report.baseline, intervals)


def _prediction(report: Findings) -> Iterator[Row]:
    goal, full = report.goal, report.cost.full_steps
    yield Row("prediction", "Goal", goal_words(goal, report.baseline))
    made = forecasts(report)
    for number, (step, point, low, high) in enumerate(made):
        label = "Forecast" if number == len(made) - 1 else "Early forecast"
        text = forecast_words(point, low, high, step=step, full=full, goal=goal)
        yield Row("prediction", label, text)
    if not made:
        yield Row("prediction", "Forecast", "none", known=False)
    if report.prob_good is not None:
        yield Row("prediction", "Chance to meet the goal", share(report.prob_good))
    outcome = happened(report)
    if outcome is not None:
        yield Row("prediction", "Outcome", outcome)
    if goal.target is not None and report.baseline is not None:
        yield Row("prediction", "Trivial baseline", value(report.baseline, goal))
    if report.stopped_at is not None:
        yield Row("prediction", "Stopped", f"at step {report.stopped_at:,} of {full:,}")
    finished = finish_words(report)
    if finished is not None:
        yield Row("prediction", "Ended early", finished)


def _uncertainty(report: Findings) -> Iterator[Row]:
    risk, goal = report.decomposition, report.goal
    if risk is None:
        yield Row("uncertainty", "Uncertainty", "not estimated", known=False)
        return
    regime = str(risk.regime)
    chance = {str(name): p for name, p in risk.regime_probabilities.items()}.get(regime)
    sure = "" if chance is None else f" ({share(chance)})"
    yield Row("uncertainty", "Regime", f"{regime}{sure}: {_REGIMES[regime]}")
    yield Row("uncertainty", "Irreducible spread", _irreducible(risk, goal))
    spent = report.forecast.step if report.forecast is not None else report.cost.spent_steps
    if spent > 0:
        reducible = value(_root(float(risk.optimization(spent))), goal)
        text = f"± {reducible} after {spent:,.0f} steps: probing deeper would remove it"
        yield Row("uncertainty", "Reducible spread", text)
    if report.optimal_depth is not None:
        part = share(report.optimal_depth / report.cost.full_steps)
        depth = f"{report.optimal_depth:,.0f} steps ({part} of the run)"
        yield Row("uncertainty", "Best probing depth", depth)


def _irreducible(risk: RiskDecomposition, goal: Goal) -> str:
    """The spread that no probing removes; where it is no single number, how far it is known."""
    low, high = risk.interval("intrinsic", LEVEL)
    between = f"{share(LEVEL)} interval {value(_root(low), goal)} to {value(_root(high), goal)}"
    if risk.identified.get("intrinsic", False):
        return f"± {value(_root(risk.intrinsic), goal)} ({between}): no probing removes it"
    if high <= WIDEST["intrinsic"] * low:  # not its width is the reason
        return f"unidentified: {risk.reasons.get('intrinsic', 'too little was measured')}"
    least, most = risk.band(risk.shallowest, LEVEL)
    if most > WIDEST["intrinsic"] * least:
        text = f"unidentified: too little was measured to say more than its {between}"
    else:
        text = (
            "unidentified: what was measured does not separate it from the reducible spread "
            f"({between})"
        )
    chance = risk.regime_probabilities.get("noise-dominant")
    if risk.regime == "noise-dominant" and risk.tolerance is not None and chance is not None:
        text += f"; with {share(chance)} probability above the tolerance of {risk.tolerance:g}"
    return text


def _cost(report: Findings) -> Iterator[Row]:
    cost = report.cost
    text = f"{cost.spent_steps:,.0f} of {cost.full_steps:,} steps ({share(cost.spent_share)})"
    if cost.spent_seconds is not None:
        text += f", {seconds(cost.spent_seconds)}"
    yield Row("cost", "Spent", text)
    if cost.saved_steps:
        part = share(cost.saved_steps / cost.full_steps)
        yield Row("cost", "Saved", f"{cost.saved_steps:,} steps ({part})")
    full = full_run_words(report)
    if full is not None:
        yield Row("cost", "Full run", full)


def full_run_words(report: Findings) -> str | None:
    """What the full run costs, None when nothing was measured."""
    cost = report.cost
    parts = []
    if cost.full_seconds is not None:
        parts.append(seconds(cost.full_seconds))
    if cost.peak_memory_bytes is not None:
        parts.append(f"peak memory {memory(cost.peak_memory_bytes)}")
    if cost.full_flops is not None:
        parts.append(f"{cost.full_flops:.2e} FLOPs")
    if cost.full_energy_kwh is not None:
        parts.append(f"{cost.full_energy_kwh:.3g} kWh")
    if cost.full_money is not None:
        parts.append(f"{cost.full_money:.2f} {cost.currency or ''}".strip())
    return ", ".join(parts) or None


def _root(variance: float) -> float:
    return math.sqrt(max(variance, 0.0))


# --- Markdown -------------------------------------------------------------------------------------


def _escape(text: str) -> str:
    """Text safe inside one Markdown table cell or list item."""
    flat = printable(text, _MAX_TEXT)
    for character in "\\`*_{}[]<>|#":
        flat = flat.replace(character, f"\\{character}")
    return flat


def told_reasons(report: Findings) -> list[str]:
    """The reasons, without the advice that a diagnosis beside them gives."""
    given = {diagnosis.advice for diagnosis in report.diagnoses}
    return [reason for reason in report.reasons if reason not in given]


def markdown(report: Findings) -> str:
    """The whole report as Markdown."""
    lines = [f"# Fine-tuning risk: {_escape(verdict_words(report))}", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| {_escape(row.label)} | {_escape(row.text)} |" for row in rows(report)]
    sections = [
        ("Why", told_reasons(report)),
        ("Diagnoses", [f"{d.name}: {d.message} {d.advice}" for d in report.diagnoses]),
        ("Notes", list(report.notes)),
    ]
    for title, items in sections:
        if items:
            lines += ["", f"## {title}", "", *(f"- {_escape(item)}" for item in items)]
    return "\n".join(lines) + "\n"
