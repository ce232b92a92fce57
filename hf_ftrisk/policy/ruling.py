"""What a rule says of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.verdict import Verdict


@dataclass(frozen=True)
class Ruling:
    """A verdict with what it rests on.

    Args:
        verdict: GO, NO_GO or UNDECIDED.
        reason: one paragraph for a person, with the numbers.
        prob_good: forecast probability of a good outcome, None when it could not be computed.
        threshold: probability below which a run is stopped, None when the rule cannot stop yet.
        certain: the failure is certain (non-finite loss, nothing trainable, ...), not a forecast.
        forecast: the forecaster's forecast that it rests on, where one was made.
        advice: one change that what decided asks for; empty: it names none.
    """

    verdict: Verdict
    reason: str
    prob_good: float | None = None
    threshold: float | None = None
    certain: bool = False
    forecast: Forecast | None = field(default=None, compare=False)
    advice: str = ""
