"""The state of a ranking: what was asked, what came back, what to ask next. No torch.

A study decides from records alone, in the order in which they were asked for: with costs counted
in steps, the same candidates and seeds give the same looks whichever engine trains them. It is
kept in a file after every report and goes on from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hf_ftrisk.atomic import write_atomically
from hf_ftrisk.choosing.allocation import Move, Standing, first_depth, next_moves, pool_of
from hf_ftrisk.choosing.beliefs import Belief
from hf_ftrisk.choosing.entries import Entry, Status
from hf_ftrisk.choosing.options import RankOptions
from hf_ftrisk.choosing.orders import Order, Reached
from hf_ftrisk.choosing.ranking import Ranking
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.jsonfile import read_json
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import Look
from hf_ftrisk.text import percent

FILE = "ranking.json"
_FORMAT_VERSION = 1
# Each further look is this much deeper.
_DEEPER = 1.5


@dataclass(frozen=True, eq=False)
class Candidate:
    """One candidate so far.

    Args:
        name: its name.
        surveyed: its plan is known.
        looks: (n_looks,) optimizer steps at which it was looked at.
        latest: what was reported last.
        seconds: wall time of its training so far.
        static: static signals, name -> value.
    """

    name: str
    surveyed: bool = False
    looks: tuple[int, ...] = ()
    latest: Reached = field(default_factory=lambda: Reached(""))
    seconds: float = 0.0
    static: Mapping[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether a fault ended it."""
        return self.latest.fault is not None

    @property
    def max_steps(self) -> int:
        """Optimizer steps of its full run; 0 while not known."""
        return 0 if self.latest.record is None else self.latest.record.max_steps

    @property
    def record(self) -> RunRecord | None:
        """Its run so far, with its static signals."""
        record = self.latest.record
        return None if record is None else replace(record, static={**record.static, **self.static})

    def take(self, reached: Reached) -> Candidate:
        """The candidate after another report."""
        if reached.record is None:
            reached = replace(reached, record=self.latest.record, step=self.latest.step)
        static = reached.record.static if reached.record is not None and not self.surveyed else {}
        looks = self.looks
        if self.surveyed and reached.fault is None and reached.step not in looks:
            looks = (*looks, reached.step)
        return Candidate(
            self.name,
            surveyed=True,
            looks=looks,
            latest=reached,
            seconds=self.seconds + reached.seconds,
            static={**self.static, **static},
        )


