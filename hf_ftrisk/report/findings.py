"""What a pre-flight or a watched run found, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.risk.decomposition import RiskDecomposition
from hf_ftrisk.verdict import Diagnosis, Verdict

Stage = Literal["preflight", "watch"]
FinishWay = Literal["gain", "goal", "anneal"]

# The key of a forecast's median in reports and cards of 0.1.
OLD_MEDIAN = "mean"
# A watched run's last forecast has seen nearly all of it. The one that is held against the outcome
# is the first from this share of the run on, whichever way it turned out.
_EARLY_SHARE = 0.1
_LATE_SHARE = 0.25


@dataclass(frozen=True)
class Cost:
    """What was and will be spent. None where nothing was measured or no price was given.

    Args:
        full_steps: optimizer steps of the full run.
        spent_steps: optimizer steps spent so far (probing, or the watched run itself),
            evaluations counted at their measured cost.
        spent_seconds: wall time of those.
        saved_steps: optimizer steps of the full run that a stop did not run.
        seconds_per_step: measured time of one optimizer step.
        seconds_per_eval: measured time of one full evaluation.
        full_seconds: expected wall time of the full run, evaluations included.
        peak_memory_bytes: device memory, or resident memory on a CPU.
        full_flops: floating-point operations of the full run, by the Trainer's own count.
        full_energy_kwh: energy of the full run, from the power the user gave.
        full_money: price of the full run, in `currency`, from the price the user gave.
        currency: unit of `full_money`.
    """

    full_steps: int
    spent_steps: float = 0.0
    spent_seconds: float | None = None
    saved_steps: int | None = None
    seconds_per_step: float | None = None
    seconds_per_eval: float | None = None
    full_seconds: float | None = None
    peak_memory_bytes: int | None = None
    full_flops: float | None = None
    full_energy_kwh: float | None = None
    full_money: float | None = None
    currency: str | None = None

    @property
    def spent_share(self) -> float:
        """Spent steps as a share of the full run's."""
        return self.spent_steps / self.full_steps


@dataclass(frozen=True)
class Look:
    """One forecast on the way.

    Args:
        step: optimizer steps seen.
        median: the forecast of the final value, the one number that is shown.
        low: lower end of the 90 % interval.
        high: upper end of the 90 % interval.
        prob_good: probability that the goal is met, None without target and baseline.
        observed: the goal metric at this step, None if it was not evaluated there.
    """

    step: int
    median: float
    low: float
    high: float
    prob_good: float | None = None
    observed: float | None = None

    @classmethod
    def of(
        cls,
        step: int,
        forecast: Forecast,
        goal: Goal,
        *,
        baseline: float | None,
        observed: float | None = None,
    ) -> Self:
        """A forecast of the goal's metric, in numbers.

        Args:
            step: optimizer steps seen.
            forecast: of the run's outcome.
            goal: what the run is judged by.
            baseline: trivial baseline of the metric, None if unknown.
            observed: the metric at this step, None if it was not evaluated there.
        """
        low, high = forecast.interval(0.9)
        judged = goal.threshold(baseline) is not None
        prob = forecast.prob_meets(goal, baseline) if judged else None
        return cls(step, forecast.point, low, high, prob, observed)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """A look as a report holds it; those of 0.1 called the median `mean`."""
        numbers = dict(data)
        if OLD_MEDIAN in numbers:
            numbers["median"] = numbers.pop(OLD_MEDIAN)
        return cls(**numbers)


@dataclass(frozen=True)
class Finish:
    """How a run that had nothing more to gain was ended before its plan.

    Args:
        step: optimizer steps done when that was found.
        way: ``"gain"``: ended there; ``"goal"``: its target was reached; ``"anneal"``: cooled
            down from there, then ended.
        best: best value of the goal metric so far.
        best_step: step of it: the checkpoint to keep.
        expected_gain: expected gain of the rest, in the metric's units; None where only the
            target counted.
        most_gain: gain not exceeded with 90 % probability; None where it is beyond what is told.
        tolerance: gain that was too small to train on for, in the metric's units.
        reason: why, with the numbers.
    """

    step: int
    way: FinishWay
    best: float
    best_step: int
    expected_gain: float | None = None
    most_gain: float | None = None
    tolerance: float | None = None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything known about one fine-tune: prediction, and later the outcome.

    Args:
        goal: what the run is judged by.
        verdict: GO, NO_GO or UNDECIDED.
        reasons: why, one sentence each, with numbers.
        stage: ``"preflight"`` before the run, ``"watch"`` from the callback.
        forecast: predictive distribution of the final goal metric.
        decomposition: intrinsic limit, optimization variance, optimal depth, regime.
        diagnoses: named failures with advice.
        cost: spent and expected.
        baseline: trivial baseline of the goal metric.
        looks: forecasts on the way, in order of step.
        probes: trajectories of the probe runs.
        run: trajectory of the watched run itself.
        risk_curve: measured (depth, L(c), runs behind it) rows the decomposition was fitted to.
        optimal_depth: budget-optimal probing depth c*, optimizer steps.
        outcome: true final value of the goal metric, once known.
        stopped_at: step at which the run was stopped as poor, None if it was not.
        finish: how it was ended because nothing more was to be gained, None if it was not.
        signals: static and dynamic signals, name -> value.
        settings: how it was measured: seeds, depths, eval sample, versions.
        notes: what could not be estimated, and why.
    """

    goal: Goal
    verdict: Verdict
    reasons: tuple[str, ...]
    cost: Cost
    stage: Stage = "preflight"
    forecast: Forecast | None = None
    decomposition: RiskDecomposition | None = None
    diagnoses: tuple[Diagnosis, ...] = ()
    baseline: float | None = None
    looks: tuple[Look, ...] = ()
    probes: tuple[RunRecord, ...] = ()
    run: RunRecord | None = None
    risk_curve: tuple[tuple[float, float, float], ...] = ()
    optimal_depth: float | None = None
    outcome: float | None = None
    stopped_at: int | None = None
    finish: Finish | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def early_look(self) -> Look | None:
        """The forecast early in a watched run, where the last one came late in it."""
        full = self.cost.full_steps
        if self.forecast is None or self.forecast.step <= _LATE_SHARE * full:
            return None
        later = (look for look in self.looks if look.step >= _EARLY_SHARE * full)
        first = next(later, None)
        return first if first is not None and first.step < self.forecast.step else None

    @property
    def prob_good(self) -> float | None:
        """Probability that the goal is met; None without a forecast, or target and baseline."""
        if self.forecast is None or self.goal.threshold(self.baseline) is None:
            return None
        return self.forecast.prob_meets(self.goal, self.baseline)
