"""A run beside a good one, at equal shares of their plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.columns import finite_points
from hf_ftrisk.replay.replay import SHARES, Replay

# What is set side by side besides the goal's metric: attribute of a record -> its words.
_COLUMNS = {
    "train_loss": "training loss",
    "grad_norm": "gradient norm",
    "learning_rate": "learning rate",
}


@dataclass(frozen=True)
class Compared:
    """One quantity of two runs, at one depth.

    Args:
        share: depth, as a share of each run's own plan.
        name: what is compared.
        here: its last value up to there in this run, None where there is none.
        there: the same in the other run.
    """

    share: float
    name: str
    here: float | None
    there: float | None


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Args:
        name: of the other run.
        rows: by quantity, then by depth.
        behind_at: depth from which this run's metric stays worse than the other's; None where it
            does not.
        worst: of what was logged in the first third, what differs most by its ratio; None where
            nothing differs by half.
    """

    name: str
    rows: tuple[Compared, ...]
    behind_at: float | None
    worst: Compared | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "name": self.name,
            "rows": [dict(vars(row)) for row in self.rows],
            "behind_at": self.behind_at,
            "worst": dict(vars(self.worst)) if self.worst else None,
        }


def compare(replay: Replay, other: RunRecord, name: str) -> Comparison:
    """This run beside another at equal shares of their plans.

    Args:
        replay: the run in question.
        other: the one it is held against.
        name: what the other is called.
    """
    goal = replay.goal
    readers: dict[str, Callable[[RunRecord, float], float | None]] = {
        goal.metric: lambda record, share: _evaluated(record, goal, share),
        **{words: _logged(column) for column, words in _COLUMNS.items()},
    }
    rows = [
        Compared(share, words, read(replay.record, share), read(other, share))
        for words, read in readers.items()
        for share in SHARES
    ]
    known_rows = [row for row in rows if row.here is not None or row.there is not None]
    return Comparison(name, tuple(known_rows), _behind(known_rows, goal), _worst(known_rows, goal))


def _evaluated(record: RunRecord, goal: Goal, share: float) -> float | None:
    steps, values = record.finite(goal.metric)
    return _last(steps, values, share * record.max_steps)


def _logged(column: str) -> Callable[[RunRecord, float], float | None]:
    def read(record: RunRecord, share: float) -> float | None:
        steps, values = finite_points(record.train_step, getattr(record, column))
        return _last(steps, values, share * record.max_steps)

    return read


def _last(steps: np.ndarray, values: np.ndarray, until: float) -> float | None:
    values_until = values[steps <= until]
    return float(values_until[-1]) if values_until.size else None


def _behind(rows: list[Compared], goal: Goal) -> float | None:
    """First depth from which this run's metric is worse than the other's at every later one."""
    first_behind: float | None = None
    for row in rows:
        if row.name != goal.metric or row.here is None or row.there is None:
            continue
        worse = row.here < row.there if goal.greater_is_better else row.here > row.there
        first_behind = (row.share if first_behind is None else first_behind) if worse else None
    return first_behind


def _worst(rows: list[Compared], goal: Goal) -> Compared | None:
    """What differs most, by its ratio, among what was set or logged early: a place to look."""

    def ratio(row: Compared) -> float:
        if not row.here or not row.there or row.here * row.there <= 0:
            return 0.0
        return abs(float(np.log(row.here / row.there)))

    early = [row for row in rows if row.name != goal.metric and row.share <= SHARES[2]]
    most = max(early, key=ratio, default=None)
    return most if most is not None and ratio(most) > np.log(1.5) else None
