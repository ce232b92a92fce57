"""What runs had shown at several depths, and what was still to come: the rows models learn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmarks.forecasting.sources import Completed
from hf_ftrisk.forecast.change_model import family_of
from hf_ftrisk.forecast.features import run_state
from hf_ftrisk.forecast.scale import Scale
from hf_ftrisk.record import RunRecord

DEPTHS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MIN_EVALUATIONS = 3
_ENDS_BEFORE = 0.85  # a last evaluation earlier than this share of the run is no outcome


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows of all runs; every array is (n,) but `features` and `curve`.

    Args:
        table: table of the run.
        source: its source.
        run: its name.
        metric: the metric.
        family: "loss", "score" or "real" (see `change_model.family_of`).
        shape: shape of the metric's scale.
        depth: share of the planned steps that was seen.
        progress: share at the last log.
        evaluations: number of evaluations of the whole run.
        last: z of the last evaluation seen.
        best: z of the best seen.
        end: z of the run's last evaluation.
        best_end: z of its best.
        last_value: the last evaluation in fractions, or as it is.
        end_value: the run's last evaluation likewise.
        slope: change of the fraction (or log) per unit of z at the last evaluation.
        features: (n, n_features).
        curve: (n, n_inputs) of `network.trajectory`.
        scale: the metric's `Scale` at that depth.
    """

    table: np.ndarray
    source: np.ndarray
    run: np.ndarray
    metric: np.ndarray
    family: np.ndarray
    shape: np.ndarray
    depth: np.ndarray
    progress: np.ndarray
    evaluations: np.ndarray
    last: np.ndarray
    best: np.ndarray
    end: np.ndarray
    best_end: np.ndarray
    last_value: np.ndarray
    end_value: np.ndarray
    slope: np.ndarray
    features: np.ndarray
    curve: np.ndarray
    scale: np.ndarray

    def __len__(self) -> int:
        return int(self.source.size)

    def where(self, kept: np.ndarray) -> Examples:
        """The rows of a mask or index."""
        return Examples(**{k: getattr(self, k)[kept] for k in self.__dataclass_fields__})

    @classmethod
    def of(cls, runs: Iterable[Completed], *, relative: bool = False) -> Examples:
        """Rows of completed runs.

        Args:
            runs: completed runs.
            relative: read every metric on the run's own scale, as one of unknown range is.
        """
        rows = [row for run in runs for row in _rows(run, relative=relative)]
        names = list(cls.__dataclass_fields__)
        return cls(**{n: np.array([row[i] for row in rows]) for i, n in enumerate(names)})

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """The rows of all parts, one after the other."""
        filled = [part for part in parts if len(part)]
        names = list(cls.__dataclass_fields__)
        return cls(**{n: np.concatenate([getattr(p, n) for p in filled]) for n in names})


@lru_cache(maxsize=1)
def _prefixes(record: RunRecord) -> tuple[RunRecord, ...]:
    """A run at each of `DEPTHS`: its metrics, which come one after the other, share them."""
    return tuple(record.prefix(depth * record.max_steps + 1e-6) for depth in DEPTHS)


def _rows(run: Completed, *, relative: bool) -> list[tuple]:
    record, (goal, _) = run.record, run.record.goal_scale(run.goal)
    steps, values = record.curve(goal.metric)
    steps, values = steps[np.isfinite(values)], values[np.isfinite(values)]
    lost = record.nan_steps.get(goal.metric, np.empty(0))
    if values.size < MIN_EVALUATIONS or steps[-1] < _ENDS_BEFORE * record.max_steps:
        return []
    if lost.size and lost[-1] > steps[-1]:
        return []  # diverged: no value to forecast
    rows = []
    whole = Scale.of(goal, values)
    for depth, prefix in zip(DEPTHS, _prefixes(record), strict=True):
        known = prefix.curve(goal.metric)[1]
        known = known[np.isfinite(known)]
        if not known.size or known.size == values.size:
            continue
        scale = Scale.relative(goal, known) if relative else None
        state = run_state(prefix, goal, scale)
        if state is None:
            continue
        if not relative and whole.shape != "real" and state.scale.unit != whole.unit:
            continue  # percent, which no value had shown yet
        z = state.scale.forward(values)
        unit = 1.0 if state.scale.shape == "real" else state.scale.unit
        rows.append(
            (
                run.table,
                run.source,
                run.run,
                goal.metric,
                family_of(state.scale),
                state.scale.shape,
                depth,
                prefix.progress,
                values.size,
                state.last,
                state.best,
                float(z[-1]),
                float(z.max()),
                float(known[-1]) / unit,
                float(values[-1]) / unit,
                state.scale.slope(float(known[-1])),
                state.features,
                state.curve,
                state.scale,
            )
        )
    return rows
