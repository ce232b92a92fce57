"""What would have been forecast on the way, from the file of a finished or a running job.

Neither torch nor transformers is imported: a ``trainer_state.json`` and a fraction of a second are
enough. Every look sees only the prefix of the run up to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hf_ftrisk.diagnoses.certain import certain_failure
from hf_ftrisk.diagnoses.checks import diagnose
from hf_ftrisk.diagnoses.exploded import ALLOWED, beginning
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal, trivial_baseline
from hf_ftrisk.goal.metric_names import choose_metric
from hf_ftrisk.goal.metric_scale import unsure_scale
from hf_ftrisk.policy import Rule, look_steps
from hf_ftrisk.policy.rule import POOR_PROBABILITY, judge_outcome
from hf_ftrisk.policy.ruling import Ruling, held_if_unsure
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.tasks import of_task
from hf_ftrisk.replay.finish import ReplayFinish
from hf_ftrisk.replay.keep import Keep
from hf_ftrisk.report import Look
from hf_ftrisk.text import percent
from hf_ftrisk.verdict import Diagnosis, Verdict

_MAX_CHECKS = 200
_MIN_RATIO = min(ALLOWED)
# Depths that are shown, and measured in a summary, when none are asked for.
SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True)
class ReplayLook(Look):
    """One forecast on the way; `observed` is the last evaluation so far, None before the first.

    Args:
        share: the depth that was asked for, as a share of the planned run.
        best: best evaluation so far.
    """

    share: float = 0.0
    best: float | None = None


@dataclass(frozen=True)
class Replay:
    """One run, replayed.

    Args:
        name: file the run was read from.
        goal: what it is judged by.
        record: the run, with the baseline it was judged against.
        looks: forecasts in order of step.
        stopped_at: step at which it would have been stopped, None if never.
        reason: why it would have been stopped; without a stop, why the rule could not, or did not
            although the run was last forecast to be poor, or ended so.
        certain: the stop rests on a certain failure, not on a forecast.
        outcome: final value of the goal metric, None while unknown.
        diagnoses: named failures of the whole trajectory.
        goal_inferred: nobody gave a goal, it was chosen from the metrics in the log.
        finish: where it would have been finished for want of gain; None: nobody asked.
        notes: what was learned of how it is read, one sentence each.
        keep: the checkpoint to keep; None where nothing was evaluated.
    """

    name: str
    goal: Goal
    record: RunRecord
    looks: tuple[ReplayLook, ...]
    stopped_at: int | None = None
    reason: str | None = None
    certain: bool = False
    outcome: float | None = None
    diagnoses: tuple[Diagnosis, ...] = ()
    goal_inferred: bool = False
    finish: ReplayFinish | None = None
    notes: tuple[str, ...] = ()
    keep: Keep | None = None

    @property
    def baseline(self) -> float | None:
        """Trivial baseline of the goal metric."""
        return self.record.baseline(self.goal)

    @property
    def good(self) -> bool | None:
        """Whether the run ended well; None while unknown, or without target and baseline.

        None as well where a target may be on another scale (`unsure_scale`).
        """
        if self.outcome is None or self.goal.threshold(self.baseline) is None:
            return None
        if self.goal.meets(self.outcome, self.baseline):
            return True
        values = self.record.curve(self.goal.metric)[1]
        return False if unsure_scale(self.goal, values) is None else None

    @property
    def saved_share(self) -> float:
        """Share of the planned steps that the stop would have saved."""
        if self.stopped_at is None:
            return 0.0
        return 1.0 - self.stopped_at / self.record.max_steps

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict; NaN and infinities become None."""
        data = {
            "name": self.name,
            "goal": str(self.goal),
            "goal_inferred": self.goal_inferred,
            "baseline": self.baseline,
            "status": self.record.status,
            "last_step": self.record.last_step,
            "max_steps": self.record.max_steps,
            "looks": [
                {key: _finite(value) for key, value in vars(look).items()} for look in self.looks
            ],
            "stopped_at": self.stopped_at,
            "saved_share": self.saved_share,
            "reason": self.reason,
            "certain": self.certain,
            "outcome": _finite(self.outcome),
            "good": self.good,
            "diagnoses": [diagnosis.to_dict() for diagnosis in self.diagnoses],
            "notes": list(self.notes),
            "keep": dict(vars(self.keep)) if self.keep else None,
        }
        if self.finish is not None:
            data["finished_at"] = self.finish.finished_at
            data["given_up"] = _finite(self.finish.given_up)
            data["finished_by"] = self.finish.goal.metric
        return data


def default_goal(record: RunRecord) -> Goal:
    """The goal when none is given: an accuracy, else another rate or score, else eval_loss."""
    return Goal(choose_metric({*record.evals, *record.final}) or "eval_loss")


def with_own_baseline(record: RunRecord, goal: Goal) -> RunRecord:
    """The record with the trivial baseline that its own log tells: the evaluation at step 0."""
    if goal.metric in record.baselines:
        return record
    steps, values = record.curve(goal.metric)
    untrained = float(values[0]) if steps.size and steps[0] == 0 else None
    return record.with_baseline(goal, trivial_baseline(goal, untrained=untrained))


