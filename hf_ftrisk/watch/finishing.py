"""When a watched run has nothing more to gain. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.gain import evaluations
from hf_ftrisk.forecast.gain.training_loss import TRAIN_LOSS, with_training_loss
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.finish import FinishRule, finish_rule, is_look
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.settings import declared
from hf_ftrisk.report.findings import Finish, FinishWay
from hf_ftrisk.report.hints import HINTS_FROM
from hf_ftrisk.text import percent

# Forecast chance with which a target that is reached must be kept.
KEEPS_TARGET = 0.9
# Completed runs of the task that calibrate the rule at most.
_MAX_RUNS = 100


@dataclass
class Finisher:
    """Says at each look whether a run may end for want of gain.

    Args:
        goal: what the run is judged by.
        runs: completed runs of the same task.
        way: how it would end; None: nobody asked, and it is told as a hint.
        tolerance: gain that is too small to train on for, in the metric's units; None: the usual
            one.
        announced: what was said.
    """

    goal: Goal
    way: FinishWay | None
    runs: Sequence[RunRecord] = ()
    tolerance: float | None = None
    announced: Finish | None = None
    _rule: FinishRule | None = None

    def look(self, record: RunRecord, forecast: Forecast | None) -> Finish | None:
        """How the run may end at this look; None: not yet, or it was said at an earlier one.

        Args:
            record: the run so far.
            forecast: of its end; None where nothing is evaluated.
        """
        if self.announced is not None:
            return None
        if self.way == "goal":
            finish = None if forecast is None else self._reached(record, forecast)
        elif self.way is None:
            finish = None if forecast is None else self._hint(record)
        elif forecast is None:
            finish = self._spent(with_training_loss(record), TRAIN_LOSS)
        else:
            finish = self._spent(record, record.goal_scale(self.goal)[0])
        self.announced = finish
        return finish

    def _hint(self, record: RunRecord) -> Finish | None:
        """As `_spent`, of a run that is better than its trivial baseline, where that is known."""
        if record.progress < HINTS_FROM:
            return None
        goal, _ = record.goal_scale(self.goal)
        baseline, (_, values) = record.baseline(goal), evaluations(record, goal)
        if not values.size:
            return None
        # Asked first: the rule costs more than everything else at a look.
        best = float(values.max() if goal.greater_is_better else values.min())
        if baseline is not None and not goal.is_better(best, baseline):
            return None
        return self._spent(record, goal)

    def _reached(self, record: RunRecord, forecast: Forecast) -> Finish | None:
        """The target holds now and the forecast keeps it."""
        goal, _ = record.goal_scale(self.goal)
        steps, values = evaluations(record, goal)
        if goal.target is None or not values.size or not goal.meets(float(values[-1])):
            return None
        prob_stays = forecast.prob_meets(goal, record.baseline(goal))
        if prob_stays < KEEPS_TARGET:
            return None
        reason = (
            f"{goal} is met at step {int(steps[-1])}, and stays met with a probability of "
            f"{percent(prob_stays)}."
        )
        return Finish(int(steps[-1]), "goal", float(values[-1]), int(steps[-1]), reason=reason)

    def _spent(self, record: RunRecord, goal: Goal) -> Finish | None:
        """Nothing more is to be gained."""
        if goal.metric != TRAIN_LOSS.metric and not is_look(record, goal):
            return None
        ruling = self._rule_for(goal).judge(record)
        if not ruling.finish or ruling.gain is None:
            return None
        gain = ruling.gain
        return Finish(
            step=int(evaluations(record, goal)[0][-1]),
            way=self.way or "gain",
            best=gain.best,
            best_step=gain.best_step,
            expected_gain=gain.expected,
            most_gain=gain.at_most(0.9),
            tolerance=gain.tolerance,
            reason=ruling.reason,
        )

    def _rule_for(self, goal: Goal) -> FinishRule:
        if self._rule is None or self._rule.goal != goal:
            runs = list(self.runs)[-_MAX_RUNS:]
            if goal.metric == TRAIN_LOSS.metric:
                runs = [with_training_loss(run) for run in runs]
            tolerance = None if goal.metric == TRAIN_LOSS.metric else self.tolerance
            self._rule = finish_rule(goal, runs, tolerance=tolerance)
        return self._rule


def marked(record: RunRecord, goal: Goal, finish: Finish) -> RunRecord:
    """A finished run as the history keeps it: its outcome is the best so far, marked as such."""
    _, values = evaluations(record, goal)
    best = finish.best
    if values.size:  # a cool-down may have found a better one
        best = float(values.max() if goal.greater_is_better else values.min())
    return replace(
        record,
        final={**record.final, goal.metric: best},
        settings={**record.settings, **declared(finished_at=finish.step, finished_by=finish.way)},
    )
