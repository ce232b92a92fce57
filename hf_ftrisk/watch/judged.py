"""What one look at a watched run concluded: its words, and its numbers for a tracker. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.ruling import Ruling
from hf_ftrisk.report import Look
from hf_ftrisk.report.findings import Finish
from hf_ftrisk.text import percent
from hf_ftrisk.verdict import Verdict
from hf_ftrisk.watch.risk_curve import Risk


@dataclass(frozen=True, eq=False)
class Judged:
    """What one look concluded.

    Args:
        step: optimizer steps seen.
        ruling: the verdict and why.
        look: the forecast in numbers; None for a failure found between looks.
        forecast: the forecast itself, likewise.
        risk: optimization variance and optimal depth; None while unknown.
        advice: one concrete change, for a run that is stopped.
        of_train_loss: the forecast is of the training loss, as nothing is evaluated.
        finish: the run has nothing more to gain; None: it has, or that is not known.
    """

    step: int
    ruling: Ruling
    look: Look | None = None
    forecast: Forecast | None = None
    risk: Risk | None = None
    advice: str | None = None
    of_train_loss: bool = False
    finish: Finish | None = None

    @property
    def poor(self) -> bool:
        """Whether the run should end here."""
        return self.ruling.verdict is Verdict.NO_GO

    def logs(self) -> dict[str, float]:
        """The look for a tracker, name -> value."""
        if self.look is None:
            return {}
        values: dict[str, float | None] = {
            "forecast": self.look.median,
            "low": self.look.low,
            "high": self.look.high,
            "prob_good": self.look.prob_good,
        }
        if self.risk is not None and self.risk.decomposition is not None and self.step > 0:
            variance_left = float(self.risk.decomposition.optimization(self.step))
            values["optimization_std_left"] = math.sqrt(variance_left)
            values["optimal_depth"] = self.risk.optimal_depth
        prefix = "ftrisk/train_loss_" if self.of_train_loss else "ftrisk/"
        return {
            f"{prefix}{name}": float(value)
            for name, value in values.items()
            if value is not None and math.isfinite(value)
        }

    def repeats(self, last: Judged) -> bool:
        """Whether this look would say what the one before it said."""
        return self._words() == last._words()

    def line(self, goal: Goal, max_steps: int) -> str:
        """The look in one short line."""
        metric = "training loss" if self.of_train_loss else goal.metric
        return f"[ftrisk {self.step}/{max_steps}] forecast {metric} {self._words()}"

    def _words(self) -> str:
        """The forecast, rounded as it is read."""
        assert self.look is not None
        look = self.look
        # 80 columns hold it: the interval is the 90 % one, as everywhere.
        text = f"{look.median:.3g} ({look.low:.3g} to {look.high:.3g})"
        return text if look.prob_good is None else f"{text}, P(good) {percent(look.prob_good)}"

    def paragraph(self) -> str:
        """Why the run is called poor, with the numbers and one concrete change."""
        return f"{self.ruling.reason} {self.advice or ''}".strip()
