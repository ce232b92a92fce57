"""Where a run would have been finished for want of gain, and what that would have given up.

Where nobody asked, a run that had nothing more to gain is told so.
"""

from __future__ import annotations

from dataclasses import dataclass

from hf_ftrisk.forecast.gain import evaluations
from hf_ftrisk.forecast.gain.training_loss import TRAIN_LOSS, with_training_loss
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.finish import FinishRule, finish_rule
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report.findings import Finish
from hf_ftrisk.report.hints import HINTS_FROM, nothing_to_gain
from hf_ftrisk.verdict import Diagnosis


@dataclass(frozen=True)
class ReplayFinish:
    """A run, finished in hindsight.

    Args:
        goal: metric it was finished by: the goal's, or the training loss where nothing was
            evaluated.
        finished_at: step, None if never.
        given_up: by how much a later evaluation was better than the best until then, in the
            metric's units; 0 where none was, or where the run would not have been finished.
        best_step: step of the best evaluation until then: the checkpoint to keep.
        reason: why it would have been finished, or why the rule could not.
    """

    goal: Goal
    finished_at: int | None = None
    given_up: float = 0.0
    best_step: int | None = None
    reason: str = ""


def replay_finish(
    record: RunRecord,
    goal: Goal,
    history: tuple[RunRecord, ...] = (),
    *,
    tolerance: float | None = None,
) -> ReplayFinish:
    """Where the finishing rule would have ended a run.

    Args:
        record: a finished, stopped or running run.
        goal: what it is judged by.
        history: completed runs of the same task, without this one.
        tolerance: gain that matters, in the metric's units; None: `tolerance_of`.

    Raises:
        ValueError: a tolerance outside its range.
    """
    if not evaluations(record, goal)[0].size:
        record, goal = with_training_loss(record), TRAIN_LOSS
        history = tuple(with_training_loss(run) for run in history)
        tolerance = None
    goal, _ = record.goal_scale(goal)
    rule = finish_rule(goal, history, tolerance=tolerance)
    return _finished(record, rule)


def gain_hint(
    record: RunRecord,
    goal: Goal,
    history: tuple[RunRecord, ...] = (),
    *,
    tolerance: float | None = None,
) -> Diagnosis | None:
    """That a run went on although it had nothing more to gain, as a watched one is told.

    Args:
        record: a finished, stopped or running run.
        goal: what it is judged by.
        history: completed runs of the same task, without this one.
        tolerance: gain that matters, in the metric's units; None: `tolerance_of`.
    """
    if not evaluations(record, goal)[0].size:
        return None
    goal, _ = record.goal_scale(goal)
    baseline = record.baseline(goal)
    for step, ruling in finish_rule(goal, history, tolerance=tolerance).finishes(record):
        gain = ruling.gain
        if gain is None or step < HINTS_FROM * record.max_steps or step >= record.max_steps:
            continue
        if baseline is None or goal.is_better(gain.best, baseline):
            finish = Finish(
                step=step,
                way="gain",
                best=gain.best,
                best_step=gain.best_step,
                expected_gain=gain.expected,
                most_gain=gain.at_most(0.9),
                tolerance=gain.tolerance,
            )
            return nothing_to_gain(finish, goal, record.max_steps)
    return None


def _finished(record: RunRecord, rule: FinishRule) -> ReplayFinish:
    goal = rule.goal
    steps, values = evaluations(record, goal)
    better = values if goal.greater_is_better else -values
    finish = rule.first_finish(record)
    if finish is None:
        return ReplayFinish(goal, reason=rule.why_silent() or "")
    step, ruling = finish
    best = float(better[steps <= step].max())
    return ReplayFinish(
        goal=goal,
        finished_at=step,
        given_up=float(better[steps > step].max(initial=best)) - best,
        best_step=None if ruling.gain is None else ruling.gain.best_step,
        reason=ruling.reason,
    )
