"""A report as a section of a model card, for people; `hub.metadata` is for programs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from hf_ftrisk._version import __version__
from hf_ftrisk.hub.metadata import REPORT_FILE
from hf_ftrisk.hub_repo.rendering import Markdown, escape, render
from hf_ftrisk.record.settings import SETTINGS
from hf_ftrisk.report.wording import (
    LEVEL,
    Row,
    finish_words,
    forecasts,
    happened,
    rows,
    share,
    told_reasons,
    value,
)
from hf_ftrisk.verdict import Verdict

if TYPE_CHECKING:
    from hf_ftrisk.report import RiskReport

FIGURE_FILE = "ftrisk/report.png"

_HEADLINES = {
    Verdict.GO: "predicted to end well (GO)",
    Verdict.NO_GO: "predicted to end poorly (NO-GO)",
    Verdict.UNDECIDED: "the evidence does not decide it (UNDECIDED)",
}
_MADE = {
    "preflight": "before the run, from short probes of it",
    "watch": "while the run went on",
}
# The section has 60 lines at most: the table that everyone reads, and what is folded below it.
_SUMMARY_ROWS, _MEASURED_ROWS, _LOOKS, _REMARKS = 6, 20, 4, 8
_SPELLED = {">=": "\u2265", "<=": "\u2264"}
_TAKEN_OUT = re.compile(r"\[(\w+)\]")  # what redaction leaves, such as [path]

Rows = list[tuple[str, str]]


def render_section(report: RiskReport, *, figure: bool = False) -> str:
    """The section of the card, as Markdown without the marks around it: 60 lines at most.

    Args:
        report: the report; text from it is escaped.
        figure: whether the figure is sent along, and so is linked.
    """
    answers = [row for row in rows(report) if row.known]
    summary = _summary(report, answers)
    return render(
        "risk_section.md.jinja",
        {
            "headline": Markdown(_HEADLINES[report.verdict]),
            "metric": report.goal.metric,
            "made": Markdown(_MADE[report.stage]),
            "lead": _plain(_lead(report)),
            "summary": summary,
            "measured": _measured(report, answers, {name for name, _ in summary}),
            "looks": _looks(report),
            "remarks": _remarks(report),
            "figure": FIGURE_FILE if figure else None,
            "report_file": REPORT_FILE,
            "version": __version__,
        },
    )


def _lead(report: RiskReport) -> str:
    """What was predicted and what came, in a sentence or two."""
    goal, forecast_row = report.goal, forecasts(report)
    if not forecast_row:
        text = f"No final value of {goal.metric} was predicted."
    else:
        step, point, low, high = forecast_row[0]
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
    finish = finish_words(report)
    if finish is not None:
        text += f" The run was {finish}."
    return text


# --- rows ------------------------------------------------------------------------------------


def _summary(report: RiskReport, answers: Sequence[Row]) -> Rows:
    """The six rows that everyone reads."""
    texts = {row.label: row.text for row in answers}
    table = [(name, texts.get(name)) for name in ("Goal", "Early forecast")]
    if "Early forecast" not in texts:
        table.append(("Forecast", texts.get("Forecast")))
    if "Outcome" not in texts:
        table.append(("Chance to meet the goal", texts.get("Chance to meet the goal")))
    table += [(name, texts.get(name)) for name in ("Outcome", "Stopped", "Ended early")]
    if report.reasons and ("Outcome" not in texts or report.stopped_at is not None):
        table.append(("Why", report.reasons[0]))  # else the outcome says it
    if report.diagnoses:
        first = report.diagnoses[0]
        label = "Hint" if first.severity == "info" else "Check first"
        table.append((label, f"{first.name.replace('_', ' ')}: {first.message}"))
    table += [(name, texts.get(name)) for name in ("Saved", "Spent", "Trivial baseline")]
    return [(name, _plain(text)) for name, text in table if text is not None][:_SUMMARY_ROWS]


def _measured(report: RiskReport, answers: Sequence[Row], summary: Set[str]) -> Rows:
    """Everything that was measured and is not in the summary, settings by what they mean."""
    table: Rows = [
        (row.label, row.text)
        for row in answers
        if row.part != "verdict" and row.label not in summary
    ]
    if report.forecast is not None and report.forecast.source:
        table.append(("What the forecast rests on", report.forecast.source))
    for name, setting in report.settings.items():
        told = _trained_words(report.settings) if name == "method" else _listed(setting)
        table.append((_setting_words(name), told))
    return [(name, _plain(text)) for name, text in table[:_MEASURED_ROWS]]


def _remarks(report: RiskReport) -> list[str]:
    """Diagnoses with their advice, further reasons, notes; the rest is in the report."""
    diagnoses = [
        f"{d.name.replace('_', ' ')} ({d.severity}): {d.message} {d.advice}"
        for d in report.diagnoses
    ]
    every = [_plain(text) for text in (*diagnoses, *told_reasons(report)[1:], *report.notes)]
    if len(every) <= _REMARKS:
        return every
    return [*every[: _REMARKS - 1], f"{len(every) - _REMARKS + 1} more in the report."]


def _looks(report: RiskReport) -> list[tuple[Markdown, ...]]:
    """A few forecasts on the way, spread over all of them, the last one among them."""
    looks = report.looks
    count = min(len(looks), _LOOKS)
    if count < 2:
        return []
    picked = [looks[round(i * (len(looks) - 1) / (count - 1))] for i in range(count)]
    goal = report.goal
    return [
        (
            escape(f"{look.step:,}"),
            escape("" if look.observed is None else value(look.observed, goal)),
            escape(
                f"{value(look.median, goal)} ({value(look.low, goal)} to {value(look.high, goal)})"
            ),
            escape("" if look.prob_good is None else share(look.prob_good)),
        )
        for look in picked
    ]


# --- words -----------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Text that reads well in the card's source too: few characters in it have to be escaped."""
    for sign, spelled in _SPELLED.items():
        text = text.replace(sign, f" {spelled} ").replace(f"  {spelled}  ", f" {spelled} ")
    return _TAKEN_OUT.sub(r"(\1)", text)


def _setting_words(name: str) -> str:
    """What a setting means; its name, where it is not one of ours."""
    setting = SETTINGS.get(name)
    words = (
        name.replace("_", " ")
        if setting is None
        else setting.meaning.partition(",")[0].partition(":")[0]
    )
    return words[:1].upper() + words[1:]


def _trained_words(settings: Mapping[str, Any]) -> str:
    """Which weights a run trains; a kind that another release names is told as it stands."""
    method = settings["method"]
    adapter = settings.get("peft_type")
    if method == "partial" and adapter is not None:
        return f"{'LoRA' if str(adapter).lower() == 'lora' else adapter} adapter"
    return {"full": "all weights", "partial": "some of the weights"}.get(method, _listed(method))


def _listed(setting: Any) -> str:
    if isinstance(setting, Mapping):
        return ", ".join(f"{name} {_listed(item)}" for name, item in setting.items())
    if isinstance(setting, list | tuple):
        return ", ".join(_listed(item) for item in setting)
    if isinstance(setting, bool):
        return "yes" if setting else "no"
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)
