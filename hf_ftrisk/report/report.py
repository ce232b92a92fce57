"""The report of a pre-flight or of a watched run: JSON (versioned), terminal, Markdown.

A report holds only what was computed from the runs in front of it. What could not be estimated is
None, and `notes` says why.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hf_ftrisk.atomic import write_atomically
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.jsonfile import check_format, read_json
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.settings import declared
from hf_ftrisk.report.findings import Cost, Findings, Finish, Look
from hf_ftrisk.report.wording import markdown
from hf_ftrisk.risk.decomposition import RiskDecomposition
from hf_ftrisk.verdict import Diagnosis, Verdict

FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class RiskReport(Findings):
    """Everything known about one fine-tune: prediction, and later the outcome.

    Its fields are those of `Findings`: goal, verdict, reasons, cost, stage, forecast,
    decomposition, diagnoses, baseline, looks, probes, run, risk_curve, optimal_depth, outcome,
    stopped_at, finish, signals, settings, notes.
    """

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
            "finish": dict(vars(self.finish)) if self.finish else None,
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
            ValueError: another format version, or a field that is not what it must be.
        """
        # Loads only where a report is read: most that make one never do.
        from hf_ftrisk.report.schema import check

        check_format("report", data.get("format_version"), FORMAT_VERSION)
        check(data)
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
            looks=tuple(Look.from_dict(item) for item in data["looks"]),
            probes=tuple(RunRecord.from_dict(item) for item in data["probes"]),
            run=RunRecord.from_dict(run) if run else None,
            risk_curve=tuple((row[0], row[1], row[2]) for row in data["risk_curve"]),
            optimal_depth=data["optimal_depth"],
            outcome=data["outcome"],
            stopped_at=data["stopped_at"],
            finish=Finish(**data["finish"]) if data.get("finish") else None,
            signals={name: v for name, v in data["signals"].items() if v is not None},
            settings=dict(data["settings"]),
            notes=tuple(data["notes"]),
        )

    def to_markdown(self) -> str:
        """The report as a Markdown document."""
        return markdown(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as JSON, atomically: a reader sees the old file or the whole new one."""
        target = Path(path)
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(target, text.encode())
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
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is not a report: {error}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
