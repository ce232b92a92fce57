"""Patience on the forecast: several evaluations in a row that forecast a poor outcome end a run.

The simplest rule on a forecast, and the example of how to write one: a class with the members of
`hf_ftrisk.policy.protocol.Rule`, a function that makes it, and a name in
`hf_ftrisk.policy.named.RULES`. It needs no completed runs. How many good runs it stops is not
bounded by anything but the forecaster's calibration: where that matters, take the calibrated rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hf_ftrisk.diagnoses.certain import certain_failure
from hf_ftrisk.forecast.distribution import Predictor
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.rule import GO_PROBABILITY, POOR_PROBABILITY, chance, why_not_judged
from hf_ftrisk.policy.ruling import Ruling
from hf_ftrisk.record import RunRecord
from hf_ftrisk.verdict import Verdict

EVALUATIONS = 3


@dataclass(frozen=True)
class PatienceRule:
    """Ends a run whose outcome is forecast to be poor at several evaluations in a row.

    Args:
        goal: what a run is judged by.
        forecaster: predicts its outcome.
        evaluations: how many in a row have to foretell a poor outcome, P(good) below 0.5; at least
            1.

    Raises:
        ValueError: fewer than 1 evaluation.
    """

    goal: Goal
    forecaster: Predictor
    evaluations: int = EVALUATIONS

    def __post_init__(self) -> None:
        if self.evaluations < 1:
            raise ValueError(
                "evaluations, the poor forecasts in a row that end a run, must be 1 or more, got "
                f"{self.evaluations!r}"
            )

    @property
    def can_stop(self) -> bool:
        """True: the rule rests on no completed runs."""
        return True

    def judge(self, record: RunRecord) -> Ruling:
        """NO_GO after `evaluations` poor forecasts in a row, or for a certain failure."""
        goal, _ = record.goal_scale(self.goal)
        if goal is not self.goal:
            return replace(self, goal=goal).judge(record)
        failure = certain_failure(record)
        if failure is not None:
            return Ruling(Verdict.NO_GO, failure.message, certain=True)
        baseline = record.baseline(self.goal)
        if self.goal.threshold(baseline) is None:
            return Ruling(Verdict.UNDECIDED, why_not_judged(self.goal))
        forecast = self.forecaster.predict(record, self.goal)
        prob = forecast.prob_meets(self.goal, baseline)
        poor = self._poor_in_a_row(record)
        low, high = forecast.interval(0.9)
        reason = (
            f"{chance(self.goal, baseline)} = {prob:.3f} at step {forecast.step}, forecast "
            f"{forecast.point:.4g} (90 %: {low:.4g} to {high:.4g}); below {POOR_PROBABILITY:g} at "
            f"the last {poor} evaluations, and {self.evaluations} in a row end the run."
        )
        if poor >= self.evaluations and prob < POOR_PROBABILITY:
            verdict = Verdict.NO_GO
        else:
            verdict = Verdict.GO if prob >= GO_PROBABILITY else Verdict.UNDECIDED
        return Ruling(
            verdict, reason, prob_good=prob, threshold=POOR_PROBABILITY, forecast=forecast
        )

    def why_silent(self, record: RunRecord) -> str | None:
        """Without a threshold nothing is poor."""
        has_threshold = self.goal.threshold(record.baseline(self.goal)) is not None
        return None if has_threshold else why_not_judged(self.goal)

    def _poor_in_a_row(self, record: RunRecord) -> int:
        """The latest evaluations, up to `evaluations` of them, that all foretold a poor outcome."""
        steps, _ = record.trained(self.goal.metric)
        for count, step in enumerate(steps[::-1][: self.evaluations].tolist()):
            prefix = record.prefix(step)
            forecast = self.forecaster.predict(prefix, self.goal)
            if forecast.prob_meets(self.goal, prefix.baseline(self.goal)) >= POOR_PROBABILITY:
                return count
        return min(int(steps.size), self.evaluations)


def patience_rule(
    goal: Goal,
    forecaster: Predictor,
    history: Iterable[RunRecord] | None = None,
    false_stop_rate: float = 0.05,
) -> PatienceRule:
    """A `PatienceRule` with its usual patience; it takes no notice of history and rate."""
    return PatienceRule(goal, forecaster)
