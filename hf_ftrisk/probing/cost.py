"""What a pre-flight has spent and what the full run will cost, from measured times. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hf_ftrisk.probing.workload import Batches, Facts, Usage
from hf_ftrisk.report import Cost

# The first evaluation's time after its batches may be this much above a later one's of more rows
# before it is taken for warming up, which tells nothing of how that time grows with rows.
_WARMED = 1.25


@dataclass(frozen=True)
class Prices:
    """What the machine costs, as the user says it.

    Args:
        per_hour: price of one hour of the whole machine, in `currency`; None: unknown.
        currency: unit of the price.
        watts: power the whole machine draws while training; None: unknown.

    Raises:
        ValueError: a price or power that is not a finite number of 0 or more.
    """

    per_hour: float | None = None
    currency: str = "USD"
    watts: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("price_per_hour", self.per_hour), ("power_watts", self.watts)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a finite number of 0 or more, got {value!r}")


@dataclass(frozen=True)
class _Evaluation:
    seconds: float
    rows: int | None
    batches: Batches | None
    price: float | None  # steps; None while no probe is past its first step

    @property
    def after(self) -> float:
        """Seconds after the batches, for the metrics above all."""
        assert self.batches is not None
        return self.seconds - self.batches.before - self.batches.seconds


@dataclass
class Ledger:
    """The budget's ledger, in optimizer steps.

    A step costs 1. An evaluation costs its own seconds over the mean seconds of the steps timed
    before it; that price stays, so that a machine that becomes faster or slower later on does not
    change what was already paid. What was evaluated before any probe's second step is priced by
    that one.

    Args:
        allowed: the budget.
    """

    allowed: float
    _regular: list[float] = field(default_factory=list)
    _first: list[float] = field(default_factory=list)
    _evaluations: list[_Evaluation] = field(default_factory=list)

    def post_steps(self, seconds: Sequence[float], *, opening: bool) -> None:
        """Enter the wall times of steps.

        Args:
            seconds: one for each step, data loading included.
            opening: whether the first of them is its probe's first, slow for reasons that do not
                recur: it counts as a step, and its time only as long as there is no other.
        """
        split = 1 if opening else 0
        self._first += seconds[:split]
        self._regular += seconds[split:]
        if self._regular:
            self._evaluations = [self._priced(entry) for entry in self._evaluations]

    def post_evaluation(
        self, seconds: float, rows: int | None, batches: Batches | None = None
    ) -> None:
        """Enter the wall time of an evaluation of `rows` rows (None: of the whole set)."""
        entry = _Evaluation(seconds, rows, batches, None)
        self._evaluations.append(self._priced(entry) if self._regular else entry)

    def _priced(self, entry: _Evaluation) -> _Evaluation:
        if entry.price is not None:
            return entry
        return replace(entry, price=self._price(entry))

    def _price(self, entry: _Evaluation) -> float:
        if entry.price is not None:
            return entry.price
        step = self.step_seconds
        return entry.seconds / step if step else 0.0

    @property
    def steps(self) -> int:
        """Optimizer steps trained."""
        return len(self._regular) + len(self._first)

    @property
    def step_seconds(self) -> float | None:
        """Mean wall time of a step, None before the first.

        The mean, not the median: batches differ in length, and the sum is what is paid.
        """
        timed = self._regular or self._first
        return float(np.mean(timed)) if timed else None

    @property
    def eval_seconds(self) -> tuple[float, ...]:
        """Wall time of each evaluation."""
        return tuple(entry.seconds for entry in self._evaluations)

    @property
    def last_eval_cost(self) -> float | None:
        """Cost of the latest evaluation, steps; None before the first, or before any step."""
        if not self._evaluations or self.step_seconds is None:
            return None
        return self._price(self._evaluations[-1])

    def full_eval_seconds(self, n_rows: int, sample_rows: int) -> float | None:
        """Time of an evaluation of the whole set, from those of the sample; None without any.

        Batches are timed by their rows, but for what comes before them or begins with the first.
        How the time after them grows, that of the metrics, is seen from a smaller evaluation; where
        there is none, or that one was warming up, it is taken to grow with the rows.

        Args:
            n_rows: rows of the whole set.
            sample_rows: rows of the sample. Smaller evaluations count where there are no others.
        """
        known = [entry for entry in self._evaluations if entry.rows]
        sample = [entry for entry in known if (entry.rows or 0) >= sample_rows] or known
        if not sample:
            return None
        rows = float(np.mean([entry.rows or 0 for entry in sample]))
        batches = [entry.batches for entry in sample if entry.batches is not None]
        if len(batches) < len(sample):
            return float(np.mean([entry.seconds for entry in sample])) / rows * n_rows
        inside = float(np.mean([part.seconds for part in batches]))
        inner_rows = sum(part.inner_rows for part in batches)
        per_row = (
            sum(part.inner_seconds for part in batches) / inner_rows
            if inner_rows
            else inside / rows
        )
        before = float(np.mean([part.before for part in batches]))
        smaller = [e for e in known if e not in sample and e.batches is not None]
        after = _after_batches(sample, smaller, n_rows)
        return before + inside + per_row * (n_rows - rows) + after

    @property
    def spent(self) -> float:
        """Steps' worth spent: steps, and evaluations at their measured cost."""
        return self.steps + sum(self._price(entry) for entry in self._evaluations)

    @property
    def left(self) -> float:
        """Steps' worth left."""
        return self.allowed - self.spent


