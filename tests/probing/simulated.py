"""A training setup whose steps and evaluations take a known, noisy time. Nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hf_ftrisk.probing.budget import EvalSize
from hf_ftrisk.probing.workload import Evaluation, Facts, OneRank, ProbeLog, Processes
from hf_ftrisk.record import RunRecord


@dataclass
class SimulatedProbe:
    owner: SimulatedSetup
    seed: int
    step: int = 0
    log: ProbeLog = field(default_factory=ProbeLog)

    def advance(self, step: int) -> None:
        while self.step < step:
            opening = self.owner.opening if self.step == 0 else 1.0
            self.log.step_seconds.append(self.owner.noisy(self.owner.step_seconds * opening))
            self.step += 1

    def evaluate(self, limit: float | None = None) -> Evaluation:
        owner = self.owner
        rows = owner.eval_rows if owner.eval_rows is not None else owner.size.rows
        seen, seconds, slowest = 0, 0.0, 0.0
        while seen < rows:
            if seen and limit is not None and seconds + slowest > limit:
                break
            batch = min(owner.size.batch, rows - seen)
            took = owner.noisy(batch * owner.row_seconds)
            seen, seconds, slowest = seen + batch, seconds + took, max(slowest, took)
            owner.slowest_batch = max(owner.slowest_batch, took)
        owner.evaluations.append((self.seed, self.step, seen))
        metrics = {"eval_accuracy": 0.5 + 0.4 * (1 - np.exp(-self.step / 20))}
        return Evaluation(metrics, seen, seconds)

    def step_columns(self):
        return {}

    def record(self, evals) -> RunRecord:
        steps = range(1, self.step + 1)
        entries = [{"step": k, "loss": 1.0 / k, "learning_rate": 1e-3} for k in steps]
        entries += [{**metrics, "step": step} for step, metrics in evals.items()]
        return RunRecord.from_log_history(entries, max_steps=self.owner.max_steps, seed=self.seed)


@dataclass
class SimulatedSetup:
    """Implements `Workload` on a simulated clock.

    Args:
        max_steps: steps of the full run.
        step_seconds: mean time of a step.
        row_seconds: mean evaluation time of one row.
        size: the evaluation set.
        rows_per_step: training rows of a step.
        noise: standard deviation of the log of every time.
        opening: how many times as long the first step takes.
        schedule: (max_steps,) learning rates; None: a falling line.
    """

    max_steps: int = 100
    step_seconds: float = 1.0
    row_seconds: float = 1 / 48
    size: EvalSize | None = field(default_factory=lambda: EvalSize(400, 16))
    rows_per_step: float = 16.0
    noise: float = 0.0
    opening: float = 1.0
    seed: int = 0
    schedule: np.ndarray | None = None
    eval_rows: int | None = None
    slowest_batch: float = 0.0
    same_start: bool = True
    can_jump: bool = True
    snapshot_bytes: int | None = None
    ranks: Processes = field(default_factory=OneRank)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.probes: list[SimulatedProbe] = []
        self.evaluations: list[tuple[int, int, int]] = []
        self.signal_limits: list[float] = []
        self.begun_at: list[int] = []

    def noisy(self, seconds: float) -> float:
        return float(seconds * np.exp(self.noise * self.rng.standard_normal()))

    def facts(self) -> Facts:
        schedule = self.schedule
        if schedule is None:
            schedule = np.linspace(1e-3, 0, self.max_steps, endpoint=False)
        return Facts(self.max_steps, schedule, None, self.rows_per_step, self.size)

    def faults(self):
        return ()

    def signals(self, seconds: float):
        self.signal_limits.append(seconds)
        return {}

    def set_eval_rows(self, rows: int | None) -> None:
        self.eval_rows = rows

    def open(self, index: int, first: int = 0) -> SimulatedProbe:
        self.begun_at.append(first)
        self.probes.append(SimulatedProbe(self, index))
        return self.probes[-1]

    def activate(self, probe: SimulatedProbe) -> None:
        pass

    def evaluate_untrained(self, probe: SimulatedProbe, limit: float | None = None) -> Evaluation:
        return SimulatedProbe(self, -1).evaluate(limit)

    def close(self) -> None:
        pass
