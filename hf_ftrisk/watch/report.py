"""The report of a watched run, and where its time went. No torch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import Any

from hf_ftrisk.diagnoses.checks import diagnose
from hf_ftrisk.forecast.gain.training_loss import TRAIN_LOSS
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.rule import judge_outcome
from hf_ftrisk.record import RunRecord, Status
from hf_ftrisk.record.settings import declared
from hf_ftrisk.report import Cost, RiskReport
from hf_ftrisk.report.findings import Finish
from hf_ftrisk.report.hints import nothing_to_gain
from hf_ftrisk.signals.dynamics import dynamics_signals
from hf_ftrisk.verdict import Diagnosis, Verdict
from hf_ftrisk.watch.finishing import marked
from hf_ftrisk.watch.watcher import NO_EVALUATION, Watcher

_LOST = (
    "No risk curve and no optimal depth c*: the last evaluation gave NaN for {metric}, and of what "
    "is no number there is no spread."
)


@dataclass
class Clock:
    """Splits wall time at the events of a run.

    Args:
        steps: optimizer steps counted.
        step_seconds: their time, data loading included.
        evaluations: evaluations counted.
        eval_seconds: their time.
    """

    steps: int = 0
    step_seconds: float = 0.0
    evaluations: int = 0
    eval_seconds: float = 0.0
    _began: float = field(default_factory=time.perf_counter)
    _mark: float = field(default_factory=time.perf_counter)
    _first_step: float | None = None

    def mark(self) -> None:
        """What comes next begins now."""
        self._mark = time.perf_counter()

    def end_step(self) -> None:
        """A step has ended."""
        now = time.perf_counter()
        if self._first_step is None:
            self._first_step = self._mark
        self.steps += 1
        self.step_seconds += now - self._mark
        self._mark = now

    def end_evaluation(self) -> None:
        """An evaluation has ended."""
        now = time.perf_counter()
        self.evaluations += 1
        self.eval_seconds += now - self._mark
        self._mark = now

    @property
    def seconds(self) -> float:
        """Wall time since the run began."""
        return time.perf_counter() - self._began

    @property
    def other_per_step(self) -> float:
        """Mean seconds beside a step that were no evaluation either: saving, other callbacks.

        What came before the first step, such as compilation of the data, is not of this kind.
        """
        if not self.steps or self._first_step is None:
            return 0.0
        elapsed = self._mark - self._first_step
        return max(elapsed - self.step_seconds - self.eval_seconds, 0.0) / self.steps

    @property
    def per_step(self) -> float | None:
        """Mean seconds of a step; None before the first."""
        return self.step_seconds / self.steps if self.steps else None

    @property
    def per_evaluation(self) -> float | None:
        """Mean seconds of an evaluation; None before the first."""
        return self.eval_seconds / self.evaluations if self.evaluations else None


@dataclass(frozen=True)
class Progress:
    """How far the watched run has come.

    Args:
        step: optimizer steps done.
        status: of the run.
        stopped_at: step at which the callback stopped it.
        finish: how the callback ended it for want of gain.
        evaluations: planned evaluations of the full run.
        peak_memory: bytes, None if unknown.
        flops: floating-point operations so far, None if unknown.
        notes: what could not be done, and why.
        settings: how it was watched.
    """

    step: int
    status: Status = "running"
    stopped_at: int | None = None
    finish: Finish | None = None
    evaluations: int = 0
    peak_memory: int | None = None
    flops: float | None = None
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] | None = None


def watch_report(watcher: Watcher, clock: Clock, progress: Progress) -> RiskReport:
    """The report as of now.

    Args:
        watcher: what was seen and concluded.
        clock: where the time went.
        progress: how far the run has come.
    """
    record = _with_best_as_outcome(watcher.trace.record(progress.status), watcher.goal, progress)
    if progress.finish is not None and watcher.forecasts:
        record = marked(record, watcher.goal, progress.finish)
    goal, last = watcher.goal, watcher.last
    at_goal = last is not None and not last.of_train_loss
    lost = _value_is_lost(record, goal)
    known = at_goal and not lost
    risk = watcher.risk(anew=progress.status != "running") if known else None
    outcome = record.outcome(goal) if record.has_outcome(goal) else None
    verdict, reasons = _verdict(watcher, record, progress)
    return RiskReport(
        goal=goal,
        verdict=verdict,
        reasons=reasons,
        cost=_cost(watcher, clock, progress),
        stage="watch",
        forecast=last.forecast if last is not None and at_goal else None,
        decomposition=risk.decomposition if risk is not None else None,
        diagnoses=_diagnoses(watcher, record),
        baseline=record.baseline(goal),
        looks=tuple(one.look for one in watcher.judged if one.look and not one.of_train_loss),
        run=record,
        risk_curve=risk.curve if risk is not None else (),
        optimal_depth=risk.optimal_depth if risk is not None else None,
        outcome=outcome if outcome is not None and math.isfinite(outcome) else None,
        stopped_at=progress.stopped_at,
        finish=progress.finish,
        signals=dynamics_signals(record) | _training_loss(watcher, progress),
        settings={
            **record.settings,
            **declared(
                task=record.task,
                risk_curve_from=risk.source if risk is not None else None,
                completed_runs=len(watcher.runs),
            ),
            **(progress.settings or {}),
        },
        notes=(
            *progress.notes,
            *_notes(watcher, reasons, known, risk is not None, outcome, progress),
            *([_LOST.format(metric=goal.metric)] if at_goal and lost else []),
        ),
    )


def _value_is_lost(record: RunRecord, goal: Goal) -> bool:
    """Whether the last evaluation gave no number: then the goal's metric has no spread either.

    A correlation that is NaN is that of a constant prediction, and counts as 0.
    """
    lost = record.nan_steps.get(goal.metric)
    if lost is None or not lost.size or goal.kind == "correlation":
        return False
    steps, _ = record.curve(goal.metric)
    return not steps.size or bool(lost[-1] > steps[-1])


def _verdict(
    watcher: Watcher, record: RunRecord, progress: Progress
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and its reasons: by the outcome once it is known, else by the last look."""
    last = watcher.failure or watcher.last
    outcome = judge_outcome(record, watcher.goal) if progress.stopped_at is None else None
    if outcome is not None:
        verdict, reasons = outcome.verdict, [outcome.reason]
    elif last is not None:
        verdict, reasons = last.ruling.verdict, [last.ruling.reason]
    else:
        verdict, reasons = Verdict.UNDECIDED, ["There was no forecast of this run."]
    if progress.stopped_at is not None and last is not None and last.advice:
        reasons.append(last.advice)
    if progress.finish is not None:
        reasons.append(progress.finish.reason)
    return verdict, tuple(reasons)


