"""Behind `hf-ftrisk card`: the prediction in any card that has one, in words."""

from __future__ import annotations

from hf_ftrisk.hub.metadata import CardForecast, CardMetadata
from hf_ftrisk.report.wording import share, value

_STAGES = {"preflight": "before the run", "watch": "while the run went on"}


def card_text(card: CardMetadata) -> str:
    """The prediction as aligned lines; what the card does not hold is left out."""
    rows = card_rows(card)
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {text}" for label, text in rows)


def card_rows(card: CardMetadata) -> list[tuple[str, str]]:
    """(label, text) rows in reading order."""
    goal, full = card.goal, f"{card.full_steps:,}"
    bare = f"{goal.metric} better than the trivial baseline"
    optional: list[tuple[str, str | None]] = [
        ("Predicted early", _forecast(card, card.early_forecast)),
        ("Predicted", _forecast(card, card.forecast)),
        ("Outcome", None if card.outcome is None else _outcome(card, card.outcome)),
        ("Trivial baseline", None if card.baseline is None else value(card.baseline, goal)),
        ("Stopped", None if card.stopped_at is None else f"at step {card.stopped_at:,} of {full}"),
        ("Uncertainty", _risk(card)),
        ("Diagnoses", ", ".join(card.diagnoses) or None),
        ("Made by", f"hf-ftrisk {card.hf_ftrisk}" if card.hf_ftrisk else None),
    ]
    return [
        ("Verdict", f"{card.verdict}, {_STAGES.get(card.stage, card.stage)}"),
        ("Goal", bare if goal.target is None else str(goal)),
        ("Steps", f"{card.spent_steps:,.0f} spent of {full}"),
        *((label, text) for label, text in optional if text is not None),
    ]


def _forecast(card: CardMetadata, forecast: CardForecast | None) -> str | None:
    if forecast is None:
        return None
    goal = card.goal
    text = (
        f"{value(forecast.mean, goal)} after {forecast.step:,} steps ({share(forecast.level)}: "
        f"{value(forecast.low, goal)} to {value(forecast.high, goal)})"
    )
    if forecast.prob_good is not None:
        text += f", goal met with probability {share(forecast.prob_good)}"
    return text


def _outcome(card: CardMetadata, outcome: float) -> str:
    text = value(outcome, card.goal)
    first = card.early_forecast or card.forecast
    if first is not None:
        side = "inside" if first.low <= outcome <= first.high else "outside"
        text += f", {side} the interval predicted after {first.step:,} steps"
    if card.goal.threshold(card.baseline) is not None:
        met = card.goal.meets(outcome, card.baseline)
        text += ", goal met" if met else ", goal not met"
    return text


def _risk(card: CardMetadata) -> str | None:
    if card.risk is None:
        return None
    text = card.risk.regime
    if card.risk.intrinsic_std is not None:
        text += f", ± {value(card.risk.intrinsic_std, card.goal)} that no probing removes"
    return text
