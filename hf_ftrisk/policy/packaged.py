"""The rule where there is no history: calibrated on completed runs of other tasks.

Runs of other tasks are not exchangeable with a new one, so no theorem bounds the false stops. The
rate is measured instead: each source's good runs (a data set, a family of repositories) against the
threshold that the *other* sources give, every run forecast without its own source. The rule is used
only where that measured rate is within the allowed one. Runs judged by the trivial baseline and by
targets that they just met are calibrated apart: how far a run will get is harder to say than
whether it learns at all. By the trivial baseline the threshold is set for half of the allowed rate,
by a target for all of it, or less where that is measured to stop too many.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from itertools import compress
from pathlib import Path

import numpy as np

from hf_ftrisk.forecast.distribution import Predictor
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import MetricKind
from hf_ftrisk.policy.calibration import conformal_threshold
from hf_ftrisk.policy.parts.rule import watch_rule
from hf_ftrisk.policy.rule import StoppingRule
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent

SCORES_FILE = Path(__file__).parent.parent / "reference" / "stopping.json"
# The threshold is set for the allowed rate divided by the first of these that keeps the measured
# rate within it. Targets that were just met are the hardest there are: the targets that people set
# stop fewer good runs than was measured (docs/evidence/policy.md).
CAUTIONS = (2.0, 3.0, 4.0, 5.0, 6.0, 9.0)
TARGET_CAUTIONS = (1.0, 1.5, *CAUTIONS)
# Fewer sources than this say nothing about one more.
MIN_SOURCES = 8
FEW_RUNS = 3


@dataclass(frozen=True)
class ReferenceScores:
    """Scores of good runs of other tasks.

    Args:
        scores: (n,) `calibration.score_of`, one for each goal the run was judged by and met.
        groups: (n,) source of each: a data set, a family of repositories.
        judged: (n,) kind of the goal: the trivial baseline, or by how much the target was met.
        runs: number of runs behind them.
    """

    scores: tuple[float, ...]
    groups: tuple[str, ...]
    judged: tuple[str, ...]
    runs: int

    @property
    def n_sources(self) -> int:
        """Number of sources."""
        return len(set(self.groups))

    def of(self, goal: Goal) -> ReferenceScores:
        """The scores of goals of this kind: with a target, or judged by the trivial baseline."""
        is_of_kind = [(kind == "baseline") == (goal.target is None) for kind in self.judged]
        return ReferenceScores(
            scores=tuple(compress(self.scores, is_of_kind)),
            groups=tuple(compress(self.groups, is_of_kind)),
            judged=tuple(compress(self.judged, is_of_kind)),
            runs=self.runs,
        )

    def caution(self, false_stop_rate: float) -> float | None:
        """What the allowed rate is divided by for the threshold; None: the scores support none."""
        supported = self.supported(false_stop_rate)
        return None if supported is None else supported[0]

    def supported(self, false_stop_rate: float) -> tuple[float, float] | None:
        """`caution`, and the `held_out_rate` that was measured with it."""
        for caution in CAUTIONS if "baseline" in self.judged else TARGET_CAUTIONS:
            level = false_stop_rate / caution
            if conformal_threshold(self.scores, None, level):
                measured = self.held_out_rate(level)
                if measured <= false_stop_rate:
                    return caution, measured
        return None  # no threshold, one of 0 that nothing falls below, or too many good runs below

    def held_out_rate(self, level: float) -> float:
        """Share of good runs below the threshold that the other sources give, sources in turn.

        The mean over sources, so that a source with many runs does not speak for the others, and
        of the kind of goal with the largest: a hard target is what people set. Sources with fewer
        than `FEW_RUNS` good runs, whose rate can only be far off, count together as one.

        Args:
            level: share of the others' good runs that the threshold is set for.
        """
        scores, judged = np.array(self.scores), np.array(self.judged)
        of_group = np.unique(self.groups, return_inverse=True)[1]
        members = [of_group == number for number in range(self.n_sources)]
        below = np.zeros(scores.size, dtype=bool)
        for member in members:
            threshold = conformal_threshold(scores[~member], None, level)
            if threshold is not None:
                below[member] = scores[member] < threshold
        rates = []
        for kind in set(self.judged):
            of_kind = judged == kind
            of_source = of_group[of_kind]
            runs = np.bincount(of_source, minlength=len(members))
            lost = np.bincount(of_source, below[of_kind], minlength=len(members))
            large, small = runs >= FEW_RUNS, (runs > 0) & (runs < FEW_RUNS)
            pooled = lost[large] / runs[large]
            if small.any():
                pooled = np.append(pooled, lost[small].sum() / runs[small].sum())
            rates.append(float(pooled.mean()))
        return max(rates, default=0.0)


def family(kind: MetricKind | None) -> str:
    """Metrics whose packaged scores are one set: ``"loss"``, or ``"score"`` for all others."""
    return "loss" if kind == "loss" else "score"


@cache
def reference_scores(name: str) -> ReferenceScores | None:
    """Packaged scores of a family of metrics (`family`); None if there are none."""
    if not SCORES_FILE.is_file():
        return None
    stored = json.loads(SCORES_FILE.read_text(encoding="utf-8"))["families"].get(name)
    if stored is None:
        return None
    return ReferenceScores(
        scores=tuple(stored["scores"]),
        groups=tuple(stored["groups"]),
        judged=tuple(stored["judged"]),
        runs=int(stored["runs"]),
    )


def reference_rule(
    goal: Goal, forecaster: Predictor, false_stop_rate: float
) -> StoppingRule | None:
    """The rule calibrated on packaged runs, None where those do not support one.

    They support one for rates, correlations and losses with at least `MIN_SOURCES` sources, where
    the measured share of good runs stopped on sources left out is within the allowed one; for
    metrics of no known range there are too few.
    """
    if goal.kind == "real":
        return None
    packaged = reference_scores(family(goal.kind))
    if packaged is None:
        return None
    reference = packaged.of(goal)
    supported = reference.supported(false_stop_rate)
    if reference.n_sources < MIN_SOURCES or supported is None:
        return None
    caution, measured = supported
    return StoppingRule(
        goal=goal,
        forecaster=forecaster,
        false_stop_rate=false_stop_rate,
        scores=reference.scores,
        borrowed=True,
        caution=caution,
        source=f"{reference.runs} completed runs of {reference.n_sources} other sources, not of "
        f"this task; on sources left out at most {percent(measured, '.1f')} of good runs "
        "fell below it",
    )


def default_rule(
    goal: Goal,
    forecaster: Predictor,
    history: Iterable[RunRecord] | None = None,
    false_stop_rate: float = 0.05,
) -> StoppingRule:
    """The rule calibrated on the history, or else on packaged runs of other tasks.

    With enough good runs of the same task in the history the guarantee is exact. Without them the
    packaged runs are used where their false stops, measured on sources left out, stay within
    the allowed rate (`reference_rule`); the rule's `source` says so. Where the untrained model's
    signals are known, the first fifth of the run is judged by them as well. They were forecast
    without a history, and so is the new run for this: a few known runs, all of them poor, would
    make a good one look lost. Where packaged runs do not do, the rule cannot stop yet, and says
    how many runs are missing.

    A `Forecaster` is taken to have been built from the history: the calibration runs are then
    forecast by cross-fitting. Any other forecaster is used as it is, and must not have been
    fitted on the history; packaged runs say nothing about it.

    Args:
        goal: what a run is judged by.
        forecaster: predicts the end of new runs.
        history: completed runs of the same task.
        false_stop_rate: allowed chance that a good run is stopped.
    """
    if not isinstance(forecaster, Forecaster):
        return StoppingRule.from_runs(history or (), goal, forecaster, false_stop_rate)
    rule = StoppingRule.from_runs(
        history or (), goal, forecaster, false_stop_rate, fit=forecaster.refit
    )
    if rule.can_stop:
        return rule
    packaged = reference_rule(goal, forecaster, false_stop_rate)
    if packaged is None:
        return rule
    cold = forecaster.refit(()) if forecaster.history else None
    return replace(packaged, judged_by=cold, parts=watch_rule())
