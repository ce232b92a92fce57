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
        way: how it would end; None: nobody asked, it is only told as a hint.
        tolerance: gain that is not worth the rest, in the metric's units; None: the usual one.
    """

    goal: Goal
    runs: Sequence[RunRecord] = ()
    way: FinishWay | None = None
    tolerance: float | None = None
    found: Finish | None = None
    _rule: FinishRule | None = None

    def look(self, record: RunRecord, forecast: Forecast | None) -> Finish | None:
        """Whether the run may end at this look; the first that says so is kept in `found`.

        Args:
            record: the run so far.
            forecast: of its end; None where nothing is evaluated.
        """
        finish = self._judge(record, forecast)
        if self.found is None:
            self.found = finish
        return finish

    def _judge(self, record: RunRecord, forecast: Forecast | None) -> Finish | None:
        if self.way == "goal":
            return None if forecast is None else self._reached(record, forecast)
        if forecast is None:
            return self._spent(with_training_loss(record), TRAIN_LOSS)
        return self._spent(record, record.goal_scale(self.goal)[0])

    def _reached(self, record: RunRecord, forecast: Forecast) -> Finish | None:
        """The target holds now and the forecast keeps it."""
        goal, _ = record.goal_scale(self.goal)
        steps, values = evaluations(record, goal)
        if goal.target is None or not values.size or not goal.meets(float(values[-1])):
            return None
        kept = forecast.prob_meets(goal, record.baseline(goal))
        if kept < KEEPS_TARGET:
            return None
        reason = (
            f"{goal} is met at step {int(steps[-1])}, and stays met with a probability of "
            f"{kept:.0%}."
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
            # A hint is not worth the time that calibrating on known runs takes.
            runs = list(self.runs)[-_MAX_RUNS:] if self.way is not None else []
            if goal.metric == TRAIN_LOSS.metric:
                runs = [with_training_loss(run) for run in runs]
            asked = None if goal.metric == TRAIN_LOSS.metric else self.tolerance
            self._rule = finish_rule(goal, runs, tolerance=asked)
        return self._rule

    def hint(self, max_steps: int) -> Diagnosis | None:
        """What was found, where nobody asked to act on it."""
        found = self.found
        if found is None or self.way is not None or found.expected_gain is None:
            return None
        most = found.most_gain if found.most_gain is not None else found.expected_gain
        return Diagnosis(
            name="nothing_to_gain",
            message=f"The last {share(1.0 - found.step / max_steps)} of this run are expected to "
            f"gain {gain_words(found.expected_gain, self.goal)} (90 %: at most "
            f"{gain_words(most, self.goal)}); {self.goal.metric} was best at step "
            f"{found.best_step}.",
            advice="End such runs by themselves with finish='gain', and keep the best checkpoint "
            "with load_best_model_at_end=True.",
            severity="info",
            evidence={"step": float(found.step), "expected_gain": found.expected_gain},
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
