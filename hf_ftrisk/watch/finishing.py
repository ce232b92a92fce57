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
from hf_ftrisk.report.wording import gain_words, share
from hf_ftrisk.verdict import Diagnosis

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
        way: how it would end.
        tolerance: gain that is not worth the rest, in the metric's units; None: the usual one.
    """

    goal: Goal
    way: FinishWay
    runs: Sequence[RunRecord] = ()
    tolerance: float | None = None
    said: bool = False
    _rule: FinishRule | None = None

    def look(self, record: RunRecord, forecast: Forecast | None) -> Finish | None:
        """How the run may end at this look; None: not yet, or it was said at an earlier one.

        Args:
            record: the run so far.
            forecast: of its end; None where nothing is evaluated.
        """
        if self.said:
            return None
        if self.way == "goal":
            finish = None if forecast is None else self._reached(record, forecast)
        elif forecast is None:
            finish = self._spent(with_training_loss(record), TRAIN_LOSS)
        else:
            finish = self._spent(record, record.goal_scale(self.goal)[0])
        self.said = finish is not None
        return finish

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
            f"{prob_stays:.0%}."
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
            way=self.way,
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


def nothing_to_gain(
    record: RunRecord, goal: Goal, tolerance: float | None = None
) -> Diagnosis | None:
    """A hint at the first look after which a run had nothing more to gain; None: there is none.

    It rests on packaged runs alone: a hint is not worth the time that calibrating on others takes.

    Args:
        record: the run as it ended.
        goal: what it was judged by.
        tolerance: gain that is not worth the rest, in the metric's units; None: the usual one.
    """
    goal, _ = record.goal_scale(goal)
    finish = finish_rule(goal, tolerance=tolerance).first_finish(record)
    if finish is None or finish[1].gain is None:
        return None
    step, gain = finish[0], finish[1].gain
    most = gain.at_most(0.9)
    return Diagnosis(
        name="nothing_to_gain",
        message=f"At step {step} the last {share(1.0 - step / record.max_steps)} of this run were "
        f"expected to gain {gain_words(gain.expected, goal)} (90 %: at most "
        f"{gain_words(gain.expected if most is None else most, goal)}); {goal.metric} was best at "
        f"step {gain.best_step}.",
        advice="End such runs by themselves with finish='gain', and keep the best checkpoint "
        "with load_best_model_at_end=True.",
        severity="info",
        evidence={"step": float(step), "expected_gain": gain.expected},
    )


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
