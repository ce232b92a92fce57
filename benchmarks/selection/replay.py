"""Methods of choosing, run on recorded pools: what each has seen and paid for when it chooses.

Every method trains a candidate from evaluation to evaluation, continues it where it was left, and
chooses when no step that it wants can be paid any more. One unit of cost is one candidate's full
run of the pool's mean length; a budget is a share of the whole pool.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.forecasting.held_out import models_without
from benchmarks.run_tables import Run
from benchmarks.selection.pools import Pool
from hf_ftrisk.choosing import beliefs
from hf_ftrisk.choosing.allocation import Standing, first_depth, next_move, pool_of
from hf_ftrisk.choosing.beliefs import Belief
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.record import RunRecord


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
            trained = steps > 0
            self.steps.append(steps[trained])
            self.values.append(sign * values[trained])
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
        reached = self.steps[i][self.at[i] - 1] if self.at[i] else 0.0
        cost = float(self.steps[i][self.at[i]] - reached) / self.total
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
    """Forecasts at every evaluation of a run, each fitted without the pool's own source.

    Args:
        file: where they are kept from one run of the benchmark to the next; None: nowhere.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._samples: dict[str, np.ndarray] = {}
        if file is not None and file.is_file():
            with np.load(file) as stored:
                self._samples = dict(stored)
        self._forecasters: dict[str, Forecaster] = {}
        self._beliefs: dict[tuple[RunRecord, str, float], list[Belief]] = {}

    def beliefs(self, bench: Bench, i: int) -> list[Belief]:
        """Beliefs (n_looks,) of a candidate, one for each of its evaluations."""
        run, fold = bench.pool.runs[i], bench.pool.fold
        key = (run.record, fold, beliefs.FORECAST)
        if key not in self._beliefs:
            steps, values = bench.steps[i], bench.values[i]
            sign = 1.0 if run.goal.greater_is_better else -1.0
            self._beliefs[key] = [
                Belief.of(
                    Forecast(samples, step=step, source=""),
                    sign * value,
                    run.goal,
                    step / run.record.max_steps,
                )
                for samples, step, value in zip(
                    self._forecasts(run, fold, steps), steps.tolist(), values.tolist(), strict=True
                )
            ]
        return self._beliefs[key]

    def _forecasts(self, run: Run, fold: str, steps: np.ndarray) -> np.ndarray:
        name = _digest(run, fold)
        if name not in self._samples:
            if fold not in self._forecasters:
                self._forecasters[fold] = Forecaster(models=models_without(fold))
            of_steps = [
                self._forecasters[fold].predict(run.record.prefix(step), run.goal).samples
                for step in steps.tolist()
            ]
            self._samples[name] = np.array(of_steps, dtype=np.float32)
        return self._samples[name]

    def keep(self) -> None:
        """Write the forecasts to the file, if there is one."""
        if self._file is not None:
            np.savez(self._file, **self._samples)  # type: ignore[arg-type]


def _digest(run: Run, fold: str) -> str:
    """Names a run and what its forecasts were fitted without."""
    record, digest = run.record, hashlib.sha256(fold.encode())
    digest.update(f"{run.goal.metric} {record.max_steps}".encode())
    for part in (*record.curve(run.goal.metric), record.train_step, record.train_loss):
        digest.update(np.asarray(part, dtype=np.float64).tobytes())
    return digest.hexdigest()


def rank_method(memory: Memory, cheapest_first: bool = False, deeper: bool = True) -> Method:
    """`hf_ftrisk.choosing`'s own allocation and choice.

    Args:
        memory: the forecasts.
        cheapest_first: first looks go to short runs first, not in the order given.
        deeper: looks after the first ones are taken.
    """

    def choose(bench: Bench, rng: np.random.Generator) -> int:
        order = rng.permutation(bench.size).tolist()
        if cheapest_first:
            order.sort(key=lambda i: bench.pool.runs[i].record.max_steps)
        first = first_depth(bench.budget, bench.size)

        def standings() -> list[Standing]:
            places = []
            for i in order:
                length = bench.pool.runs[i].record.max_steps
                shares = bench.steps[i] / length
                begin = shares.size - 1 - int(np.argmin(np.abs(shares - first).round(6)[::-1]))
                places.append(
                    Standing(
                        str(i),
                        shares[begin:],
                        length / bench.total,
                        tuple(memory.beliefs(bench, i)[: bench.at[i]]),
                        not bench.finished(i),
                    )
                )
            return places

        while True:
            move = next_move(standings(), bench.budget - bench.spent)
            if move is None or not (deeper or move.value is None):
                break
            if not bench.reach(int(move.name), move.share):
                break
        names, pool = pool_of(standings())
        if pool is None:
            return order[0]
        return int(names[int(np.argmin(pool.expected_regret))])

    return choose
