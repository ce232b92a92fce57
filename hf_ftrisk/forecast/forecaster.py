"""From what is known of a run to the predictive distribution of its final metric.

Cold, a run is forecast from its curve and its losses under packaged priors and calibration
(`cold`). With completed runs of the same task the forecast is theirs and the curve
model's together (`peers`), calibrated on their held-out errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hf_ftrisk.forecast.cold import cold_values
from hf_ftrisk.forecast.curves.space import MetricSpace
from hf_ftrisk.forecast.curves.view import CurveView
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.prior import FamilyPrior, family, load_prior
from hf_ftrisk.forecast.related.peers import ColdMean, Known, Peers, from_units, in_units
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_scale import as_fractions
from hf_ftrisk.record import RunRecord

_SAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Forecaster:
    """Forecasts a run's final goal metric from its record so far.

    Args:
        history: completed runs that may be used, as a tuple. Runs of the same task
            (`peers.of_task`), metric and about the same length inform a forecast; others do not.
        priors: family of metrics -> what runs of other tasks say; None: as packaged.
    """

    history: tuple[RunRecord, ...] = ()
    priors: Mapping[str, FamilyPrior] | None = None
    _known: Known = field(default_factory=Known, repr=False)
    _peers: dict[tuple[str | None, int, Goal], Peers] = field(
        default_factory=dict, repr=False, init=False
    )
    _fractions: dict[str, Forecaster] = field(default_factory=dict, repr=False, init=False)

    @classmethod
    def default(cls, history: Iterable[RunRecord] | None = None) -> Forecaster:
        """Forecaster on the packaged priors and, when given, on completed runs.

        Args:
            history: a RunHistory or any iterable of completed records; None: packaged runs alone.
        """
        return cls(history=() if history is None else tuple(history))

    def refit(self, history: Iterable[RunRecord]) -> Forecaster:
        """The same forecaster with other completed runs.

        What both know of single runs is computed once, which makes refitting to many parts of one
        history (folds, held-out runs) cheap.
        """
        return replace(self, history=tuple(history))

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        """Predictive distribution of the final value of the goal's metric.

        Works from the planned run alone (no evaluation yet) to the finished trajectory. A metric
        in percent is forecast as the same metric in fractions would be.
        """
        goal, _ = record.goal_scale(goal)
        if goal.kind == "percent":
            run = record.divided(goal.metric, goal.unit)
            found = self._of_fractions(goal).predict(run, as_fractions(goal))
            return replace(found, samples=goal.unit * found.samples)
        samples, source = self._cold(record, goal)
        peers = self._peers_of(record, goal)
        if peers is not None:
            units = peers.samples(record, in_units(samples, goal), _SAMPLES)
            samples = _at_least_reached(from_units(units, goal), record, goal)
            n = peers.outcomes.size
            source = (
                f"{n} completed run{'s' if n > 1 else ''} of the same task and the curve model; "
                "calibrated on their held-out errors"
            )
        return Forecast(samples, step=record.last_step, source=source)

    def _of_fractions(self, goal: Goal) -> Forecaster:
        """The same forecaster, its runs with the goal's metric as fractions."""
        if goal.metric not in self._fractions:
            runs = tuple(self._known.in_fractions(run, goal) for run in self.history)
            self._fractions[goal.metric] = replace(self, history=runs)
        return self._fractions[goal.metric]

    def _cold(self, record: RunRecord, goal: Goal) -> tuple[np.ndarray, str]:
        view = CurveView.of(record, goal)
        if view is None:
            space = MetricSpace.of(goal, record.train_curve()[1] if _is_loss(goal) else None)
            z = _static_samples(record, goal, space, np.random.default_rng(0))
            values = np.clip(space.inverse(z), *goal.bounds)
            return values, "no evaluation yet: wide prior of the metric's range"
        prior = self._prior(goal)
        values = cold_values(view, record, goal, prior, _SAMPLES)
        source = (
            "curve model and losses on packaged priors; calibrated on "
            f"{prior.calibration.groups} groups of runs of other tasks"
        )
        return _at_least_reached(values, record, goal), source

    def _prior(self, goal: Goal) -> FamilyPrior:
        name = family(goal.kind)
        return load_prior(name) if self.priors is None else self.priors[name]

    def _peers_of(self, record: RunRecord, goal: Goal) -> Peers | None:
        """Completed runs comparable to a record; None if there are none."""
        if not self.history:
            return None
        bare = Goal(goal.metric, greater_is_better=goal.greater_is_better, kind=goal.kind)
        key = (record.task, record.max_steps, bare)
        if key not in self._peers:
            self._peers[key] = Peers.of(
                record, self.history, bare, self._cold_mean(bare), self._known
            )
        peers = self._peers[key]
        return peers if peers.outcomes.size else None

    def _cold_mean(self, goal: Goal) -> ColdMean:
        def mean(record: RunRecord) -> float:
            if not record.curve(goal.metric)[0].size:
                return float("nan")
            return float(in_units(self._cold(record, goal)[0], goal).mean())

        return mean


def _is_loss(goal: Goal) -> bool:
    """Whether the training loss is on the scale of the goal's metric."""
    return goal.metric.endswith("loss")


def _at_least_reached(values: np.ndarray, record: RunRecord, goal: Goal) -> np.ndarray:
    """The best checkpoint is kept: what was reached cannot be lost again."""
    chosen = record.selection
    _, seen = record.finite(goal.metric)
    if not record.load_best or not seen.size:
        return values
    if chosen is not None and (chosen.metric, chosen.greater_is_better) != (
        goal.metric,
        goal.greater_is_better,
    ):
        return values
    if goal.greater_is_better:
        return np.asarray(np.maximum(values, seen.max()))
    return np.asarray(np.minimum(values, seen.min()))


def _static_samples(
    record: RunRecord, goal: Goal, space: MetricSpace, rng: np.random.Generator
) -> np.ndarray:
    """Coordinates (n,) spread over all the metric could plausibly become."""
    share = (rng.permutation(_SAMPLES) + 0.5) / _SAMPLES
    baseline = record.baseline(goal)
    if goal.usual_range is not None:
        low, high = goal.usual_range
        worst, best = (max(low, 0.0), high) if goal.greater_is_better else (high, low)
        edge = worst if baseline is None else baseline
        return space.forward(edge + (best - edge) * share)
    if goal.kind == "loss":
        _, losses = record.train_curve()
        known = losses[np.isfinite(losses) & (losses > 0)]
        scale = baseline or (float(known[-1]) if known.size else goal.target) or 1.0
        return space.forward(scale) + 0.8 * rng.standard_normal(_SAMPLES)
    middle = space.forward(baseline if baseline is not None else space.center)
    return np.asarray(middle + 3.0 * rng.standard_normal(_SAMPLES))
