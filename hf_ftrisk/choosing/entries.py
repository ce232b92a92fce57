"""What came out of ranking candidates, as data: one entry each, the best first. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.report import Look

Status = Literal["open", "complete", "failed"]


@dataclass(frozen=True, eq=False)
class Entry:
    """One candidate.

    Args:
        name: as given.
        status: ``"open"``: its run can go on; ``"complete"``: it was trained to its end;
            ``"failed"``: a fault ended it, and it cannot be chosen.
        prob_best: chance that it ends best, in [0, 1].
        expected_regret: expected distance of its end from the best one's, in units of the metric,
            for losses as a share; None where nothing is known of it.
        forecast: of its final metric; None where it was never looked at.
        observed: metric at the last look.
        step: optimizer steps trained.
        max_steps: optimizer steps of its full run; 0 where its Trainer could not be built.
        spent: cost so far, in the ranking's unit.
        to_come: cost of the rest of its run.
        decided_by: which part placed it: a fault, a forecast and its depth, its end.
        looks: (n_looks,) what each look forecast: medians and 90 % intervals.
        checkpoint: folder its run continues from; None where it has none.
    """

    name: str
    status: Status
    prob_best: float
    expected_regret: float | None
    forecast: Forecast | None
    observed: float | None
    step: int
    max_steps: int
    spent: float
    to_come: float
    decided_by: str
    looks: tuple[Look, ...] = ()
    checkpoint: str | None = None

    @property
    def share(self) -> float:
        """Share of its run that was trained, in [0, 1]."""
        return self.step / self.max_steps if self.max_steps else 0.0


@dataclass(frozen=True, eq=False)
class Ranked:
    """Candidates in the order in which they should be chosen.

    Args:
        goal: what they are judged by.
        entries: (n_candidates,) the best first; those that failed last.
        budget: share of the cost of all full runs that might be spent.
        spent: share of it that was.
        unit: what costs are counted in: ``"steps"``, ``"seconds"`` or a currency.
        notes: what should be known about it.
    """

    goal: Goal
    entries: tuple[Entry, ...]
    budget: float
    spent: float
    unit: str
    notes: tuple[str, ...] = field(default=())

    @property
    def best(self) -> Entry | None:
        """The candidate to choose; None where all failed or none was looked at."""
        first = self.entries[0] if self.entries else None
        if first is None or first.status == "failed" or first.forecast is None:
            return None
        return first

    def __getitem__(self, name: str) -> Entry:
        """The entry of a candidate.

        Raises:
            KeyError: no such candidate.
        """
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise KeyError(f"no candidate {name!r}, there are {[e.name for e in self.entries]}")
