"""What runs were before their first evaluation, and where they ended: rows and model.

As `examples` and `fitting`, for `hf_ftrisk.forecast.before`. A run's evaluation at step 0, which
few Trainer runs make, is left out. All sources calibrate: static signals are known of the project's
own runs alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from benchmarks.forecasting.examples import MIN_EVALUATIONS, Examples
from benchmarks.forecasting.fitting import (
    PACKAGED,
    Choices,
    calibrated,
    draws_unseen,
    grown_on,
    sampled,
    weights_of_unseen,
)
from benchmarks.forecasting.sources import Completed
from hf_ftrisk.forecast.before import BeforeModel, known_before
from hf_ftrisk.forecast.change_model import Outcomes, family_of
from hf_ftrisk.forecast.conformal import DEPTHS, DepthCalibration
from hf_ftrisk.forecast.network import N_INPUTS
from hf_ftrisk.record import RunRecord

DEPTHS_BEFORE = (0.0, 0.02, 0.05, 0.1, 0.15, 0.25)
MAX_CHANGE = 10.0


def rows_before(runs: Iterable[Completed]) -> Examples:
    """Rows of all runs, the reference value in place of the last one."""
    rows = [row for run in runs for row in _rows(run)]
    names = list(Examples.__dataclass_fields__)
    return Examples(**{n: np.array([row[i] for row in rows]) for i, n in enumerate(names)})


def _trained_only(record: RunRecord) -> RunRecord:
    later = record.eval_step > 0
    evals = {name: values[later] for name, values in record.evals.items()}
    return replace(record, eval_step=record.eval_step[later], evals=evals)


def _rows(run: Completed) -> list[tuple]:
    record = _trained_only(run.record)
    goal, _ = record.goal_scale(run.goal)
    steps, values = record.finite(goal.metric)
    if values.size < MIN_EVALUATIONS or steps[-1] < 0.85 * record.max_steps:
        return []
    rows = []
    for depth in DEPTHS_BEFORE:
        if depth * record.max_steps + 1e-6 >= steps[0]:
            break
        prefix = record.prefix(depth * record.max_steps + 1e-6)
        known = known_before(prefix, goal)
        if family_of(known.scale) == "real":
            return []
        z = known.scale.forward(values)
        end, reference = float(z[-1]), known.reference
        value = float(values[-1]) / known.scale.unit
        slope = known.scale.slope(float(values[-1]))
        what = (run.table, run.source, run.run, goal.metric, family_of(known.scale))
        where = (known.scale.shape, depth, prefix.progress, values.size)
        ends = (reference, reference, end, float(z.max()), value, value, slope)
        no_curve = np.full(N_INPUTS, np.nan)
        rows.append((*what, *where, *ends, known.features, no_curve, known.scale))
    return rows


def fit_before_model(all_rows: Examples, choices: Choices = PACKAGED) -> BeforeModel:
    """Model of one family of metrics from the rows of its runs."""
    rows = sampled(all_rows, choices.seed)
    change = np.clip(rows.end - rows.last, -MAX_CHANGE, MAX_CHANGE)
    grown = grown_on(rows, rows.features, change, choices)
    asked, draws = draws_unseen(weights_of_unseen(grown, rows.source), change)
    factors = calibrated(rows.where(asked), draws, change[asked])
    sources = int(np.unique(rows.source).size)
    outcomes = Outcomes(
        change,
        np.tile([1.0, 0.0], (len(DEPTHS), 1)),
        DepthCalibration((factors,) * len(DEPTHS), sources),
        np.tile([change.min(), change.max()], (len(DEPTHS), 1)),
    )
    runs = int(np.unique(np.char.add(all_rows.source, all_rows.run)).size)
    return BeforeModel(grown.forest, outcomes, sources, runs)
