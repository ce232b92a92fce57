"""What a pre-flight has spent and what the full run will cost, from measured times. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hf_ftrisk.preflight.workload import Facts, Meter
from hf_ftrisk.report import Cost


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
class Ledger:
    """The budget's account, in optimiser steps.

    Args:
        allowed: the budget.
        meter: everything measured so far, over all probes.
        first_steps: first step of each probe, slow for reasons that do not recur.
    """

    allowed: float
    meter: Meter
    first_steps: tuple[float, ...] = ()

    @property
    def step_seconds(self) -> float | None:
        """Mean wall time of a step; the first one of each probe counts only if there is no other.

        The mean, not the median: batches differ in length, and the sum is what is paid.
        """
        return mean_step_seconds(self.meter, self.first_steps)

    @property
    def eval_steps(self) -> float | None:
        """Measured cost of one evaluation of the sample, in steps; None before the first."""
        if not self.meter.eval_seconds or not self.step_seconds:
            return None
        return float(np.mean(self.meter.eval_seconds)) / self.step_seconds

    @property
    def spent(self) -> float:
        """Steps' worth spent: steps, and evaluations at their measured cost."""
        steps = float(len(self.meter.step_seconds))
        if self.meter.eval_seconds and self.step_seconds:
            steps += sum(self.meter.eval_seconds) / self.step_seconds
        return steps

    @property
    def left(self) -> float:
        """Steps' worth left."""
        return self.allowed - self.spent


def mean_step_seconds(meter: Meter, first_steps: tuple[float, ...]) -> float | None:
    """Mean seconds of the measured steps without the first of each probe, if others exist."""
    total, count = sum(meter.step_seconds), len(meter.step_seconds)
    if count == 0:
        return None
    if count > len(first_steps):
        return (total - sum(first_steps)) / (count - len(first_steps))
    return total / count


def full_cost(
    facts: Facts, ledger: Ledger, *, eval_rows: int | None, seconds: float, prices: Prices
) -> Cost:
    """Cost of the full run, from what the probes measured.

    Args:
        facts: steps and evaluations of the full run.
        ledger: measured times.
        eval_rows: rows of the sample behind the evaluation times.
        seconds: wall time of the whole pre-flight.
        prices: the user's price and power.
    """
    step, meter = ledger.step_seconds, ledger.meter
    evaluation = _full_eval_seconds(facts, meter, eval_rows)
    full = None
    if step is not None and (evaluation is not None or facts.evaluations == 0):
        full = facts.max_steps * step + facts.evaluations * (evaluation or 0.0)
    count = len(meter.step_seconds)
    hours = None if full is None else full / 3600
    priced = hours is not None and prices.per_hour is not None
    return Cost(
        full_steps=facts.max_steps,
        spent_steps=ledger.spent,
        spent_seconds=seconds,
        seconds_per_step=step,
        seconds_per_eval=evaluation,
        full_seconds=full,
        peak_memory_bytes=meter.peak_memory_bytes,
        full_flops=meter.flops / count * facts.max_steps if count and meter.flops else None,
        full_energy_kwh=(
            hours * prices.watts / 1000 if hours is not None and prices.watts is not None else None
        ),
        full_money=hours * prices.per_hour if priced else None,  # type: ignore[operator]  # priced
        currency=prices.currency if priced else None,
    )


def _full_eval_seconds(facts: Facts, meter: Meter, eval_rows: int | None) -> float | None:
    """Seconds of one evaluation of the whole set, scaled up by its batches."""
    if not meter.eval_seconds or facts.eval is None:
        return None
    # The first evaluation pays for warming up.
    measured = float(np.mean(meter.eval_seconds[1:] or meter.eval_seconds))
    if eval_rows is None or facts.eval.rows is None:
        return measured if eval_rows is None else None
    batch = facts.eval.batch
    return measured * math.ceil(facts.eval.rows / batch) / math.ceil(eval_rows / batch)
