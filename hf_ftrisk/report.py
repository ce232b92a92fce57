"""The report of a pre-flight or of a watched run: JSON (versioned), terminal, Markdown.

A report holds only what was computed from the runs in front of it. What could not be estimated is
None, and `notes` says why.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.jsonfile import read_json
from hf_ftrisk.policy.verdict import Diagnosis, Verdict
from hf_ftrisk.record import RunRecord
from hf_ftrisk.risk.decomposition import RiskDecomposition
from hf_ftrisk.settings import declared

FORMAT_VERSION = 1

Stage = Literal["preflight", "watch"]


@dataclass(frozen=True)
class Cost:
    """What was and will be spent. None where nothing was measured or no price was given.

    Args:
        full_steps: optimiser steps of the full run.
        spent_steps: optimiser steps spent so far (probing, or the watched run itself),
            evaluations counted at their measured cost.
        spent_seconds: wall time of those.
        saved_steps: optimiser steps of the full run that a stop did not run.
        seconds_per_step: measured time of one optimiser step.
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
        step: optimiser steps seen.
        mean: expected final value of the goal metric.
        low: lower end of the 90 % interval.
        high: upper end of the 90 % interval.
        prob_good: probability that the goal is met, None without target and baseline.
        observed: the goal metric at this step, None if it was not evaluated there.
    """

    step: int
    mean: float
    low: float
    high: float
    prob_good: float | None = None
    observed: float | None = None


@dataclass(frozen=True, eq=False)
class RiskReport:
    """Everything known about one fine-tune: prediction, and later the truth.

    Args:
        goal: what the run is judged by.
        verdict: GO, NO_GO or UNDECIDED.
        reasons: why, one sentence each, with numbers.
        stage: ``"preflight"`` before the run, ``"watch"`` from the callback.
        forecast: predictive distribution of the final goal metric.
        decomposition: intrinsic limit, optimisation variance, optimal depth, regime.
        diagnoses: named failures with advice.
        cost: spent and expected.
        baseline: trivial baseline of the goal metric.
        looks: forecasts on the way, in order of step.
        probes: trajectories of the probe runs.
        run: trajectory of the watched run itself.
        risk_curve: measured (depth, L(c), runs behind it) rows the decomposition was fitted to.
        optimal_depth: budget-optimal probing depth c*, optimiser steps.
        outcome: true final value of the goal metric, once known.
        stopped_at: step at which the run was stopped, None if it was not.
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
    signals: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def after(self, preflight: RiskReport) -> RiskReport:
        """This watched run's report, completed by what its pre-flight had found before it.

        Taken over where this report has nothing of its own: risk curve with decomposition and
        c*, probes, signals, expected cost. `settings` and `notes` hold both.

        Raises:
            ValueError: the pre-flight was judged by another metric.
        """
        if preflight.goal.metric != self.goal.metric:
            raise ValueError(
                f"the pre-flight was judged by {preflight.goal.metric}, this run by "
                f"{self.goal.metric}: they are of different goals"
            )
        cost = {
            name: value if value is not None else getattr(preflight.cost, name)
            for name, value in vars(self.cost).items()
        }
        own_curve = self.decomposition is not None
        curve = self if own_curve else preflight
        before = declared(preflight_steps=preflight.cost.spent_steps)
        return replace(
            self,
            cost=Cost(**cost),
            decomposition=curve.decomposition,
            risk_curve=curve.risk_curve,
            optimal_depth=curve.optimal_depth,
            probes=self.probes or preflight.probes,
            signals={**preflight.signals, **self.signals},
            settings={**preflight.settings, **self.settings, **before},
            notes=tuple(dict.fromkeys((*self.notes, *preflight.notes))),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict with a `format_version`; NaN and infinities become None."""
        goal = self.goal
        data = {
            "format_version": FORMAT_VERSION,
            "stage": self.stage,
            "goal": {
                "metric": goal.metric,
                "target": goal.target,
                "greater_is_better": goal.greater_is_better,
                "kind": goal.kind,
                "tolerance": goal.tolerance,
            },
            "verdict": str(self.verdict),
            "reasons": list(self.reasons),
            "forecast": self.forecast.to_dict() if self.forecast else None,
            "decomposition": self.decomposition.to_dict() if self.decomposition else None,
            "diagnoses": [diagnosis.to_dict() for diagnosis in self.diagnoses],
            "cost": dict(vars(self.cost)),
            "baseline": self.baseline,
            "looks": [dict(vars(look)) for look in self.looks],
            "probes": [record.to_dict() for record in self.probes],
            "run": self.run.to_dict() if self.run else None,
            "risk_curve": [list(row) for row in self.risk_curve],
            "optimal_depth": self.optimal_depth,
            "outcome": self.outcome,
            "stopped_at": self.stopped_at,
            "signals": dict(self.signals),
            "settings": dict(self.settings),
            "notes": list(self.notes),
        }
        cleaned = _finite(data)
        assert isinstance(cleaned, dict)
        return cleaned

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RiskReport:
        """Report from `to_dict`'s form.

        Raises:
            ValueError: another format version.
        """
        version = data.get("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(
                f"report has format_version {version!r}, this release reads {FORMAT_VERSION}"
            )
        forecast, decomposition, run = data["forecast"], data["decomposition"], data["run"]
        return cls(
            goal=Goal(**data["goal"]),
            verdict=Verdict(data["verdict"]),
            reasons=tuple(data["reasons"]),
            cost=Cost(**data["cost"]),
            stage=data["stage"],
            forecast=Forecast.from_dict(forecast) if forecast else None,
            decomposition=RiskDecomposition.from_dict(decomposition) if decomposition else None,
            diagnoses=tuple(Diagnosis.from_dict(item) for item in data["diagnoses"]),
            baseline=data["baseline"],
            looks=tuple(Look(**item) for item in data["looks"]),
            probes=tuple(RunRecord.from_dict(item) for item in data["probes"]),
            run=RunRecord.from_dict(run) if run else None,
            risk_curve=tuple((row[0], row[1], row[2]) for row in data["risk_curve"]),
            optimal_depth=data["optimal_depth"],
            outcome=data["outcome"],
            stopped_at=data["stopped_at"],
            signals=dict(data["signals"]),
            settings=dict(data["settings"]),
            notes=tuple(data["notes"]),
        )

    def to_markdown(self) -> str:
        """The report as a Markdown document."""
        from hf_ftrisk.report_text import markdown

        return markdown(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as JSON, atomically: a reader sees the old file or the whole new one."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RiskReport:
        """Read a report that `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not JSON, or not a report this release reads.
        """
        file = Path(path)
        try:
            data = read_json(file)
        except ValueError as error:
            raise ValueError(f"{file} is not a report: {error}") from error
        if not isinstance(data, dict):
            raise ValueError(f"{file} is not a report: expected an object at the top level")
        try:
            return cls.from_dict(data)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is not a report: {type(error).__name__} {error}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
