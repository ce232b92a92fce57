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
class Before:
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
    def of(cls, report: RiskReport) -> Before | None:
        """From the report of a pre-flight; None where nothing was probed."""
        if not report.probes:
            return None
        probe, goal, known = report.probes[0], report.goal, report.forecast
        judged = known is not None and goal.threshold(report.baseline) is not None
        return cls(
            goal=goal,
            baseline=report.baseline,
            prob_good=known.prob_meets(goal, report.baseline) if known and judged else None,
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


# Trainer -> what was found, and the training rows that it was found on.
_found: weakref.WeakKeyDictionary[Any, tuple[Before, Any]] = weakref.WeakKeyDictionary()


def keep(trainer: Any, report: RiskReport) -> None:
    """Keep what a pre-flight of this Trainer found until it trains, or for as long as it lives."""
    before = Before.of(report)
    if before is not None:
        _found[trainer] = (before, trainer.train_dataset)


def take(trainer: Any) -> Before | None:
    """What was kept of this Trainer, once: a second training begins with trained weights.

    None where other training rows were given to it since: whoever mends the labels that a
    pre-flight complained about is not to be stopped for them.
    """
    entry = _found.pop(trainer, None)
    if entry is None:
        return None
    before, rows = entry
    return before if trainer.train_dataset is rows else None
