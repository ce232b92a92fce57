"""From what is known of a run to the predictive distribution of its final metric.

Cold, a run is forecast from what runs of other sources did from a like state (`change_model`).
With completed runs of the same task the forecast is theirs and the cold one together (`related`),
calibrated on their held-out errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hf_ftrisk.forecast.before import BeforeModel, known_before, load_before_model
from hf_ftrisk.forecast.change_model import ChangeModel, Family, family_of, load_change_model
from hf_ftrisk.forecast.cold import cold_values, keeps_best, mixed, share_before, within
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.features import run_state
from hf_ftrisk.forecast.forms import Form, form_of, range_of
from hf_ftrisk.forecast.related.runs import (
    DIP_RECOVERS,
    ColdMedian,
    RelatedRuns,
    RunCache,
    from_units,
    in_units,
)
from hf_ftrisk.forecast.scale import Scale
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

_SAMPLES = 1000
# Before anything was evaluated no rate is forecast nearer to 0 or 1 than by 0.2 %.
_MAX_BEFORE = 5.0


@dataclass(frozen=True, eq=False)
class Forecaster:
    """Forecasts a run's final goal metric from its record so far.

    Args:
        history: completed runs that may be used, as a tuple. Runs of the same task
            (`hf_ftrisk.record.tasks.of_task`), metric and about the same length inform a
            forecast; others do not.
        models: family of metrics -> what runs of other sources say; None: as packaged.
        before: the same for runs that were not evaluated yet.
    """

    history: tuple[RunRecord, ...] = ()
    models: Mapping[Family, ChangeModel] | None = None
    before: Mapping[Family, BeforeModel] | None = None
    _cache: RunCache = field(default_factory=RunCache, repr=False)
    _related: dict[tuple[str | None, int, Goal], RelatedRuns] = field(
        default_factory=dict, repr=False, init=False
    )
    _plain: dict[tuple[str, Form], Forecaster] = field(default_factory=dict, repr=False, init=False)

    @classmethod
    def default(cls, history: Iterable[RunRecord] | None = None) -> Forecaster:
        """Forecaster on the packaged model and, when given, on completed runs.

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
        that is another one by its definition is forecast as that one (`forms`), and none beyond
        what it can be (`possible_range`).
        """
        goal, _ = record.goal_scale(goal)
        form = form_of(record, goal)
        if form is not None:
            run = form.plain_run(record, goal)
            plain = self._of_plain(form, goal)._predict(run, form.plain_goal(goal))
            return replace(plain, samples=form.back(plain.samples, run.finite(goal.metric)[1]))
        return self._predict(record, goal)

    def _predict(self, record: RunRecord, goal: Goal) -> Forecast:
        """The forecast of a metric that is taken as it is."""
        samples, source = self._cold(record, goal)
        related = self._related_to(record, goal)
        if related is not None:
            units = self._with_related(related, record, goal, samples)
            samples = _at_least_reached(from_units(units, goal), record, goal)
            n = related.outcomes.size
            source = (
                f"{n} completed run{'s' if n > 1 else ''} of the same task and runs of "
                "other tasks; calibrated on their held-out errors"
            )
        if goal.kind == "real":
            samples = np.clip(samples, *range_of(record, goal))
        return Forecast(samples, step=record.last_step, source=source)

    def _with_related(
        self, related: RelatedRuns, record: RunRecord, goal: Goal, cold: np.ndarray
    ) -> np.ndarray:
        """Draws (n,) of a run whose task is known; a dip of one evaluation mostly recovers."""
        before_dip = related.before_dip(record)
        if before_dip is None:
            return related.samples(record, in_units(cold, goal), _SAMPLES)
        recovers = round(DIP_RECOVERS * _SAMPLES)
        cold_before_dip = in_units(self._cold(before_dip, goal)[0], goal)
        parts = [
            related.samples(before_dip, cold_before_dip, recovers),
            related.samples(record, in_units(cold, goal), _SAMPLES - recovers),
        ]
        return np.concatenate(parts)

    def _of_plain(self, form: Form, goal: Goal) -> Forecaster:
        """The same forecaster, its runs with the plain metric in place of the goal's."""
        key = (goal.metric, form)
        if key not in self._plain:
            runs = tuple(self._cache.plain(run, goal, form) for run in self.history)
            self._plain[key] = replace(self, history=runs)
        return self._plain[key]

    def _cold(self, record: RunRecord, goal: Goal) -> tuple[np.ndarray, str]:
        state = run_state(record, goal)
        if state is None:
            return self._unseen(record, goal)
        model = self._model(family_of(state.scale))
        values = cold_values(state, record, goal, model, _SAMPLES)
        share = share_before(state, record, goal)
        if share:
            before, _ = self._unseen(record, goal)
            values = _at_least_reached(mixed(values, before, share), record, goal)
        calibration = model.outcomes["end"].calibration
        source = (
            f"{model.runs} runs of {model.sources} sources, none of this task; calibrated on "
            f"{calibration.groups} held-out sources"
        )
        return values, source

    def _unseen(self, record: RunRecord, goal: Goal) -> tuple[np.ndarray, str]:
        """Before the first evaluation."""
        plan = known_before(record, goal)
        name = family_of(plan.scale)
        if name == "real":
            z = _wide(record, goal, plan.scale)
            return plan.scale.inverse(z), "no evaluation yet: wide prior of the metric's range"
        model = load_before_model(name) if self.before is None else self.before[name]
        z = model.ends(plan, record.progress, _SAMPLES)
        if name == "score":
            z = np.clip(z, -_MAX_BEFORE, _MAX_BEFORE)
        values = within(plan.scale.inverse(z), plan.scale, goal, np.empty(0))
        return values, (
            f"no evaluation yet: learned from how {model.runs} runs of {model.sources} other "
            "sources ended, by what was known before them"
        )

    def _model(self, name: Family) -> ChangeModel:
        return load_change_model(name) if self.models is None else self.models[name]

    def _related_to(self, record: RunRecord, goal: Goal) -> RelatedRuns | None:
        """Completed runs comparable to a record; None if there are none."""
        if not self.history:
            return None
        bare = Goal(goal.metric, greater_is_better=goal.greater_is_better, kind=goal.kind)
        key = (record.task, record.max_steps, bare)
        if key not in self._related:
            self._related[key] = RelatedRuns.of(
                record, self.history, bare, self._cold_median(bare), self._cache
            )
        related = self._related[key]
        return related if related.outcomes.size else None

    def _cold_median(self, goal: Goal) -> ColdMedian:
        def median(record: RunRecord) -> float:
            if not record.curve(goal.metric)[0].size:
                return float("nan")
            return float(np.median(in_units(self._cold(record, goal)[0], goal)))

        return median


def _at_least_reached(values: np.ndarray, record: RunRecord, goal: Goal) -> np.ndarray:
    """The best checkpoint is kept: what was reached cannot be lost again."""
    _, reached = record.finite(goal.metric)
    if not reached.size or not keeps_best(record, goal):
        return values
    if goal.greater_is_better:
        return np.asarray(np.maximum(values, reached.max()))
    return np.asarray(np.minimum(values, reached.min()))


def _wide(record: RunRecord, goal: Goal, scale: Scale) -> np.ndarray:
    """Coordinates (n,) spread over all that a metric of unknown range could plausibly become."""
    baseline = record.baseline(goal)
    middle = scale.forward(baseline if baseline is not None else scale.center)
    return np.asarray(middle + 3.0 * np.random.default_rng(0).standard_normal(_SAMPLES))
