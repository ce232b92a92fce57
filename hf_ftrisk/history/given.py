"""Completed runs in any of the forms a user may give them in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from hf_ftrisk.history.run_history import RunHistory
from hf_ftrisk.record import RunRecord


def history_of(
    history: RunHistory | str | os.PathLike[str] | Iterable[Any] | None,
) -> RunHistory | tuple[RunRecord, ...] | None:
    """A history from whatever the user gave.

    Raises:
        TypeError: something that is neither a history, nor its file, nor completed runs.
    """
    if history is None or isinstance(history, RunHistory):
        return history
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
