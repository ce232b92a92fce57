"""A report as a section of a model card, and as the metadata beside it.

`render_section` is for people, `card_metadata` for programs. Both take the cleaned report, hold
predictions as predictions, and go nowhere near ``model-index``: that is for measurements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import hf_ftrisk
from hf_ftrisk.policy.verdict import Verdict
from hf_ftrisk.remote.markdown import Markdown, escape, render

if TYPE_CHECKING:
    from hf_ftrisk.report import RiskReport

KEY = "ftrisk"
TAG = "ftrisk"
METADATA_VERSION = 1
REPORT_FILE = "ftrisk/report.json"
FIGURE_FILE = "ftrisk/report.png"

_LEVEL = 0.9
_HEADLINES = {
    Verdict.GO: "GO: predicted to end well",
    Verdict.NO_GO: "NO-GO: predicted to end poorly",
    Verdict.UNDECIDED: "UNDECIDED: what is known does not settle it",
}
_MAX_ITEMS = 20


def card_metadata(report: RiskReport) -> dict[str, Any]:
    """What stands under the key ``ftrisk`` of the card: small, versioned, plain data.

    Numbers have six significant digits; variances are given as standard deviations, in units of
    the metric.
    """
    goal, forecast = report.goal, report.forecast
    data: dict[str, Any] = {
        "version": METADATA_VERSION,
        "hf_ftrisk": hf_ftrisk.__version__,
        "stage": report.stage,
        "verdict": str(report.verdict),
        "goal": {
            "metric": goal.metric,
            "target": goal.target,
            "greater_is_better": goal.greater_is_better,
        },
        "baseline": report.baseline,
    }
    if forecast is not None:
        low, high = forecast.interval(_LEVEL)
        data["forecast"] = {
            "mean": forecast.mean,
            "low": low,
            "high": high,
            "level": _LEVEL,
            "prob_good": _prob_good(report),
            "step": forecast.step,
        }
    data["outcome"] = report.outcome
    if report.decomposition is not None:
        data["risk"] = {
            "intrinsic_std": math.sqrt(max(report.decomposition.intrinsic, 0.0)),
            "regime": str(report.decomposition.regime),
            "optimal_depth": report.optimal_depth,
        }
    data["steps"] = {"full": report.cost.full_steps, "spent": report.cost.spent_steps}
    data["stopped_at"] = report.stopped_at
    data["diagnoses"] = [diagnosis.name for diagnosis in report.diagnoses[:_MAX_ITEMS]]
    data["report"] = REPORT_FILE
    cleaned = _compact(data)
    assert isinstance(cleaned, dict)
    return cleaned


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
            "version": hf_ftrisk.__version__,
        },
    )


# --- rows ------------------------------------------------------------------------------------

Rows = list[tuple[str, object]]


def _summary(report: RiskReport) -> Rows:
    goal, forecast = report.goal, report.forecast
    rows: Rows = [("Goal", _goal(report))]
    if forecast is not None:
        low, high = forecast.interval(_LEVEL)
        after = f"after {forecast.step:,} of {report.cost.full_steps:,} steps"
        text = f"{_number(forecast.mean)}, 90 % interval {_number(low)} to {_number(high)}, {after}"
        rows.append(("Predicted final value", text))
    prob = _prob_good(report)
    if prob is not None:
        rows.append(("Probability that the goal is met", _percent(prob)))
    if report.outcome is not None:
        rows.append(("What happened", _happened(report, report.outcome)))
    if report.baseline is not None:
        rows.append((f"Trivial baseline of {goal.metric}", _number(report.baseline)))
    if report.stopped_at is not None:
        rows.append(("Stopped at step", f"{report.stopped_at:,} of {report.cost.full_steps:,}"))
    return rows


def _goal(report: RiskReport) -> str:
    goal = report.goal
    if goal.target is None:
        return f"{goal.metric} better than the trivial baseline"
    side = "at least" if goal.greater_is_better else "at most"
    return f"{goal.metric} {side} {_number(goal.target)}"


def _happened(report: RiskReport, outcome: float) -> str:
    parts = [_number(outcome)]
    if report.forecast is not None:
        low, high = report.forecast.interval(_LEVEL)
        where = "inside" if low <= outcome <= high else "outside"
        parts.append(f"{where} the predicted interval")
    if report.goal.threshold(report.baseline) is not None:
        met = report.goal.meets(outcome, report.baseline)
        parts.append("goal met" if met else "goal not met")
    return ", ".join(parts)


def _uncertainty(report: RiskReport) -> Rows:
    risk = report.decomposition
    if risk is None:
        return []
    rows: Rows = [
        ("Regime", _regime(risk)),
        ("Intrinsic limit, however deep one probes", f"± {_number(_root(risk.intrinsic))}"),
    ]
    spent = report.forecast.step if report.forecast else report.cost.spent_steps
    if spent > 0:
        left = _root(risk.optimization(spent))
        rows.append((f"Still reducible after {spent:,.0f} steps", f"± {_number(left)}"))
    if report.optimal_depth is not None:
        share = report.optimal_depth / report.cost.full_steps
        rows.append(
            ("Depth c* that pays best", f"{report.optimal_depth:,.0f} steps ({_percent(share)})")
        )
    return rows


def _regime(risk: Any) -> str:
    name = str(risk.regime)
    probability = risk.regime_probabilities.get(name)
    return name if probability is None else f"{name} (probability {_percent(probability)})"


def _cost(report: RiskReport) -> Rows:
    cost = report.cost
    rows: Rows = [
        (
            "Spent",
            f"{cost.spent_steps:,.0f} of {cost.full_steps:,} steps ({_percent(cost.spent_share)})",
        )
    ]
    if cost.spent_seconds is not None:
        rows.append(("Spent time", _duration(cost.spent_seconds)))
    if cost.saved_steps is not None:
        rows.append(("Saved by stopping", f"{cost.saved_steps:,} steps"))
    if cost.full_seconds is not None:
        rows.append(("Full run, expected", _duration(cost.full_seconds)))
    if cost.peak_memory_bytes is not None:
        rows.append(("Peak memory", f"{cost.peak_memory_bytes / 2**30:.2f} GiB"))
    if cost.full_flops is not None:
        rows.append(("Operations of the full run", f"{cost.full_flops:.3g}"))
    if cost.full_energy_kwh is not None:
        rows.append(("Energy of the full run", f"{_number(cost.full_energy_kwh)} kWh"))
    if cost.full_money is not None:
        rows.append(("Price of the full run", f"{_number(cost.full_money)} {cost.currency or ''}"))
    return rows


def _measured(report: RiskReport) -> Rows:
    stage = "pre-flight probes" if report.stage == "preflight" else "the watched run itself"
    rows: Rows = [("From", stage)]
    if report.forecast is not None and report.forecast.source:
        rows.append(("Forecast rests on", report.forecast.source))
    for name, value in report.settings.items():
        rows.append((name.replace("_", " "), _listed(value)))
    return rows[:_MAX_ITEMS]


def _looks(report: RiskReport) -> list[tuple[Markdown, ...]]:
    """Up to eight forecasts on the way, spread over all of them, the last one among them."""
    looks = report.looks
    count = min(len(looks), 8)
    if count < 2:
        return []
    picked = [looks[round(i * (len(looks) - 1) / (count - 1))] for i in range(count)]
    return [
        (
            escape(f"{look.step:,}"),
            escape("" if look.observed is None else _number(look.observed)),
            escape(f"{_number(look.mean)} ({_number(look.low)} to {_number(look.high)})"),
            escape("" if look.prob_good is None else _percent(look.prob_good)),
        )
        for look in picked
    ]


# --- words -----------------------------------------------------------------------------------


def _prob_good(report: RiskReport) -> float | None:
    if report.forecast is None or report.goal.threshold(report.baseline) is None:
        return None
    return report.forecast.prob_meets(report.goal, report.baseline)


def _listed(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_listed(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_listed(item) for item in value)
    if isinstance(value, float):
        return _number(value)
    return str(value)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if 0 < share < 0.1 or 0.9 < share < 1 else f"{100 * share:.0f} %"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _root(variance: float) -> float:
    return math.sqrt(max(variance, 0.0))


def _compact(value: Any) -> Any:
    """Six significant digits; not-a-number and infinities as nothing; absent values left out."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        kept = {name: _compact(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item is not None}
    if isinstance(value, list):
        return [_compact(item) for item in value]
    return value