def replay_run(
    record: RunRecord,
    rule: Rule,
    *,
    name: str = "",
    shares: Sequence[float] | None = None,
    goal_inferred: bool = False,
    notes: Sequence[str] = (),
) -> Replay:
    """Forecasts on the way, the stop, and the outcome.

    Args:
        record: a finished, stopped or running run.
        rule: supplies the goal, the forecaster and the stop.
        name: where the run was read from.
        shares: depths to forecast at, as shares of the planned run; None: `SHARES` as far as the
            run has come, and where it stands now.
        goal_inferred: the rule's goal was chosen from the log, for the text.
        notes: what else is to be said of the run.

    Raises:
        ValueError: a share outside (0, 1], or beyond what is recorded.
    """
    goal, note = record.goal_scale(rule.goal)
    unsure = unsure_scale(goal, record.curve(goal.metric)[1])
    notes = tuple(dict.fromkeys([*notes, *(text for text in (note, unsure) if text is not None)]))
    record = with_own_baseline(record, goal)
    looks = []
    latest = None
    depths = [] if _says_nothing(record, goal) else _shown_depths(record, shares)
    for share, step in depths:
        latest = rule.forecaster.predict(record.prefix(step), goal)
        looks.append(_look(record, goal, share, step, latest))
    stopped_at, reason, certain = _first_stop(record, rule)
    return Replay(
        name=name,
        goal=goal,
        record=record,
        looks=tuple(looks),
        stopped_at=stopped_at,
        reason=reason,
        certain=certain,
        outcome=record.outcome(goal) if record.has_outcome(goal) else None,
        diagnoses=diagnose(record, goal, forecaster=rule.forecaster, runs=_related(record, rule)),
        goal_inferred=goal_inferred,
        notes=notes,
    )


def _related(record: RunRecord, rule: Rule) -> Sequence[RunRecord]:
    """Completed runs of the record's task that the rule's forecaster knows."""
    forecaster = rule.forecaster
    return of_task(forecaster.history, record.task) if isinstance(forecaster, Forecaster) else ()


def _says_nothing(record: RunRecord, goal: Goal) -> bool:
    """Whether all there is to forecast from is the loss of a policy-gradient trainer."""
    trained_by_reward = bool(record.settings.get("reinforcement_learning"))
    return trained_by_reward and record.curve(goal.metric)[0].size == 0


def _shown_depths(record: RunRecord, shares: Sequence[float] | None) -> list[tuple[float, int]]:
    """(share, step) of the looks that are shown."""
    reached = record.last_step / record.max_steps
    for share in shares or ():
        if not 0.0 < share <= 1.0:
            raise ValueError(f"a depth is a share of the run in (0, 1], got {share!r}")
        if share > reached:
            raise ValueError(
                f"cannot look at {percent(share)} of the run: it is recorded up to step "
                f"{record.last_step} of {record.max_steps} ({percent(reached)})"
            )
    depths = sorted(set(shares or [share for share in SHARES if share <= reached]))
    depth_steps = [(share, max(1, math.floor(share * record.max_steps))) for share in depths]
    if not shares and record.status == "running" and record.last_step > 0:
        depth_steps = [row for row in depth_steps if row[1] < record.last_step]
        depth_steps.append((reached, record.last_step))
    return depth_steps


def _look(record: RunRecord, goal: Goal, share: float, step: int, forecast: Forecast) -> ReplayLook:
    _, values = record.prefix(step).finite(goal.metric)
    best = values.max(initial=-np.inf) if goal.greater_is_better else values.min(initial=np.inf)
    look = ReplayLook.of(
        step,
        forecast,
        goal,
        baseline=record.baseline(goal),
        observed=float(values[-1]) if values.size else None,
    )
    return replace(look, share=share, best=float(best) if values.size else None)


def _first_stop(record: RunRecord, rule: Rule) -> tuple[int | None, str | None, bool]:
    """Step of the first stop, the reason, and whether it rests on a certain failure."""
    failed_at, failure = _first_failure(record, rule.goal)
    last: Ruling | None = None
    if rule.goal.threshold(record.baseline(rule.goal)) is not None and rule.can_stop:
        for step in look_steps(record.max_steps, record.eval_step).tolist():
            if step > record.last_step or (failed_at is not None and step >= failed_at):
                break
            so_far = record.prefix(step)
            ruling = rule.judge(so_far)
            ruling = held_if_unsure(ruling, rule.goal, so_far.curve(rule.goal.metric)[1].tolist())
            if ruling.verdict is Verdict.NO_GO:
                return step, ruling.reason, ruling.certain
            last = ruling
    if failed_at is not None and failure is not None:
        return failed_at, failure.message, True
    return None, rule.why_silent(record) or _why_not(last, judge_outcome(record, rule.goal)), False


def _why_not(last: Ruling | None, ended: Ruling | None) -> str | None:
    """Why a run was not stopped that was last forecast to be poor, or ended so; None else."""
    if last is None:
        return None
    forecast_poor = last.prob_good is not None and last.prob_good < POOR_PROBABILITY
    ended_poor = ended is not None and ended.verdict is Verdict.NO_GO
    return last.reason if forecast_poor or ended_poor else None


def _first_failure(record: RunRecord, goal: Goal) -> tuple[int | None, Diagnosis | None]:
    """First logged step with a certain failure, as a watcher would have seen it."""
    steps, loss = record.finite_losses()
    level = _MIN_RATIO * beginning(steps, loss, record.max_steps) if loss.size else math.inf
    risen = bool((loss > level).any())
    suspicious = (
        risen
        or bool(record.nan_steps)
        or bool(np.isinf(record.train_loss).any())
        or bool(np.isinf(record.grad_norm).any())
        or bool((record.grad_norm == 0.0).any())
        or bool(np.isinf(record.evals.get(goal.metric, np.empty(0))).any())
    )
    logged = np.union1d(record.train_step, record.eval_step).astype(int).tolist()
    if risen and not record.nan_steps:
        # A loss that has risen is looked at as a watcher looks, not at every log.
        logged = logged[:: max(1, len(logged) // _MAX_CHECKS)]
    for step in logged if suspicious else ():
        failure = certain_failure(record.prefix(step), goal)
        if failure is not None:
            return step, failure
    return None, None


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None