def full_cost(
    facts: Facts,
    ledger: Ledger,
    usage: Usage,
    *,
    eval_rows: int | None,
    seconds: float,
    prices: Prices,
) -> Cost:
    """Cost of the full run, from what the probes measured.

    Args:
        facts: steps and evaluations of the full run.
        ledger: measured times.
        usage: operations and memory of the probes.
        eval_rows: rows of the evaluation sample.
        seconds: wall time of the whole pre-flight.
        prices: the user's price and power.
    """
    step = ledger.step_seconds
    evaluation = _full_eval_seconds(facts, ledger, eval_rows)
    full = None
    if step is not None and (evaluation is not None or facts.evaluations == 0):
        full = facts.max_steps * step + facts.evaluations * (evaluation or 0.0)
    count = ledger.steps
    hours = None if full is None else full / 3600
    priced = hours is not None and prices.per_hour is not None
    return Cost(
        full_steps=facts.max_steps,
        spent_steps=ledger.spent,
        spent_seconds=seconds,
        seconds_per_step=step,
        seconds_per_eval=evaluation,
        full_seconds=full,
        peak_memory_bytes=usage.peak_memory_bytes,
        full_flops=usage.flops / count * facts.max_steps if count and usage.flops else None,
        full_energy_kwh=(
            hours * prices.watts / 1000 if hours is not None and prices.watts is not None else None
        ),
        full_money=hours * prices.per_hour if priced else None,  # type: ignore[operator]  # priced
        currency=prices.currency if priced else None,
    )


def _full_eval_seconds(facts: Facts, ledger: Ledger, eval_rows: int | None) -> float | None:
    """Seconds of one evaluation of the whole set, scaled up from the sample by its rows."""
    if not ledger.eval_seconds or facts.eval is None:
        return None
    if facts.eval.rows is None:
        return ledger.eval_seconds[-1] if eval_rows is None else None
    return ledger.full_eval_seconds(facts.eval.rows, eval_rows or facts.eval.rows)


def _after_batches(sample: list[_Evaluation], smaller: list[_Evaluation], n_rows: int) -> float:
    """Seconds after the batches of an evaluation of `n_rows` rows."""
    rows, fewer = (
        float(np.mean([entry.rows or 0 for entry in entries])) if entries else 0.0
        for entries in (sample, smaller)
    )
    seconds, less = (
        float(np.mean([entry.after for entry in entries])) if entries else math.inf
        for entries in (sample, smaller)
    )
    if less > _WARMED * seconds:
        return seconds / rows * n_rows
    return seconds + max(0.0, seconds - less) / (rows - fewer) * (n_rows - rows)
