"""Methods of choosing, run on recorded pools: what each has seen and paid for when it chooses.

Every method trains a candidate from evaluation to evaluation, continues it where it was left, and
chooses when no step that it wants can be paid any more. One unit of cost is one candidate's full
run of the pool's mean length; a budget is a share of the whole pool.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.forecasting.held_out import models_without
from benchmarks.selection.pools import Pool
from hf_ftrisk.choosing.allocation import Standing, next_move, pool_of
from hf_ftrisk.choosing.beliefs import Belief
from hf_ftrisk.forecast.forecaster import Forecaster


@dataclass
class Bench:
    """One pool that is being trained, with a purse.

    Args:
        pool: the candidates.
        budget: share of the cost of all full runs that may be spent.
    """

    pool: Pool
    budget: float
    at: list[int] = field(default_factory=list)  # evaluations seen of each candidate
    spent: float = 0.0

    def __post_init__(self) -> None:
        goal = self.pool.goal
        sign = 1.0 if goal.greater_is_better else -1.0
        self.at = [0] * len(self.pool.runs)
        self.steps, self.values = [], []
        for run in self.pool.runs:
            steps, values = run.record.curve(goal.metric)
            kept = steps > 0
            self.steps.append(steps[kept])
            self.values.append(sign * values[kept])
        self.total = float(sum(run.record.max_steps for run in self.pool.runs))

    @property
    def size(self) -> int:
        return len(self.at)

    def share(self, i: int) -> float:
        """Share of a candidate's run that has been trained, at its last evaluation."""
        if not self.at[i]:
            return 0.0
        return float(self.steps[i][self.at[i] - 1] / self.pool.runs[i].record.max_steps)

    def finished(self, i: int) -> bool:
        return self.at[i] == self.steps[i].size

    def advance(self, i: int) -> bool:
        """Train a candidate to its next evaluation, if that can be paid."""
        if self.finished(i):
            return False
        seen = self.steps[i][self.at[i] - 1] if self.at[i] else 0.0
        cost = float(self.steps[i][self.at[i]] - seen) / self.total
        if self.spent + cost > self.budget + 1e-9:
            return False
        self.spent += cost
        self.at[i] += 1
        return True

    def reach(self, i: int, share: float) -> bool:
        """Train a candidate to the first evaluation at or after a share of its run."""
        while self.share(i) < share - 1e-9 and not self.finished(i):
            if not self.advance(i):
                return False
        return True

    def last(self, i: int) -> float:
        return float(self.values[i][self.at[i] - 1]) if self.at[i] else -math.inf

    def best_seen(self) -> int:
        """The candidate with the best last value of those that were trained deepest.

        Comparing unequal depths favors the deep; what rungs compare is equal depth.
        """
        return max(range(self.size), key=lambda i: (self.last(i), self.share(i)))


Method = Callable[[Bench, np.random.Generator], int]


class Memory:
    """Forecasts of prefixes, each fitted without the pool's own source, computed once."""

    def __init__(self) -> None:
        self._forecasters: dict[str, Forecaster] = {}
        self._known: dict[tuple[int, int], Belief] = {}

    def belief(self, bench: Bench, i: int, look: int) -> Belief:
        run = bench.pool.runs[i]
        key = (id(run.record), look)
        if key not in self._known:
            step = float(bench.steps[i][look])
            forecaster = self._forecaster(bench.pool.fold)
            forecast = forecaster.predict(run.record.prefix(step), run.goal)
            self._known[key] = Belief.of(forecast, run.goal, step / run.record.max_steps)
        return self._known[key]

    def _forecaster(self, fold: str) -> Forecaster:
        if fold not in self._forecasters:
            self._forecasters[fold] = Forecaster(models=models_without(fold))
        return self._forecasters[fold]


def rank_method(memory: Memory) -> Method:
    """`hf_ftrisk.choosing`'s own allocation and choice."""

    def choose(bench: Bench, rng: np.random.Generator) -> int:
        order = rng.permutation(bench.size).tolist()

        def standings() -> list[Standing]:
            found = []
            for i in order:
                length = bench.pool.runs[i].record.max_steps
                found.append(
                    Standing(
                        str(i),
                        bench.steps[i] / length,
                        length / bench.total,
                        tuple(memory.belief(bench, i, look) for look in range(bench.at[i])),
                        not bench.finished(i),
                    )
                )
            return found

        while True:
            move = next_move(standings(), bench.budget - bench.spent, bench.budget)
            if move is None or not bench.advance(int(move.name)):
                break
        names, pool = pool_of(standings())
        if pool is None:
            return order[0]
        return int(names[int(np.argmin(pool.expected_regret))])

    return choose
