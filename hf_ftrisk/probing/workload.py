"""What can be probed, and by whom: the interfaces between session and way of training. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from hf_ftrisk.probing.budget import EvalSize
from hf_ftrisk.record import ModelSelection, RunRecord
from hf_ftrisk.verdict import Diagnosis

T = TypeVar("T")

# Non-finite steps in a row after which a probe counts as diverged; one alone may be an overflow
# that mixed precision skips.
DIVERGED_AFTER = 3
# Keeps the probes' seeds clear of a user's own seed, seed + 1, ...
SEED_STRIDE = 1_000_003


@dataclass(frozen=True)
class Usage:
    """What was measured on one probe, or on all of them, besides metrics.

    Args:
        step_seconds: wall time of each optimizer step, data loading included.
        flops: floating-point operations of all steps, over all ranks; 0 where not counted.
        peak_memory_bytes: largest memory in use at the end of a backward pass.
    """

    step_seconds: tuple[float, ...] = ()
    flops: float = 0.0
    peak_memory_bytes: int | None = None

    def __add__(self, other: Usage) -> Usage:
        peaks = [m.peak_memory_bytes for m in (self, other) if m.peak_memory_bytes is not None]
        return Usage(
            self.step_seconds + other.step_seconds,
            self.flops + other.flops,
            max(peaks, default=None),
        )


@dataclass(frozen=True)
class Batches:
    """The part of an evaluation that goes by in its batches, and before them.

    Args:
        before: seconds until the first batch is asked for.
        seconds: of all batches, loading them included.
        inner_seconds: of those between the first and the last of each set: the first pays for
            what begins, and for loading the second too.
        inner_rows: rows of these.
    """

    before: float
    seconds: float
    inner_seconds: float
    inner_rows: int


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of the fixed sample.

    Args:
        metrics: ``eval_`` names to values.
        rows: rows it saw, always the first of the sample; None: the whole set, of unknown length.
        seconds: wall time.
        batches: what of it went by in batches; None: not known.
        unread: names whose value is no number, with that value.
    """

    metrics: Mapping[str, float]
    rows: int | None
    seconds: float
    batches: Batches | None = None
    unread: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What is known of the full run before a step is trained.

    Args:
        max_steps: optimizer steps of the full run.
        schedule: (n_rates,) planned learning rates of every step, or of the `schedule_steps` of a
            long run; None if they cannot be told beforehand.
        steps_per_epoch: optimizer steps in one pass over the data, None if unknown.
        rows_per_step: training rows in one optimizer step over all ranks, None if unknown.
        eval: size of the evaluation set, None without one.
        evaluations: evaluations of the whole set that the full run will do.
        load_best: the best checkpoint, not the last, is the result.
        selection: what chooses it.
        labels: (n,) class indices of the evaluation set, None if it is no classification.
        one_eval_set: whether signals of "the" evaluation set are those of the goal's.
        settings: JSON scalars that describe the run.
        task: name under which completed runs are comparable, None if unknown.
        notes: what the probes do differently from the run, for the report.
    """

    max_steps: int
    schedule: np.ndarray | None = None
    steps_per_epoch: float | None = None
    rows_per_step: float | None = None
    eval: EvalSize | None = None
    evaluations: int = 0
    load_best: bool = False
    selection: ModelSelection | None = None
    labels: np.ndarray | None = None
    one_eval_set: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    task: str | None = None
    notes: tuple[str, ...] = ()


class Processes(Protocol):
    """The processes that train together."""

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0."""

    def from_main(self, value: T) -> T:
        """Rank 0's value on every rank."""


@dataclass(frozen=True)
class OneRank:
    """A single process."""

    is_main: bool = True

    def from_main(self, value: T) -> T:
        """The value: there is nobody else."""
        return value


