"""How a report's numbers are worded, on a terminal and in Markdown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hf_ftrisk.text import printable

if TYPE_CHECKING:
    from hf_ftrisk.goal import Goal
    from hf_ftrisk.report.findings import Findings

_MAX_TEXT = 4000  # characters of one item in the Markdown form
_VERDICT_WORDS = {
    "GO": "go",
    "NO_GO": "no go",
    "UNDECIDED": "undecided",
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
    return f"{100 * number:.0f} %"


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


def forecast_words(report: Findings) -> str:
    """The forecast of the final metric with its 90 % interval, or why there is none."""
    forecast, goal = report.forecast, report.goal
    if forecast is None:
        return "none"
    low, high = forecast.interval(0.9)
    text = f"{value(forecast.point, goal)} (90 %: {value(low, goal)} to {value(high, goal)})"
    if goal.threshold(report.baseline) is not None:
        text += f", {share(forecast.prob_meets(goal, report.baseline))} sure to be good"
    return text


def goal_words(report: Findings) -> str:
    """What counts as a good outcome."""
    if report.goal.target is not None:
        return str(report.goal)
    if report.baseline is None:
        return f"{report.goal.metric}, no target and no trivial baseline known"
    return f"{report.goal.metric} better than the trivial {value(report.baseline, report.goal)}"


def regime_words(report: Findings) -> str:
    """The predictability regime with its posterior probability."""
    decomposition = report.decomposition
    if decomposition is None:
        return "not estimated"
    for name, probability in decomposition.regime_probabilities.items():
        if name == decomposition.regime:
            return f"{name} ({share(probability)})"
    return str(decomposition.regime)


def uncertainty_words(report: Findings) -> str:
    """Intrinsic limit and optimization spread left at the forecast's depth, as standard deviations.

    Both in units of the goal metric.
    """
    decomposition = report.decomposition
    if decomposition is None:
        return "not estimated"
    parts = []
    if decomposition.identified.get("intrinsic", False):
        low, high = decomposition.interval("intrinsic", 0.9)
        parts.append(
            f"intrinsic {value(math.sqrt(decomposition.intrinsic), report.goal)} "
            f"(90 %: {value(math.sqrt(max(low, 0.0)), report.goal)} to "
            f"{value(math.sqrt(max(high, 0.0)), report.goal)})"
        )
    else:
        parts.append("intrinsic part unidentified")
    depth = report.forecast.step if report.forecast is not None else 0
    if depth > 0:
        left = float(decomposition.optimization(depth))
        parts.append(
            f"optimization noise left after step {depth}: {value(math.sqrt(left), report.goal)}"
        )
    return "; ".join(parts)


def depth_words(report: Findings) -> str:
    """Budget-optimal probing depth c*."""
    if report.optimal_depth is None:
        return "not estimated"
    full = report.cost.full_steps
    return f"{report.optimal_depth:.0f} steps ({share(report.optimal_depth / full)} of {full})"


def spent_words(report: Findings) -> str:
    """Compute spent and saved, in steps and shares of the full run."""
    cost = report.cost
    text = f"{cost.spent_steps:.0f} of {cost.full_steps} steps ({share(cost.spent_share)})"
    if cost.spent_seconds is not None:
        text += f", {seconds(cost.spent_seconds)}"
    if cost.saved_steps:
        text += f"; saved {cost.saved_steps} steps ({share(cost.saved_steps / cost.full_steps)})"
    return text


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


def outcome_words(report: Findings) -> str | None:
    """The true final value next to the prediction, None while it is unknown."""
    if report.outcome is None:
        return None
    text = value(report.outcome, report.goal)
    if report.forecast is not None:
        low, high = report.forecast.interval(0.9)
        held = low <= report.outcome <= high
        text += f" ({'inside' if held else 'outside'} the predicted 90 % interval)"
    return text


def rows(report: Findings) -> list[tuple[str, str]]:
    """The report as (label, text) rows, in reading order; unknown optional rows are left out."""
    optional = [
        ("True final value", outcome_words(report)),
        ("Full run", full_run_words(report)),
        ("Finished early", finish_words(report)),
    ]
    return [
        ("Verdict", verdict_words(report)),
        ("Goal", goal_words(report)),
        ("Forecast", forecast_words(report)),
        *((label, text) for label, text in optional[:1] if text is not None),
        ("Uncertainty", uncertainty_words(report)),
        ("Regime", regime_words(report)),
        ("Optimal depth c*", depth_words(report)),
        ("Spent", spent_words(report)),
        *((label, text) for label, text in optional[1:] if text is not None),
    ]


def _escape(text: str) -> str:
    """Text safe inside one Markdown table cell or list item."""
    flat = printable(text, _MAX_TEXT)
    for character in "\\`*_{}[]<>|#":
        flat = flat.replace(character, f"\\{character}")
    return flat


def markdown(report: Findings) -> str:
    """The whole report as Markdown."""
    lines = [f"# Fine-tuning risk: {_escape(verdict_words(report))}", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| {_escape(label)} | {_escape(text)} |" for label, text in rows(report)]
    sections = [
        ("Why", list(report.reasons)),
        ("Diagnoses", [f"{d.name}: {d.message} {d.advice}" for d in report.diagnoses]),
        ("Notes", list(report.notes)),
    ]
    for title, items in sections:
        if items:
            lines += ["", f"## {title}", "", *(f"- {_escape(item)}" for item in items)]
    return "\n".join(lines) + "\n"