@dataclass
class Study:
    """A ranking under way.

    Args:
        names: the candidates, in the order given.
        options: what was asked for.
        folder: where checkpoints and the study's own file are.
    """

    names: tuple[str, ...]
    options: RankOptions
    folder: Path
    candidates: dict[str, Candidate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.names:
            self.candidates.setdefault(name, Candidate(name))
        self._forecaster = Forecaster.default(self.options.history)
        self._beliefs: dict[tuple[str, int], Belief] = {}

    # --- asking and taking ------------------------------------------------------------------------

    def next_orders(self) -> list[Order]:
        """What to do next, at most `at_once` orders; empty when the ranking is done.

        Surveys come first, all of them, since costs are shares of what all full runs cost.
        """
        fresh = [name for name in self.names if not self.candidates[name].surveyed]
        if fresh:
            return [self._order(name, 0) for name in fresh[: self.options.at_once]]
        left = self.options.budget * self.full_cost - self.spent
        moves = next_moves(self.standings(), left, self.options.at_once)
        return [self._order(move.name, self._target(move)) for move in moves]

    def _target(self, move: Move) -> int:
        return max(1, round(move.share * self.candidates[move.name].max_steps))

    def _order(self, name: str, target: int) -> Order:
        latest = self.candidates[name].latest
        return Order(
            name=name,
            goal=self.options.goal,
            target=target,
            folder=str(self.folder / folder_name(name, self.names)),
            checkpoint=latest.checkpoint,
            looked=latest.looked,
            seed=self.options.seed,
            signal_seconds=self.options.signal_seconds,
        )

    def take(self, reached: Reached) -> None:
        """Take a report, and write the study's file."""
        self.candidates[reached.name] = self.candidates[reached.name].take(reached)
        self.save()

    # --- costs ------------------------------------------------------------------------------------

    def rate(self, name: str) -> float:
        """Cost of one optimizer step of a candidate, in the study's unit."""
        if self.options.unit == "steps":
            return 1.0
        return self._step_seconds(name) * self.options.price_of_second(name)

    def _step_seconds(self, name: str) -> float:
        """Measured seconds of a step; the mean of the others' before its first."""
        measured = {
            c.name: c.seconds / c.latest.step for c in self.candidates.values() if c.latest.step
        }
        if name in measured:
            return measured[name]
        return float(np.mean(list(measured.values()))) if measured else 1.0

    def cost_spent(self, name: str) -> float:
        """Cost of what was trained of a candidate."""
        candidate = self.candidates[name]
        if self.options.unit == "steps":
            return float(candidate.latest.step)
        return candidate.seconds * self.options.price_of_second(name)

    @property
    def spent(self) -> float:
        """Cost of what was trained."""
        return sum(self.cost_spent(name) for name in self.names)

    @property
    def full_cost(self) -> float:
        """Cost of all full runs, those of candidates that failed in their survey left out."""
        return sum(self.rate(n) * c.max_steps for n, c in self.candidates.items())

    # --- beliefs ----------------------------------------------------------------------------------

    def forecast(self, name: str, step: int) -> Forecast:
        """Forecast of a candidate's end from what was known at a look."""
        record = self.candidates[name].record
        assert record is not None
        goal = self.options.goal
        if self.candidates[name].latest.ended and step == self.candidates[name].looks[-1]:
            value = record.outcome(goal)
            return Forecast(np.array([value]), step=step, source="trained to its end")
        return self._forecaster.predict(record.prefix(step), goal)

    def _belief(self, name: str, step: int) -> Belief:
        key = (name, step)
        if key not in self._beliefs:
            record = self.candidates[name].record
            assert record is not None
            goal, share = self.options.goal, step / record.max_steps
            forecast = self.forecast(name, step)
            if self.candidates[name].latest.ended and step == self.candidates[name].looks[-1]:
                return Belief.of(forecast, forecast.median, goal, share)
            last = float(record.prefix(step).curve(goal.metric)[1][-1])
            belief = Belief.of(forecast, last, goal, share)
            self._beliefs[key] = belief
        return self._beliefs[key]

    def standings(self) -> list[Standing]:
        """The candidates as the allocation sees them; those whose survey failed are left out."""
        return [
            Standing(
                name=c.name,
                shares=self._grid(c),
                cost=self.rate(c.name) * c.max_steps,
                seen=tuple(self._belief(c.name, step) for step in c.looks),
                open=not c.latest.ended and not c.failed,
                failed=c.failed,
            )
            for c in self.candidates.values()
            if c.max_steps
        ]

    def _grid(self, candidate: Candidate) -> np.ndarray:
        """(n,) shares of a run at which it can be looked at, each `_DEEPER` times the one before.

        The first is `allocation.first_depth`.
        """
        first = first_depth(self.options.budget, len(self.names))
        count = math.ceil(math.log(1.0 / first) / math.log(_DEEPER) - 1e-9)
        shares = np.minimum(first * _DEEPER ** np.arange(count + 1), 1.0)
        steps = np.unique(np.maximum(np.round(shares * candidate.max_steps), 1.0))
        return np.asarray(steps / candidate.max_steps)

    # --- the result -------------------------------------------------------------------------------

    def ranking(self) -> Ranking:
        """The candidates as they stand."""
        names, pool = pool_of(self.standings())
        best = dict(zip(names, pool.prob_best.tolist(), strict=True)) if pool else {}
        regret = dict(zip(names, pool.expected_regret.tolist(), strict=True)) if pool else {}
        entries = [self._entry(name, best.get(name, 0.0), regret.get(name)) for name in self.names]

        def order(entry: Entry) -> tuple[bool, bool, float]:
            unknown = entry.expected_regret is None
            return entry.status == "failed", unknown, entry.expected_regret or 0.0

        total = self.full_cost
        return Ranking(
            goal=self.options.goal,
            entries=tuple(sorted(entries, key=order)),
            budget=self.options.budget,
            spent=self.spent / total if total else 0.0,
            unit=self.options.unit_name,
            notes=self._notes(),
        )

    def _entry(self, name: str, prob: float, regret: float | None) -> Entry:
        candidate = self.candidates[name]
        latest, goal = candidate.latest, self.options.goal
        forecast = observed = None
        if candidate.looks:
            forecast = self.forecast(name, candidate.looks[-1])
            assert latest.record is not None
            observed = float(latest.record.curve(goal.metric)[1][-1])
        steps_left = 0 if latest.ended or candidate.failed else candidate.max_steps - latest.step
        status: Status = "failed" if candidate.failed else "complete" if latest.ended else "open"
        return Entry(
            name=name,
            status=status,
            prob_best=prob,
            expected_regret=regret,
            forecast=forecast,
            observed=observed,
            step=latest.step,
            max_steps=candidate.max_steps,
            spent=self.cost_spent(name),
            to_come=steps_left * self.rate(name),
            decided_by=_decided_by(candidate),
            looks=tuple(self._look(name, step) for step in candidate.looks),
            checkpoint=latest.checkpoint,
        )

    def _look(self, name: str, step: int) -> Look:
        record, metric = self.candidates[name].record, self.options.goal.metric
        assert record is not None
        forecast = self.forecast(name, step)
        values = record.prefix(step).curve(metric)[1]
        return Look(step, forecast.median, *forecast.interval(0.9), observed=float(values[-1]))

    def _notes(self) -> tuple[str, ...]:
        unseen = [
            n
            for n in self.names
            if self.candidates[n].surveyed
            and not self.candidates[n].looks
            and not self.candidates[n].failed
        ]
        if not unseen:
            return ()
        return (
            f"Not probed, as the budget is too small: {', '.join(unseen)}. "
            "Give a larger budget=... to probe all.",
        )

    # --- the file ---------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the study's file, in one piece."""
        data = {
            "format_version": _FORMAT_VERSION,
            "names": list(self.names),
            "goal": str(self.options.goal),
            "seed": self.options.seed,
            "unit": self.options.unit,
            "candidates": [_stored(c) for c in self.candidates.values()],
        }
        write_atomically(self.folder / FILE, json.dumps(data).encode())

    @classmethod
    def open(cls, names: Sequence[str], options: RankOptions, folder: Path) -> Study:
        """The study in a folder, gone on with where one is there.

        Raises:
            ValueError: the folder holds a ranking of other candidates, goal, seed or unit.
        """
        study = cls(tuple(names), options, folder)
        path = folder / FILE
        if not path.is_file():
            return study
        data = read_json(path)
        arguments = {
            "format_version": _FORMAT_VERSION,
            "names": list(names),
            "goal": str(options.goal),
            "seed": options.seed,
            "unit": options.unit,
        }
        for name, value in arguments.items():
            if data.get(name) != value:
                raise ValueError(
                    f"{path} holds a ranking with {name} {data.get(name)!r}, this one has "
                    f"{value!r}: give another folder=..., or remove that one"
                )
        for stored in data["candidates"]:
            candidate = _loaded(stored)
            study.candidates[candidate.name] = candidate
        return study


def folder_name(name: str, names: Sequence[str]) -> str:
    """A folder name for a candidate: readable, and another one for each."""
    plain = "".join(c if c.isalnum() or c in "-_.=" else "_" for c in name)[:60]
    return f"{list(names).index(name):02d}-{plain}"


def _decided_by(candidate: Candidate) -> str:
    if candidate.failed:
        return f"failed: {candidate.latest.fault}"
    if candidate.latest.ended:
        return "trained to its end"
    if candidate.looks:
        return f"forecast at {percent(candidate.looks[-1] / candidate.max_steps)} of its run"
    return "not probed"


def _stored(candidate: Candidate) -> dict[str, Any]:
    fields = dict(vars(candidate))
    fields["latest"] = candidate.latest.to_dict()
    fields["static"] = dict(candidate.static)
    return fields


def _loaded(data: Mapping[str, Any]) -> Candidate:
    return Candidate(
        name=data["name"],
        surveyed=data["surveyed"],
        looks=tuple(data["looks"]),
        latest=Reached.from_dict(data["latest"]),
        seconds=data["seconds"],
        static=data["static"],
    )
