"""From what is known of a run to the predictive distribution of its final metric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.extrapolation import CurveView, sample_outcome
from hf_ftrisk.forecast.prior import family, load_prior
from hf_ftrisk.forecast.space import MetricSpace
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

_SAMPLES = 400


@dataclass(frozen=True, eq=False)
class Forecaster:
    """Forecasts a run's final goal metric from its record so far.

    Args:
        history: completed runs that may be used, as a tuple.
    """

    history: tuple[RunRecord, ...] = ()

    @classmethod
    def default(cls, history: Iterable[RunRecord] | None = None) -> Forecaster:
        """Forecaster on the packaged priors and, when given, on completed runs.

        Args:
            history: a RunHistory or any iterable of completed records; None: packaged runs alone.
        """
        return cls(history=() if history is None else tuple(history))

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        """Predictive distribution of the final value of the goal's metric.

        Works from the planned run alone (no evaluation yet) to the finished trajectory.
        """
        view = CurveView.of(record, goal)
        if view is None:
            space = MetricSpace.of(goal)
            values = space.inverse(_static_samples(record, goal, space, np.random.default_rng(0)))
            source = "no evaluation yet: wide prior of the metric's range"
        else:
            z = sample_outcome(
                view,
                load_prior(family(goal.kind)),
                best=record.load_best,
                max_steps=record.max_steps,
                n=_SAMPLES,
            )
            values = view.metric(z)
            source = "curve model on packaged priors"
        low, high = goal.bounds
        samples = np.clip(values, low, high)
        return Forecast(samples, step=record.last_step, source=source)


def _static_samples(
    record: RunRecord, goal: Goal, space: MetricSpace, rng: np.random.Generator
) -> np.ndarray:
    """Coordinates (n,) spread over all the metric could plausibly become."""
    share = (rng.permutation(_SAMPLES) + 0.5) / _SAMPLES
    baseline = record.baseline(goal)
    if goal.kind in ("rate", "correlation"):
        low, high = goal.bounds
        edge = baseline if baseline is not None else max(low, 0.0) if high == 1.0 else low
        best = high if goal.greater_is_better else low
        return space.forward(edge + (best - edge) * share)
    if goal.kind == "loss":
        _, losses = record.train_curve()
        known = losses[np.isfinite(losses) & (losses > 0)]
        scale = baseline or (float(known[-1]) if known.size else goal.target) or 1.0
        return space.forward(scale) + 0.8 * rng.standard_normal(_SAMPLES)
    middle = space.forward(baseline if baseline is not None else space.center)
    return np.asarray(middle + 3.0 * rng.standard_normal(_SAMPLES))