def _diagnoses(watcher: Watcher, record: RunRecord) -> tuple[Diagnosis, ...]:
    """What is wrong with the run; where nothing is, that it has nothing more to gain."""
    # How half and twice the steps would end is forecast once, when the run has ended.
    forecaster = None if record.status == "running" else watcher.forecaster
    diagnoses = diagnose(record, watcher.goal, forecaster=forecaster, runs=watcher.runs)
    return diagnoses or _hints(watcher, record)


def _with_best_as_outcome(record: RunRecord, goal: Goal, progress: Progress) -> RunRecord:
    """The record of a run that ended early by itself and kept its best checkpoint.

    That checkpoint is what came of it (`EarlyStoppingCallback` with ``load_best_model_at_end``).
    A run that was stopped as poor has no such outcome: it might have become better.
    """
    early = progress.status == "stopped" and progress.stopped_at is None
    steps, _ = record.curve(goal.metric)
    if not early or not record.load_best or not steps.size:
        return record
    best = replace(record, status="finished").outcome(goal)
    return replace(
        record,
        final={**record.final, goal.metric: best},
        settings={**record.settings, **declared(ended_early_at=progress.step)},
    )


def _hints(watcher: Watcher, record: RunRecord) -> tuple[Diagnosis, ...]:
    """That a run has nothing more to gain, where nobody asked.

    Only where nothing else was found: a run that has a fault gains nothing because of it.
    """
    finisher = watcher.finisher
    if finisher.way is not None or finisher.announced is None:
        return ()
    return (nothing_to_gain(finisher.announced, watcher.goal, record.max_steps),)


