"""What searches of others have in common: can this trial still reach the best so far? No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy import StoppingRule, default_rule
from hf_ftrisk.record import RunRecord
from hf_ftrisk.verdict import Verdict


@dataclass
class TrialJudge:
    """Judges trials by the stopping rule, with the best outcome so far as the target.

    The chance that a trial which would have reached that target is ended is held to
    `false_stop_rate`, over all its looks, as for any run (docs/evidence/policy.md): by the rule
    that was measured on packaged runs of other tasks, since the trials of a search are all of
    different settings. A trial that would reach the target at its present pace goes on anyway.
    Where that rule knows no threshold, as for scores of no known range (BLEU, rewards), nothing is
    ended but trials whose metric is no longer a number.

    Args:
        goal: metric and direction.
        false_stop_rate: allowed chance that a trial which would have been the best is ended.
    """

    goal: Goal
    false_stop_rate: float
    _rules: dict[float, StoppingRule] = field(default_factory=dict, init=False, repr=False)

    def is_lost(
        self, values: Mapping[int, float], max_steps: int, outcomes: Sequence[float]
    ) -> bool:
        """Whether a trial is to be ended.

        Args:
            values: step -> metric, as reported so far.
            max_steps: steps of the full trial.
            outcomes: outcomes of the trials that were trained to theirs.
        """
        steps = np.array(sorted(step for step in values if step > 0), dtype=np.float64)
        if not steps.size:
            return False
        values_so_far = np.array([values[int(step)] for step in steps])
        if not math.isfinite(values_so_far[-1]):
            return True
        finite = [outcome for outcome in outcomes if math.isfinite(outcome)]
        if not finite or steps[-1] >= max_steps:
            return False
        record = RunRecord(
            max_steps=max_steps,
            eval_step=steps,
            evals={self.goal.metric: values_so_far},
            status="running",
        )
        best = max(finite) if self.goal.greater_is_better else min(finite)
        if not self.goal.is_better(best, than=at_its_pace(steps, values_so_far, max_steps)):
            return False
        return self._rule(best).decide(record) is Verdict.NO_GO

    def _rule(self, target: float) -> StoppingRule:
        if target not in self._rules:
            goal = self.goal.with_target(target)
            self._rules = {
                target: default_rule(goal, Forecaster.default(), (), self.false_stop_rate)
            }
        return self._rules[target]


def at_its_pace(steps: np.ndarray, values: np.ndarray, max_steps: int) -> float:
    """Value at the end if a trial goes on as it went since half of what was seen.

    Args:
        steps: (n,) steps of the reports, increasing.
        values: (n,) their values.
        max_steps: step of the end.
    """
    since = int(np.searchsorted(steps, steps[-1] / 2.0))
    if since == steps.size - 1:
        since = max(0, since - 1)
    if since == steps.size - 1:
        return float(values[-1])
    pace = (values[-1] - values[since]) / (steps[-1] - steps[since])
    return float(values[-1] + pace * (max_steps - steps[-1]))
