"""The demo's packaged history: what a team has that trained these tasks before."""

from __future__ import annotations

from pathlib import Path

from hf_ftrisk.history import RunHistory

# Recorded by `python -m benchmarks.record_demo_history`.
HISTORY_FILE = Path(__file__).with_name("history.parquet")


def demo_history(folder: Path) -> RunHistory:
    """A fresh history in `folder`, with the packaged runs of both tasks in it."""
    file = folder / "history.db"
    file.unlink(missing_ok=True)
    history = RunHistory(file)
    history.import_parquet(HISTORY_FILE)
    return history
