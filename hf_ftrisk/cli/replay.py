"""Behind `hf-ftrisk replay`: files in, text or JSON out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.forecast.gain import checked_tolerance
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import MetricKind
from hf_ftrisk.history import RunHistory
from hf_ftrisk.history.given import MAX_RUNS
from hf_ftrisk.policy import Rule, rule_maker
from hf_ftrisk.record import RunRecord
from hf_ftrisk.replay.finish import replay_finish
from hf_ftrisk.replay.replay import (
    Replay,
    default_goal,
    find_states,
    replay_run,
    summarize,
)
from hf_ftrisk.replay.text import replay_text, summary_text
from hf_ftrisk.text import visible


def run_replay(
    path: Path,
    *,
    shares: Sequence[float] | None = None,
    goal: str | None = None,
    kind: MetricKind | None = None,
    load_best: bool = False,
    history: Path | None = None,
    task: str | None = None,
    false_stop_rate: float = 0.05,
    rule: str = "calibrated",
    finish: bool = False,
    tolerance: float | None = None,
    as_json: bool = False,
) -> str:
    """Replay a state file, or every run below a folder, and word the result.

    Args:
        path: the file or folder.
        shares: depths to forecast at, as shares of the run.
        goal: what is good; None: `default_goal` of each run.
        kind: range of the goal's metric; None: from its name and values.
        load_best: the runs keep their best checkpoint.
        history: run history to forecast and to stop from; a run that is in it is replayed without
            itself.
        task: task of the history's runs to use, needed when it holds several.
        false_stop_rate: allowed chance that a good run is stopped.
        rule: name of the stopping rule, of `hf_ftrisk.policy.RULES`.
        finish: also show where the run would have been finished for want of gain.
        tolerance: gain that is not worth the rest of a run, in the metric's units; None: one point
            of a rate, 2 % of a loss.
        as_json: JSON instead of text.

    Raises:
        FileNotFoundError: no such path.
        ValueError: no trainer state there, or a goal, depth or rate that cannot be.
    """
    asked = None if goal is None else Goal.parse(goal, kind=kind)
    if tolerance is not None:
        checked_tolerance(tolerance)
    past = () if history is None else _past(history, task)
    rules: dict[Goal, Rule] = {}
    make_rule = rule_maker(rule)

    def rule_for(goal: Goal, record: RunRecord) -> Rule:
        others = tuple(run for run in past if not _same(run, record))
        if len(others) < len(past):
            return make_rule(goal, Forecaster.default(others or None), others, false_stop_rate)
        if goal not in rules:
            forecaster = Forecaster.default(past or None)
            rules[goal] = make_rule(goal, forecaster, past, false_stop_rate)
        return rules[goal]

    def replayed(file: Path, name: str, depths: Sequence[float] | None) -> Replay:
        record = RunRecord.from_trainer_state(file, load_best=load_best)
        if record.last_step == 0 and not record.evals and not record.final:
            raise ValueError(f"{file} has no log entry with a value: nothing to replay")
        wanted = asked or Goal.parse(default_goal(record), kind=kind)
        wanted, note = record.goal_scale(wanted)
        own = rule_for(wanted, record)
        one = replay_run(
            record,
            own,
            name=name,
            shares=depths,
            goal_inferred=asked is None,
            notes=() if note is None else (note,),
        )
        if not finish:
            return one
        others = tuple(run for run in past if not _same(run, record))
        return replace(one, finish=replay_finish(one.record, one.goal, others, tolerance=tolerance))

    files = find_states(path)
    if path.is_file():
        one = replayed(path, path.name, shares)
        return _json(one.to_dict()) if as_json else visible(replay_text(one))
    replays: list[Replay] = []
    refused: list[tuple[str, str]] = []
    for file in files:
        name = file.relative_to(path).as_posix()
        try:
            replays.append(replayed(file, name, shares))
        except (ValueError, OSError) as error:
            refused.append((name, str(error).replace(str(file), name)))
    if not replays:
        why = "; ".join(reason for _, reason in refused[:3]) or "it holds no JSON file"
        raise ValueError(f"no run to replay in {path}: {why}")
    summary = summarize(replays)
    if as_json:
        return _json(
            {
                "runs": [replay.to_dict() for replay in replays],
                "summary": summary.to_dict(),
                "refused": [{"name": name, "reason": reason} for name, reason in refused],
            }
        )
    skipped = [f"left out {name}: {reason}" for name, reason in refused]
    return visible("\n".join([summary_text(replays, summary), *skipped]))


def _past(history: Path, task: str | None) -> tuple[RunRecord, ...]:
    """The latest `MAX_RUNS` completed runs of one task; no other run is read."""
    if not history.is_file():
        raise FileNotFoundError(f"no run history at {history}")
    known = RunHistory(history)
    tasks = sorted({name or "" for name, _ in known.counts()})
    if task is None and len(tasks) > 1:
        raise ValueError(
            f"{history} holds runs of {len(tasks)} tasks, and only runs of one task are "
            f"comparable: choose one with --task, of {tasks}"
        )
    if task is not None and task not in tasks:
        raise ValueError(f"{history} holds no run of the task {task!r}: it has {tasks}")
    return known.records(task=task, latest=MAX_RUNS)


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


def _json(data: object) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