def _training_loss(watcher: Watcher, progress: Progress) -> dict[str, float]:
    """The last forecast of the final training loss, and that, where nothing is evaluated."""
    last = watcher.last
    if last is None or not last.of_train_loss or last.look is None:
        return {}
    values = {
        "train_loss_forecast": last.look.median,
        "train_loss_low": last.look.low,
        "train_loss_high": last.look.high,
        "train_loss_forecast_step": float(last.step),
    }
    if progress.status == "finished":
        record = watcher.trace.record(progress.status)
        losses = watcher.training_loss(record.max_steps, record)
        if losses is not None and losses.eval_step[-1] == record.max_steps:
            values["train_loss_end"] = float(losses.evals[TRAIN_LOSS.metric][-1])
    return values


def _notes(
    watcher: Watcher,
    reasons: tuple[str, ...],
    known: bool,
    has_risk: bool,
    outcome: float | None,
    progress: Progress,
) -> list[str]:
    notes = list(watcher.notes)
    # Where it is the verdict's reason, it is said there.
    if not watcher.forecasts and (watcher.failure or watcher.last is None):
        notes.append(NO_EVALUATION)
    loss = _training_loss(watcher, progress)
    if loss:
        text = (
            "Final training loss, forecast at step "
            f"{loss['train_loss_forecast_step']:.0f}: "
            f"{loss['train_loss_forecast']:.4g} "
            f"(90 %: {loss['train_loss_low']:.4g} to {loss['train_loss_high']:.4g})."
        )
        if "train_loss_end" in loss:
            text += f" It ended at {loss['train_loss_end']:.4g}."
        notes.append(text)
    if known and not has_risk:
        notes.append(
            "No risk curve and no optimal depth c*: they need 8 completed runs of this task in the "
            "history, or 3 forecasts of this run."
        )
    silent = watcher.rule.why_silent(watcher.trace.plan)
    if silent is not None and watcher.forecasts and silent[1:-1] not in " ".join(reasons):
        notes.append(silent)
    if progress.status == "stopped" and progress.stopped_at is None and progress.finish is None:
        best_words = (
            "" if outcome is None else " Its best checkpoint, which it kept, is its outcome."
        )
        notes.append(f"The run ended at step {progress.step}, before its planned end.{best_words}")
    return notes


def _cost(watcher: Watcher, clock: Clock, progress: Progress) -> Cost:
    planned = watcher.plan.max_steps
    full = None
    resumed = bool((progress.settings or {}).get("resumed_at"))
    if progress.status == "finished" and not resumed:
        full = clock.seconds
    elif clock.per_step is not None:
        # What is neither step nor evaluation, such as saving, goes on as it has so far.
        full = planned * (clock.per_step + clock.other_per_step)
        if progress.evaluations and clock.per_evaluation is None:
            full = None
        elif progress.evaluations and clock.per_evaluation is not None:
            full += progress.evaluations * clock.per_evaluation
    stopped = progress.stopped_at
    if stopped is None and progress.finish is not None and progress.status == "stopped":
        stopped = progress.step
    return Cost(
        full_steps=planned,
        spent_steps=float(progress.step),
        spent_seconds=clock.seconds,
        saved_steps=planned - stopped if stopped is not None else None,
        seconds_per_step=clock.per_step,
        seconds_per_eval=clock.per_evaluation,
        full_seconds=full,
        peak_memory_bytes=progress.peak_memory,
        full_flops=progress.flops / progress.step * planned
        if progress.flops and progress.step
        else None,
    )
