"""The calibrated rules on parts: P(good) of a run, and where GO and NO_GO begin.

A logistic regression on the parts, whose weights cannot be negative: a part that looks better never
makes a run look worse. Two rules judge what a pre-flight saw, of classifiers of rows and of other
tasks (``benchmarks.fit_preflight``), one the looks at a run that trains (``benchmarks.fit_watch``);
they are fitted on recorded runs of which the outcome is known. Every run is judged by weights
fitted without its data set; the thresholds are then the widest for which finite-sample bounds hold
on runs of 500 steps and more: of good runs at most a given share fall below `no_go`, and of those
at or above `go` at most `go_rate` end poor. No torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.calibration import conformal_threshold
from hf_ftrisk.policy.parts.parts import Parts, part_names, read_parts, task_kind
from hf_ftrisk.record import RunRecord

_REFERENCE = Path(__file__).parents[2] / "reference"
PREFLIGHT_FILE = _REFERENCE / "preflight.json"
OTHERS_FILE = _REFERENCE / "preflight_others.json"
WATCH_FILE = _REFERENCE / "watch.json"
# The recorded runs had all parts, or nearly all: where fewer were measured the rules know nothing.
MIN_PARTS = 6
# Value below which a part is said to be wrong, whatever the weights: then it may be named.
_WRONG = {
    "signal": 0.87,  # z of 1.65: one in twenty shufflings does as well
    "movement": 0.0,  # the schedule moves the loss by less than is asked for
    "heat": -0.2,
    "stability": -0.1,
    "rows": math.log10(64),
    "reach": 0.0,
}
# Skill that nobody can have where labels do not depend on the representation.
_WITHOUT_SIGNAL = ("reach", "simulated")


@dataclass(frozen=True)
class PartsRule:
    """P(good) of a run from its parts, and the two thresholds.

    Args:
        intercept: log odds of a run whose parts are all 0.
        weights: part -> log odds for each unit of it, 0 or more.
        missing: part -> value that stands for one that was not measured: the mean of all runs.
        sound: part -> mean over the good runs.
        good: (n_good,) P(good) of the good runs, each by weights fitted without its data set; the
            smallest over all looks, where there are several.
        good_settings: (n_good,) the setting of each: its seeds weigh as one.
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
    good_settings: Sequence[str]
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
        """Part -> what it takes from the log odds of a run like the good ones; 0 if unmeasured."""
        values = parts.values(self.sound)
        return {
            name: self.weights[name] * (self.sound[name] - float(value))
            for name, value in zip(part_names(), values, strict=True)
        }

    def no_go(self, rate: float) -> float:
        """P(good) below which a run is called NO_GO; 0 where runs are too few for this rate.

        A good run of one more setting falls below it with a chance of at most `rate`
        (`conformal_threshold`; settings weigh alike, however many seeds and goals they have).

        Args:
            rate: share of good runs that NO_GO is allowed to meet, in (0, 1).
        """
        return conformal_threshold(self.good, self.good_settings, rate) or 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return asdict(self)


@dataclass(frozen=True)
class PreflightRules:
    """The rules on what a pre-flight saw, by kind of task.

    Args:
        rows: of pretrained classifiers of rows.
        others: of taggers, regressions, rows with several labels, and models that write text.
    """

    rows: PartsRule
    others: PartsRule

    def of(self, probe: RunRecord) -> PartsRule | None:
        """The rule for runs like this one; None where none were recorded.

        What a linear probe finds in random weights says nothing of where a run ends; where text is
        written there is none.
        """
        kind = task_kind(probe.static)
        if kind is None or (kind != "text" and probe.settings.get("pretrained") is False):
            return None
        return self.rows if kind == "rows" else self.others


def preflight_rules() -> PreflightRules:
    """The packaged rules on what a pre-flight saw."""
    return PreflightRules(preflight_rule(), _read(OTHERS_FILE))


def preflight_rule() -> PartsRule:
    """The packaged rule on what a pre-flight saw of a classifier of rows."""
    return _read(PREFLIGHT_FILE)


def watch_rule() -> PartsRule:
    """The packaged rule on looks at a run that trains."""
    return _read(WATCH_FILE)


@cache
def _read(file: Path) -> PartsRule:
    return PartsRule(**json.loads(file.read_text(encoding="utf-8")))


def is_like_recorded(record: RunRecord) -> bool:
    """Whether a run is a pretrained classifier of rows whose signals are known: most recordings."""
    return task_kind(record.static) == "rows" and record.settings.get("pretrained") is not False


def decisive_part(parts: Parts, rule: PartsRule) -> str:
    """The part that speaks against the run most.

    Among those that are wrong by themselves, the one that takes most from the log odds of a sound
    run; where none is, the one of all that does. Where labels do not depend on the representation,
    that is why a probe reaches nothing, and what its skill takes counts for the signal.
    """
    lost, wrong = rule.deficits(parts), wrong_parts(parts)
    if "signal" in wrong:
        lost["signal"] += sum(max(lost[name], 0.0) for name in _WITHOUT_SIGNAL)
        wrong = [name for name in wrong if name not in _WITHOUT_SIGNAL]
    if wrong:
        return max(wrong, key=lambda name: (lost[name], -list(_WRONG).index(name)))
    # A target that the probe reaches is not out of reach, however far others' probes went.
    within = parts.reach is not None and parts.reach >= 0.0
    return max((name for name in lost if name != "reach" or not within), key=lost.__getitem__)


def wrong_parts(parts: Parts) -> list[str]:
    """Parts that are wrong by themselves."""
    values = dict(zip(part_names(), astuple(parts), strict=True))
    return [
        name
        for name, limit in _WRONG.items()
        if (value := values[name]) is not None and value < limit
    ]


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
    rule = preflight_rules().of(probe) or preflight_rule()
    deficits = rule.deficits(read_parts(probe, goal, baseline, forecast))
    return {name: -lost for name, lost in deficits.items()}
