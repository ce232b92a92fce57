"""What a pre-flight found of a run, for whoever watches it afterwards. No torch."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report.report import RiskReport


@dataclass(frozen=True, eq=False)
class PreflightFindings:
    """What the watching of a run takes over from its pre-flight.

    Args:
        goal: what the run was judged by.
        baseline: trivial baseline of the goal's metric.
        prob_good: P(good) before the run; None: it could not be said.
        settings: of the run that was probed.
        static: signals of the untrained model and the data.
    """

    goal: Goal
    baseline: float | None
    prob_good: float | None
    settings: Mapping[str, Any]
    static: Mapping[str, float]

    @classmethod
    def of(cls, report: RiskReport) -> PreflightFindings | None:
        """From the report of a pre-flight; None where nothing was probed."""
        if not report.probes:
            return None
        probe, goal, forecast = report.probes[0], report.goal, report.forecast
        if forecast is None or goal.threshold(report.baseline) is None:
            prob_good = None
        else:
            prob_good = forecast.prob_meets(goal, report.baseline)
        return cls(
            goal=goal,
            baseline=report.baseline,
            prob_good=prob_good,
            settings=dict(probe.settings),
            static=dict(probe.static),
        )

    def is_of(self, plan: RunRecord) -> bool:
        """Whether a run that begins is the one that was probed: the same settings, as far as known.

        Args:
            plan: the run before its first step.
        """
        shared = set(self.settings) & set(plan.settings)
        return all(self.settings[name] == plan.settings[name] for name in shared)

    def applied(self, plan: RunRecord) -> RunRecord:
        """The run with the signals that it lacks, and with the baseline that was measured.

        Args:
            plan: the run before its first step.
        """
        baselines = dict(plan.baselines)
        if self.baseline is not None:
            baselines[self.goal.metric] = self.baseline
        return replace(plan, static={**self.static, **plan.static}, baselines=baselines)


# The id of a Trainer -> the Trainer, its findings, and the training rows that they are of. By its
# id: a class that says when two are equal (TRL's KTOTrainer) has no hash.
_kept: dict[int, tuple[weakref.ref[Any], PreflightFindings, Any]] = {}


def keep_findings(trainer: Any, report: RiskReport) -> None:
    """Keep what a pre-flight of this Trainer found until it trains, or for as long as it lives."""
    findings = PreflightFindings.of(report)
    if findings is not None:
        key = id(trainer)
        alive = weakref.ref(trainer, lambda _: _kept.pop(key, None))
        _kept[key] = (alive, findings, trainer.train_dataset)


def take_findings(trainer: Any) -> PreflightFindings | None:
    """What was kept of this Trainer, once: a second training begins with trained weights.

    None where other training rows were given to it since: whoever mends the labels that a
    pre-flight complained about is not to be stopped for them.
    """
    entry = _kept.pop(id(trainer), None)
    if entry is None:
        return None
    _, findings, rows = entry
    return findings if trainer.train_dataset is rows else None
