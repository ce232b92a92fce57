"""Completed runs in any of the forms a user may give them in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from hf_ftrisk.history.remembered import VARIABLE, Remembered, default_file, is_off
from hf_ftrisk.history.run_history import RunHistory
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.tasks import of_task

# Completed runs that inform a run at most: a forecast uses 150, a rule's calibration 100, and
# reading and judging more would only delay the training.
MAX_RUNS = 500


# What `history_of` makes of it.
Given = RunHistory | Remembered | tuple[RunRecord, ...] | None


class KnownRuns(NamedTuple):
    """Completed runs of a task.

    Args:
        runs: the latest of them, in the order they were added.
        more: whether there are older ones that are left out.
        problems: why runs that are remembered by default could not be read, in sentences.
    """

    runs: tuple[RunRecord, ...] = ()
    more: bool = False
    problems: tuple[str, ...] = ()


def history_of(
    history: RunHistory | str | os.PathLike[str] | Iterable[Any] | None,
) -> Given:
    """A history from whatever the user gave.

    The one that is kept by default for ``"default"``, none for ``"off"`` (a file of that name is
    ``"./off"``).

    Raises:
        TypeError: something that is neither a history, nor its file, nor completed runs.
    """
    if history is None or isinstance(history, RunHistory):
        return history
    if isinstance(history, str | os.PathLike) and is_off(history):
        return None
    if history == "default":
        file = default_file()
        return None if file is None else Remembered(file)
    if isinstance(history, str | os.PathLike):
        return RunHistory(history)
    runs = tuple(history)
    odd = next((run for run in runs if not isinstance(run, RunRecord)), None)
    if odd is not None:
        raise TypeError(
            "history must be a RunHistory, the path of one, or completed RunRecords; it holds "
            f"a {type(odd).__name__}"
        )
    return runs


def known_runs(history: Given, task: str | None, metric: str) -> KnownRuns:
    """The latest completed runs of a task that evaluated a metric.

    Runs that name no task are of this one where no run names another (`of_task`).

    Args:
        history: as `history_of` gives it.
        task: name of the task, None if it is not known.
        metric: name of the goal's metric.
    """
    if history is None:
        return KnownRuns()
    if isinstance(history, Remembered):
        runs = history.runs(task, metric, MAX_RUNS + 1)
        return KnownRuns(runs[-MAX_RUNS:], len(runs) > MAX_RUNS, history.problems())
    if isinstance(history, RunHistory):
        runs = history.records(task=task, metric=metric, latest=MAX_RUNS + 1) if task else ()
        history = runs or history.records(metric=metric, latest=MAX_RUNS + 1)
    of_this_task = tuple(of_task(history, task))
    return KnownRuns(of_this_task[-MAX_RUNS:], len(of_this_task) > MAX_RUNS)


def add_run(history: Given, run: RunRecord) -> tuple[str, ...]:
    """Add a completed run where runs are kept.

    Returns:
        What to tell about it, in sentences: where it is remembered by default, or why it is not.

    Raises:
        HistoryError: a history that was asked for cannot take it.
    """
    if isinstance(history, RunHistory):
        history.add(run)
    if not isinstance(history, Remembered):
        return ()
    first = history.add(run)
    message = (
        f"this run is remembered in {history.file}, for later runs of its task: numbers and "
        f"names only. {VARIABLE}=off, or history=None: no run is."
    )
    return (message, *history.problems()) if first else history.problems()
