"""A report as a section of a model card, for people; `hub.metadata` is for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_ftrisk._version import __version__
from hf_ftrisk.hub.metadata import LEVEL, REPORT_FILE, CardMetadata, early_look, prob_good
from hf_ftrisk.hub_repo.rendering import Markdown, escape, render
from hf_ftrisk.report.wording import finish_words, memory, regime_words, seconds, share, value
from hf_ftrisk.verdict import Verdict

if TYPE_CHECKING:
    from hf_ftrisk.goal import Goal
    from hf_ftrisk.report import RiskReport

FIGURE_FILE = "ftrisk/report.png"

_HEADLINES = {
    Verdict.GO: "predicted to end well (GO)",
    Verdict.NO_GO: "predicted to end poorly (NO-GO)",
    Verdict.UNDECIDED: "what is known does not settle it (UNDECIDED)",
}
_MADE = {
    "preflight": "before the run, from short probes of it",
    "watch": "while the run went on, from the run itself",
}
_REGIMES = {
    "noise-dominant": "the luck of a single run outweighs what can be known: probing deeper would "
    "not narrow the forecast to the tolerance",
    "static-sufficient": "the outcome is as good as known from the first steps",
    "dynamic-critical": "the outcome becomes known only as the run goes on: probing deeper pays",
    "unidentified": "the runs measured do not tell which it is",
}
_MAX_ITEMS = 20


def card_metadata(report: RiskReport) -> dict[str, Any]:
    """What stands under the key ``ftrisk`` of the card; see `CardMetadata`."""
    return CardMetadata.from_report(report).to_dict()


def render_section(report: RiskReport, *, figure: bool = False) -> str:
    """The section of the card, as Markdown without the marks around it.

    Args:
        report: the report; text from it is escaped.
        figure: whether the figure is sent along, and so is linked.
    """
    goal = report.goal
    return render(
        "risk_section.md.jinja",
        {
            "headline": Markdown(_HEADLINES[report.verdict]),
            "metric": goal.metric,
            "made": Markdown(_MADE[report.stage]),
            "lead": _lead(report),
            "summary": _summary(report),
            "reasons": report.reasons[:_MAX_ITEMS],
            "uncertainty": _uncertainty(report),
            "diagnoses": report.diagnoses[:_MAX_ITEMS],
            "cost": _cost(report),
            "measured": _measured(report),
            "looks": _looks(report),
            "figure": FIGURE_FILE if figure else None,
            "report_file": REPORT_FILE,
            "notes": report.notes[:_MAX_ITEMS],
            "version": __version__,
        },
    )


# --- rows ------------------------------------------------------------------------------------

Rows = list[tuple[str, object]]


class _Prediction(NamedTuple):
    """A forecast as the card words it: when it was made, median and 90 % interval."""

    step: int
    mean: float
    low: float
    high: float


def _predictions(report: RiskReport) -> list[_Prediction]:
    """The early forecast, if there is one apart, and the last one."""
    found = []
    early, last = early_look(report), report.forecast
    if early is not None:
        found.append(_Prediction(early.step, early.mean, early.low, early.high))
    if last is not None:
        found.append(_Prediction(last.step, last.point, *last.interval(LEVEL)))
    return found


def _lead(report: RiskReport) -> str:
    """What was predicted and what came, in a sentence or two."""
    goal, predictions = report.goal, _predictions(report)
    if not predictions:
        text = f"No final value of {goal.metric} was predicted."
    else:
        first = predictions[0]
        text = (
            f"After {first.step:,} of {report.cost.full_steps:,} steps a final {goal.metric} of "
            f"{value(first.mean, goal)} was predicted, with 90 % probability between "
            f"{value(first.low, goal)} and {value(first.high, goal)}."
        )
    if report.outcome is not None:
        text += f" In the end it was {_happened(report, report.outcome)}."
    elif report.stopped_at is not None:
        text += f" The run was stopped at step {report.stopped_at:,}."
    ended = finish_words(report)
    if ended is not None:
        text += f" The run was {ended}."
    return text


def _summary(report: RiskReport) -> Rows:
    goal, full = report.goal, f"{report.cost.full_steps:,}"
    rows: Rows = [("Goal", _goal(report))]
    for made in _predictions(report):
        interval = f"90 % interval {_range(made.low, made.high, goal)}"
        label = f"Predicted after {made.step:,} of {full} steps"
        rows.append((label, f"{value(made.mean, goal)}, {interval}"))
    prob = prob_good(report)
    if prob is not None:
        rows.append(("Probability that the goal is met", share(prob)))
    if report.outcome is not None:
        rows.append(("What happened", _happened(report, report.outcome)))
    if report.baseline is not None:
        rows.append((f"Trivial baseline of {goal.metric}", value(report.baseline, goal)))
    if report.stopped_at is not None:
        rows.append(("Stopped at step", f"{report.stopped_at:,} of {full}"))
    if report.finish is not None:
        rows.append(("Finished at step", f"{report.finish.step:,} of {full}"))
    return rows


def _goal(report: RiskReport) -> str:
    goal = report.goal
    if goal.target is None:
        return f"{goal.metric} better than the trivial baseline"
    side = "at least" if goal.greater_is_better else "at most"
    return f"{goal.metric} {side} {goal.target:g}"


def _happened(report: RiskReport, outcome: float) -> str:
    parts = [value(outcome, report.goal)]
    for made in _predictions(report):
        where = "inside" if made.low <= outcome <= made.high else "outside"
        parts.append(f"{where} the interval predicted after {made.step:,} steps")
    if report.goal.threshold(report.baseline) is not None:
        met = report.goal.meets(outcome, report.baseline)
        parts.append("goal met" if met else "goal not met")
    return ", ".join(parts)


def _uncertainty(report: RiskReport) -> Rows:
    risk, goal = report.decomposition, report.goal
    if risk is None:
        return []
    rows: Rows = [("Regime", f"{regime_words(report)}: {_REGIMES[str(risk.regime)]}")]
    if risk.identified["intrinsic"]:
        low, high = (_root(end) for end in risk.interval("intrinsic", LEVEL))
        interval = f"90 % interval {_range(low, high, goal)}"
        limit = f"± {value(_root(risk.intrinsic), goal)} ({interval})"
    else:
        limit = "unidentified: the runs measured do not tell it apart"
    rows.append(("Spread that no probing removes", limit))
    spent = report.forecast.step if report.forecast else report.cost.spent_steps
    if spent > 0:
        left = value(_root(float(risk.optimization(spent))), goal)
        rows.append((f"Spread still to be removed after {spent:,.0f} steps", f"± {left}"))
    if report.optimal_depth is not None:
        part = share(report.optimal_depth / report.cost.full_steps)
        rows.append(
            ("Probing depth c* that pays best", f"{report.optimal_depth:,.0f} steps ({part})")
        )
    return rows


def _cost(report: RiskReport) -> Rows:
    cost = report.cost
    rows: Rows = [
        (
            "Spent",
            f"{cost.spent_steps:,.0f} of {cost.full_steps:,} steps ({share(cost.spent_share)})",
        )
    ]
    if cost.spent_seconds is not None:
        rows.append(("Time spent", seconds(cost.spent_seconds)))
    if cost.saved_steps is not None:
        rows.append(("Saved by stopping", f"{cost.saved_steps:,} steps"))
    if cost.full_seconds is not None:
        rows.append(("Time of the full run", seconds(cost.full_seconds)))
    if cost.peak_memory_bytes is not None:
        rows.append(("Peak memory", memory(cost.peak_memory_bytes)))
    if cost.full_flops is not None:
        rows.append(("Operations of the full run", f"{cost.full_flops:.3g}"))
    if cost.full_energy_kwh is not None:
        rows.append(("Energy of the full run", f"{cost.full_energy_kwh:.3g} kWh"))
    if cost.full_money is not None:
        price = f"{cost.full_money:.2f} {cost.currency or ''}".strip()
        rows.append(("Price of the full run", price))
    return rows


def _measured(report: RiskReport) -> Rows:
    rows: Rows = [("When", _MADE[report.stage])]
    if report.forecast is not None and report.forecast.source:
        rows.append(("Forecast rests on", report.forecast.source))
    for name, setting in report.settings.items():
        rows.append((name.replace("_", " "), _listed(setting)))
    return rows[:_MAX_ITEMS]


def _looks(report: RiskReport) -> list[tuple[Markdown, ...]]:
    """Up to eight forecasts on the way, spread over all of them, the last one among them."""
    looks = report.looks
    count = min(len(looks), 8)
    if count < 2:
        return []
    picked = [looks[round(i * (len(looks) - 1) / (count - 1))] for i in range(count)]
    goal = report.goal
    return [
        (
            escape(f"{look.step:,}"),
            escape("" if look.observed is None else value(look.observed, goal)),
            escape(
                f"{value(look.mean, goal)} ({value(look.low, goal)} to {value(look.high, goal)})"
            ),
            escape("" if look.prob_good is None else share(look.prob_good)),
        )
        for look in picked
    ]


def _range(low: float, high: float, goal: Goal) -> str:
    return f"{value(low, goal)} to {value(high, goal)}"


# --- words -----------------------------------------------------------------------------------


def _listed(setting: Any) -> str:
    if isinstance(setting, Mapping):
        return ", ".join(f"{name} {_listed(item)}" for name, item in setting.items())
    if isinstance(setting, list | tuple):
        return ", ".join(_listed(item) for item in setting)
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)


def _root(variance: float) -> float:
    return math.sqrt(max(variance, 0.0))
