"""Behind `hf-ftrisk card`: the prediction in any card that has one, in words."""

from __future__ import annotations

from hf_ftrisk.hub.metadata import CardForecast, CardMetadata
from hf_ftrisk.report.wording import forecast_words, goal_words, outcome_words, share, value

_STAGES = {"preflight": "predicted before the run", "watch": "predicted while it ran"}


def card_text(card: CardMetadata) -> str:
    """The prediction as aligned lines; what the card does not hold is left out."""
    rows = card_rows(card)
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {text}" for label, text in rows)


def card_rows(card: CardMetadata) -> list[tuple[str, str]]:
    """(label, text) rows in reading order, worded as those of a report."""
    goal, full = card.goal, f"{card.full_steps:,}"
    last = card.forecast
    optional: list[tuple[str, str | None]] = [
        ("Early forecast", _forecast(card, card.early_forecast)),
        ("Forecast", _forecast(card, last)),
        (
            "Chance to meet the goal",
            None if last is None or last.prob_good is None else share(last.prob_good),
        ),
        ("Outcome", None if card.outcome is None else _outcome(card, card.outcome)),
        ("Trivial baseline", None if card.baseline is None else value(card.baseline, goal)),
        ("Stopped", None if card.stopped_at is None else f"at step {card.stopped_at:,} of {full}"),
        ("Regime", None if card.risk is None else card.risk.regime),
        ("Irreducible spread", _intrinsic(card)),
        ("Diagnoses", ", ".join(card.diagnoses) or None),
        ("Made by", f"hf-ftrisk {card.hf_ftrisk}" if card.hf_ftrisk else None),
    ]
    return [
        ("Verdict", f"{card.verdict}, {_STAGES.get(card.stage, card.stage)}"),
        ("Goal", goal_words(goal, card.baseline)),
        ("Spent", f"{card.spent_steps:,.0f} of {full} steps"),
        *((label, text) for label, text in optional if text is not None),
    ]


def _forecast(card: CardMetadata, forecast: CardForecast | None) -> str | None:
    if forecast is None:
        return None
    return forecast_words(
        forecast.median,
        forecast.low,
        forecast.high,
        step=forecast.step,
        full=card.full_steps,
        goal=card.goal,
        level=forecast.level,
    )


def _outcome(card: CardMetadata, outcome: float) -> str:
    holding_looks = [
        (made.step, made.low, made.high)
        for made in (card.early_forecast, card.forecast)
        if made is not None
    ]
    return outcome_words(outcome, card.goal, card.baseline, holding_looks)


def _intrinsic(card: CardMetadata) -> str | None:
    if card.risk is None or card.risk.intrinsic_std is None:
        return None
    return f"± {value(card.risk.intrinsic_std, card.goal)}"
