"""Which completed runs are of the same task as a new one."""

from __future__ import annotations

from collections.abc import Sequence

from hf_ftrisk.record.run_record import RunRecord


def of_task(history: Sequence[RunRecord], task: str | None) -> list[RunRecord]:
    """Runs of the task. A history that names at most one task is taken to be of that task, also
    where the task of the new run, or of a known one, is not known.
    """
    named = {record.task for record in history} | {task}
    if len(named - {None}) <= 1:
        return list(history)
    return [record for record in history if record.task == task]
