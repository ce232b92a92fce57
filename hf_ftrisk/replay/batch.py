"""Replaying files of any kind by one set of options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.forecast.gain import checked_tolerance
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import MetricKind
from hf_ftrisk.history import RunHistory
from hf_ftrisk.history.given import MAX_RUNS
from hf_ftrisk.history.remembered import default_file, is_off
from hf_ftrisk.policy import Rule, rule_maker
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.other_logs import is_other_log, read_other_log
from hf_ftrisk.replay.finish import gain_hint, replay_finish
from hf_ftrisk.replay.keep import keep_of
from hf_ftrisk.replay.replay import Replay, default_goal, replay_run


@dataclass(frozen=True)
class ReplayOptions:
    """How runs are replayed.

    Args:
        goal: what is good, as `Goal.parse` reads it; None: `default_goal` of each run.
        kind: range of the goal's metric; None: from its name and values.
        shares: depths to forecast at, as shares of the run; None: `SHARES`.
        load_best: the runs keep their best checkpoint.
        max_steps: planned steps of a log that does not say them; None: as far as it goes. A log
            that says others is read by those, with a note.
        history: run history to forecast and to stop from; a run that is in it is replayed without
            itself. ``default`` is the one kept by default, ``off`` none.
        task: task of the history's runs to use, needed when it holds several.
        false_stop_rate: allowed chance that a good run is stopped.
        rule: name of the stopping rule, of `hf_ftrisk.policy.RULES`.
        finish: also show where the run would have been finished for want of gain.
        tolerance: gain that is too small to train on for, in the metric's units; None: one point
            of a rate, 2 % of a loss.
    """

    goal: str | None = None
    kind: MetricKind | None = None
    shares: Sequence[float] | None = None
    load_best: bool = False
    max_steps: int | None = None
    history: Path | None = None
    task: str | None = None
    false_stop_rate: float = 0.05
    rule: str = "calibrated"
    finish: bool = False
    tolerance: float | None = None


@dataclass
class Replayer:
    """Replays runs; a rule is made once for each goal.

    Args:
        options: how.

    Raises:
        FileNotFoundError: no history at its path.
        ValueError: a goal, rule or tolerance that cannot be, or a history of several tasks.
    """

    options: ReplayOptions
    _rules: dict[Goal, Rule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = self.options
        self._asked = None if options.goal is None else Goal.parse(options.goal, kind=options.kind)
        if options.tolerance is not None:
            checked_tolerance(options.tolerance)
        history = None if options.history is None else _named_file(options.history)
        self._past = () if history is None else _past(history, options.task)
        self._make_rule = rule_maker(options.rule)

    def read(self, file: Path) -> tuple[RunRecord, str | None]:
        """A run, and what is to be said of how it was read.

        Args:
            file: a trainer state, a TensorBoard event file or a CSV export.

        Raises:
            FileNotFoundError: no such file.
            ValueError: none of these, or one without a logged value.
        """
        best, asked = self.options.load_best, self.options.max_steps
        if is_other_log(file):
            record, note = read_other_log(file, max_steps=asked, load_best=best)
            return record, note or _length_note(record, asked)
        record = RunRecord.from_trainer_state(file, planned_steps=asked, load_best=best)
        if record.last_step == 0 and not record.evals and not record.final:
            raise ValueError(f"{file} has no log entry with a value: nothing to replay")
        return record, _length_note(record, asked)

    def replay(self, file: Path, name: str) -> Replay:
        """The run of a file, replayed.

        Args:
            file: what `read` takes.
            name: what it is called.
        """
        record, note = self.read(file)
        one = self.replay_record(record, name, note=note)
        return replace(one, keep=keep_of(one.record, one.goal, file))

    def replay_record(
        self,
        record: RunRecord,
        name: str,
        *,
        goal: Goal | None = None,
        shares: Sequence[float] | None = None,
        note: str | None = None,
    ) -> Replay:
        """A run, replayed.

        Args:
            record: the run.
            name: what it is called.
            goal: what it is judged by where the options name nothing; None: `default_goal`.
            shares: depths in place of the options'.
            note: what is to be said of how it was read.

        Raises:
            ValueError: the goal that the options name was not evaluated in this finished run, and
                others were.
        """
        if self._asked is not None:
            _check_evaluated(record, self._asked.metric)
        goal_asked = self._asked or goal
        chosen = goal_asked or Goal.parse(default_goal(record), kind=self.options.kind)
        chosen, scale = record.goal_scale(chosen)
        one = replay_run(
            record,
            self.rule_for(chosen, record),
            name=name,
            shares=shares or self.options.shares,
            goal_inferred=goal_asked is None,
            notes=[text for text in (note, scale) if text is not None],
        )
        one = replace(one, keep=keep_of(one.record, one.goal))
        others = tuple(run for run in self._past if not _same(run, record))
        tolerance = self.options.tolerance
        if not self.options.finish:
            if one.diagnoses or one.stopped_at is not None:
                return one  # a run that has a fault gains nothing because of it
            hint = gain_hint(one.record, one.goal, others, tolerance=tolerance)
            return one if hint is None else replace(one, diagnoses=(hint,))
        return replace(one, finish=replay_finish(one.record, one.goal, others, tolerance=tolerance))

    def rule_for(self, goal: Goal, record: RunRecord) -> Rule:
        """The stopping rule for a run: of the history without the run itself."""
        rate = self.options.false_stop_rate
        others = tuple(run for run in self._past if not _same(run, record))
        if len(others) < len(self._past):
            return self._make_rule(goal, Forecaster.default(others or None), others, rate)
        if goal not in self._rules:
            forecaster = Forecaster.default(self._past or None)
            self._rules[goal] = self._make_rule(goal, forecaster, self._past, rate)
        return self._rules[goal]


def _length_note(record: RunRecord, asked: int | None) -> str | None:
    """What is to be said where a run is not as long as it was said to be."""
    if asked is None or asked == record.max_steps:
        return None
    said = "holds" if asked < record.last_step else "plans"
    return (
        f"the file {said} {record.max_steps} steps, and is read as a run of as many: --max-steps "
        f"{asked} is for files that do not say how long the run was to be."
    )


def _check_evaluated(record: RunRecord, metric: str) -> None:
    """Refuse a metric that a finished run never evaluated, where it has others."""
    evaluated = {*record.evals, *record.final, *record.nan_steps}
    if record.status == "finished" and evaluated and metric not in evaluated:
        raise ValueError(
            f"this run never evaluated {metric!r}: choose one of {sorted(evaluated)} with --goal"
        )


def _named_file(history: Path) -> Path | None:
    """The file of a history, by the words that every ``history`` knows; None: none is used."""
    if is_off(history):
        return None
    return default_file() if history == Path("default") else history


def _past(history: Path, task: str | None) -> tuple[RunRecord, ...]:
    """The latest `MAX_RUNS` completed runs of one task; no other run is read."""
    if not history.is_file():
        raise FileNotFoundError(f"no run history at {history}")
    run_history = RunHistory(history)
    tasks = sorted({name or "" for name, _ in run_history.counts()})
    if task is None and len(tasks) > 1:
        raise ValueError(
            f"{history} holds runs of {len(tasks)} tasks, and only runs of one task are "
            f"comparable: choose one with --task, of {tasks}"
        )
    if task is not None and task not in tasks:
        raise ValueError(f"{history} holds no run of the task {task!r}: it has {tasks}")
    return run_history.records(task=task, latest=MAX_RUNS)


def _same(one: RunRecord, other: RunRecord) -> bool:
    """Whether two records are of one run: equal evaluations, value for value."""
    return (
        np.array_equal(one.eval_step, other.eval_step)
        and one.evals.keys() == other.evals.keys()
        and all(
            np.array_equal(column, other.evals[name], equal_nan=True)
            for name, column in one.evals.items()
        )
    )