@dataclass
class ProbeLog:
    """What a probe has logged of its steps.

    Args:
        entries: one log entry a step, in Trainer's form.
        step_seconds: wall time of each step, data loading included.
        flops: floating-point operations of all steps.
        peak: largest memory in use, bytes; None: unknown.
        non_finite: steps in a row whose loss or gradient was no number.
    """

    entries: list[dict[str, float]] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    flops: float = 0.0
    peak: int | None = None
    non_finite: int = 0

    @property
    def diverged(self) -> bool:
        """Whether the loss has not been a number for `DIVERGED_AFTER` steps."""
        return self.non_finite >= DIVERGED_AFTER

    @property
    def usage(self) -> Usage:
        """Times and counts so far."""
        return Usage(tuple(self.step_seconds), self.flops, self.peak)

    def record(
        self, facts: Facts, seed: int, evals: Mapping[int, Mapping[str, float]]
    ) -> RunRecord:
        """The trajectory so far, with the evaluations that were done (step -> metrics)."""
        entries: list[dict[str, Any]] = [dict(entry) for entry in self.entries]
        entries += [{**metrics, "step": step} for step, metrics in evals.items()]
        return RunRecord.from_log_history(
            entries,
            max_steps=facts.max_steps,
            schedule=facts.schedule,
            steps_per_epoch=facts.steps_per_epoch,
            status="running",
            seed=seed,
            load_best=facts.load_best,
            selection=facts.selection,
            settings=facts.settings,
        )


class Probe(Protocol):
    """One short run of the full run's beginning, with its own seed. It can be left and resumed."""

    seed: int
    step: int

    @property
    def log(self) -> ProbeLog:
        """What it has logged of its steps."""

    def advance(self, step: int) -> None:
        """Train up to optimizer step `step`; stops early at a non-finite loss."""

    def evaluate(self, limit: float | None = None) -> Evaluation:
        """Metrics on the fixed sample; random numbers go on undisturbed.

        Args:
            limit: seconds it may take: it ends after the batch that leaves no time for another,
                and its metrics are those of the rows seen; None: any.
        """

    def record(self, evals: Mapping[int, Mapping[str, float]]) -> RunRecord:
        """The trajectory so far, with the evaluations that were done (step -> metrics)."""

    def step_columns(self) -> Mapping[str, np.ndarray]:
        """What was measured of each step besides loss and gradient norm, as `dynamics_signals`
        takes it; empty where weights and gradients are not seen.
        """


class Workload(Protocol):
    """A training setup that can be probed without leaving a trace."""

    @property
    def ranks(self) -> Processes:
        """The processes that it trains on, in lockstep."""

    def facts(self) -> Facts:
        """What is known of the full run."""

    def faults(self) -> tuple[Diagnosis, ...]:
        """Wiring faults; no step is trained for them."""

    def signals(self, seconds: float) -> dict[str, float]:
        """Static signals of the untouched model, in at most `seconds`."""

    def set_eval_rows(self, rows: int | None) -> None:
        """Rows of the evaluation sample from now on; None: the whole set."""

    def open(self, index: int, first: int = 0) -> Probe:
        """A new probe, active: number 0 is the real run's own beginning, others differ in seed.

        Args:
            index: number of the probe.
            first: step of the schedule that its learning rates begin at; 0 where the workload
                cannot jump.
        """

    def activate(self, probe: Any) -> None:
        """Make `probe` the one that trains and is evaluated."""

    def evaluate_untrained(self, probe: Any, limit: float | None = None) -> Evaluation:
        """The model before any step, on the sample; `probe` is active before and after."""

    @property
    def can_jump(self) -> bool:
        """Whether a probe may begin at another step of the schedule than the first."""

    @property
    def same_start(self) -> bool:
        """Whether all probes compute the same function before their first step."""

    @property
    def snapshot_bytes(self) -> int | None:
        """Memory the snapshot of the user's weights takes, None if unknown."""

    def close(self) -> None:
        """Drop every probe and put everything back; safe to call twice."""
