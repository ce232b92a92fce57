"""A report as a section of a model card, for people; `hub.metadata` is for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hf_ftrisk._version import __version__
from hf_ftrisk.hub.metadata import REPORT_FILE, CardMetadata
from hf_ftrisk.hub_repo.rendering import Markdown, escape, render
from hf_ftrisk.report.wording import (
    LEVEL,
    Part,
    finish_words,
    forecasts,
    happened,
    rows,
    share,
    value,
)
from hf_ftrisk.verdict import Verdict

if TYPE_CHECKING:
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
            "summary": _picked(report, "prediction"),
            "reasons": report.reasons[:_MAX_ITEMS],
            "uncertainty": _picked(report, "uncertainty"),
            "diagnoses": report.diagnoses[:_MAX_ITEMS],
            "cost": _picked(report, "cost"),
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


def _lead(report: RiskReport) -> str:
    """What was predicted and what came, in a sentence or two."""
    goal, made = report.goal, forecasts(report)
    if not made:
        text = f"No final value of {goal.metric} was predicted."
    else:
        step, point, low, high = made[0]
        text = (
            f"After {step:,} of {report.cost.full_steps:,} steps a final {goal.metric} of "
            f"{value(point, goal)} was predicted, with {share(LEVEL)} probability between "
            f"{value(low, goal)} and {value(high, goal)}."
        )
    outcome = happened(report)
    if outcome is not None:
        text += f" In the end it was {outcome}."
    elif report.stopped_at is not None:
        text += f" The run was stopped at step {report.stopped_at:,}."
    ended = finish_words(report)
    if ended is not None:
        text += f" The run was {ended}."
    return text


def _picked(report: RiskReport, part: Part) -> Rows:
    """The rows of a part that are answers."""
    return [(row.label, row.text) for row in rows(report) if row.part == part and row.known]


def _measured(report: RiskReport) -> Rows:
    found: Rows = [("When", _MADE[report.stage])]
    if report.forecast is not None and report.forecast.source:
        found.append(("Forecast rests on", report.forecast.source))
    for name, setting in report.settings.items():
        found.append((name.replace("_", " "), _listed(setting)))
    return found[:_MAX_ITEMS]


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


# --- words -----------------------------------------------------------------------------------


def _listed(setting: Any) -> str:
    if isinstance(setting, Mapping):
        return ", ".join(f"{name} {_listed(item)}" for name, item in setting.items())
    if isinstance(setting, list | tuple):
        return ", ".join(_listed(item) for item in setting)
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)
