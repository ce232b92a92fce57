"""The calibrated rule of a pre-flight: P(good) from the parts, and where GO and NO_GO begin.

A logistic regression on the parts, whose weights cannot be negative: a part that looks better never
makes a run look worse. Weights and thresholds are fitted on recorded pairs (what a pre-flight saw,
how the full run ended) by ``python -m benchmarks.fit_preflight``. Every pair is judged by weights
fitted without its data set; the thresholds are then the widest for which finite-sample bounds hold
on the pairs of 500 steps and more: of good runs at most a given share fall below `no_go`, and of
the runs at or above `go` at most `go_rate` end poor. No torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.calibration import conformal_threshold
from hf_ftrisk.policy.parts import Parts, part_names, read_parts
from hf_ftrisk.record import RunRecord

RULE_FILE = Path(__file__).parent.parent / "reference" / "preflight.json"


@dataclass(frozen=True)
class PreflightRule:
    """P(good) of a run from its parts, and the two thresholds.

    Args:
        intercept: log odds of a run whose parts are all 0.
        weights: part -> log odds for each unit of it, 0 or more.
        missing: part -> value that stands for one that was not measured: the mean of the pairs.
        sound: part -> mean over the good pairs.
        good: (n_good,) P(good) of the good pairs, each by weights fitted without its data set.
        good_runs: (n_good,) the run of each.
        go: P(good) from which on a run is called GO; above 1: never.
        go_rate: share of GOs that are allowed to end poor.
        runs: runs it was fitted on.
        data_sets: data sets they are of.
    """

    intercept: float
    weights: Mapping[str, float]
    missing: Mapping[str, float]
    sound: Mapping[str, float]
    good: Sequence[float]
    good_runs: Sequence[str]
    go: float
    go_rate: float
    runs: int
    data_sets: int

    def log_odds(self, parts: Parts) -> float:
        """Log odds of a good outcome."""
        weights = np.array([self.weights[name] for name in part_names()])
        return float(self.intercept + weights @ parts.values(self.missing))

    def prob_good(self, parts: Parts) -> float:
        """Probability of a good outcome, never 0 or 1."""
        return 1.0 / (1.0 + math.exp(-min(max(self.log_odds(parts), -30.0), 30.0)))

    def deficits(self, parts: Parts) -> dict[str, float]:
        """Part -> what it takes from the log odds of a run like the good pairs; 0 if unmeasured."""
        values = parts.values(self.sound)
        return {
            name: self.weights[name] * (self.sound[name] - float(value))
            for name, value in zip(part_names(), values, strict=True)
        }

    def no_go(self, rate: float) -> float:
        """P(good) below which a run is called NO_GO; 0 where runs are too few for this rate.

        One more good run of the kind falls below it with a chance of at most `rate`
        (`conformal_threshold`; runs weigh alike, however many goals they were judged by).

        Args:
            rate: share of good runs that NO_GO is allowed to meet, in (0, 1).
        """
        return conformal_threshold(self.good, self.good_runs, rate) or 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return asdict(self)


@cache
def packaged_rule() -> PreflightRule:
    """The rule that comes with the package."""
    return PreflightRule(**json.loads(RULE_FILE.read_text(encoding="utf-8")))


def decision_parts(
    probe: RunRecord, goal: Goal, baseline: float | None, forecast: Forecast | None = None
) -> dict[str, float]:
    """What each part of a pre-flight's decision adds to the log odds of a good outcome.

    Args:
        probe: a probe of the report, with its signals: ``report.probes[0]``.
        goal: what the run is judged by.
        baseline: trivial baseline of the goal's metric.
        forecast: of the probe, without completed runs of the task (`Forecaster.default()`).

    Returns:
        Part (`Parts`) -> log odds against runs that ended well; 0 where it was not measured.
    """
    deficits = packaged_rule().deficits(read_parts(probe, goal, baseline, forecast))
    return {name: -lost for name, lost in deficits.items()}
