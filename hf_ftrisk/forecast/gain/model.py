"""How likely the rest of a run gains more than a tolerance, from completed runs of many tasks.

A boosted classifier, fitted on completed runs at several tolerances: all that it is told of the
metric is in units of the tolerance (`gain.features`), so that a ladder of tolerances gives the
distribution of the gain. What else it knows are the features all forecasts share
(`forecast.features`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hf_ftrisk.forecast.features import FEATURES, run_state
from hf_ftrisk.forecast.gain.features import GAIN_FEATURES, gain_features
from hf_ftrisk.forecast.gain.tolerance import evaluations, tolerance_of
from hf_ftrisk.forecast.gain.trees import BoostedTrees
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

MODEL_FILE = Path(__file__).parents[2] / "reference" / "gain.json"

# Evaluations that are looks: the first in each fiftieth of the run, and none before the second.
LOOKS_PER_RUN = 50
# Tolerances at which the gain is asked for, in units of the user's own.
LADDER = (0.2, 0.4, 0.7, 1.0, 2.0, 4.0)
# Share of a run over which the chance is averaged: one evaluation that came out well by chance
# looks like the end of all progress. Chosen in docs/evidence/finishing.md.
SMOOTHED = 0.12
_LEAST = 1e-6


@dataclass(frozen=True)
class Gain:
    """Distribution of the gain still to come.

    Args:
        best: best value so far, in the metric's units.
        best_step: step of it.
        tolerance: the gain that matters, in the metric's units.
        chances: (len(LADDER),) chances of a gain above each of `LADDER` times the tolerance,
            falling.
    """

    best: float
    best_step: int
    tolerance: float
    chances: tuple[float, ...]

    @property
    def chance(self) -> float:
        """Chance of a gain above the tolerance."""
        return self.chances[LADDER.index(1.0)]

    @property
    def expected(self) -> float:
        """Expected gain in the metric's units; what lies beyond the ladder's end counts as that."""
        levels = np.array([0.0, *LADDER]) * self.tolerance
        chances = np.array([self.chances[0], *self.chances])
        return float(np.trapezoid(chances, levels))

    def at_most(self, level: float = 0.9) -> float | None:
        """Gain that is not exceeded with probability `level`; None where it lies off the ladder."""
        below = np.flatnonzero(np.array(self.chances) <= 1.0 - level)
        return LADDER[int(below[0])] * self.tolerance if below.size else None


@dataclass(frozen=True, eq=False)
class GainModel:
    """The fitted classifier, and what it is asked with.

    Args:
        trees: chance of a gain above the tolerance.
        columns: names of its features: of `GAIN_FEATURES`, and of the shared ones with "shared/".
    """

    trees: BoostedTrees
    columns: tuple[str, ...]

    def gain(self, record: RunRecord, goal: Goal, tolerance: float | None = None) -> Gain | None:
        """The gain still to come; None before the second evaluation, or after the last step.

        Args:
            record: the run so far.
            goal: metric and direction.
            tolerance: gain that matters, in the metric's units; None: `tolerance_of`.
        """
        chances = self._chances(record, goal, tolerance, LADDER)
        if chances is None:
            return None
        steps, values = evaluations(record, goal)
        falling = np.minimum.accumulate(chances)
        best = int(np.argmax(values) if goal.greater_is_better else np.argmin(values))
        return Gain(
            best=float(values[best]),
            best_step=int(steps[best]),
            tolerance=tolerance_of(goal, record, tolerance),
            chances=tuple(falling.tolist()),
        )

    def chance(self, record: RunRecord, goal: Goal, tolerance: float | None = None) -> float | None:
        """`Gain.chance` alone, a fraction of its cost."""
        chances = self._chances(record, goal, tolerance, (1.0,))
        return None if chances is None else float(chances[0])

    def _chances(
        self, record: RunRecord, goal: Goal, tolerance: float | None, scales: tuple[float, ...]
    ) -> np.ndarray | None:
        steps, _ = evaluations(record, goal)
        if steps.size < 2 or steps[-1] >= record.max_steps:
            return None
        looks = [look_rows(record.prefix(step), goal, tolerance) for step in _window(steps, record)]
        rows = np.array([look.row(self.columns, scale) for scale in scales for look in looks])
        logs = np.log(np.maximum(self.trees.chance(rows), _LEAST)).reshape(len(scales), -1)
        return np.asarray(np.exp(logs.mean(axis=1)))

    def look_chances(
        self, record: RunRecord, goal: Goal, tolerance: float | None = None
    ) -> tuple[list[int], np.ndarray]:
        """Looks of a completed run, as indices of its evaluations, and `Gain.chance` (n,) at each.

        Args:
            record: the run.
            goal: metric and direction.
            tolerance: gain that matters, in the metric's units; None: `tolerance_of`.
        """
        steps, _ = evaluations(record, goal)
        indices = look_indices(steps, record.max_steps)
        if not indices:
            return [], np.empty(0)
        prefixes = [record.prefix(float(steps[i])) for i in indices]
        rows = np.array(
            [look_rows(prefix, goal, tolerance).row(self.columns, 1.0) for prefix in prefixes]
        )
        return indices, averaged(self.trees.chance(rows), steps[indices] / record.max_steps)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GainModel:
        """Model from its JSON form."""
        return cls(BoostedTrees.from_dict(data["trees"]), tuple(data["columns"]))


@cache
def load_gain_model() -> GainModel:
    """The packaged model."""
    return GainModel.from_dict(json.loads(MODEL_FILE.read_text(encoding="utf-8"))["model"])


def look_indices(steps: np.ndarray, max_steps: int) -> list[int]:
    """Which evaluations (steps (n,)) are looks: the same in calibration and in use."""
    if not steps.size:
        return []
    bins = np.floor(steps / max_steps * LOOKS_PER_RUN + 1e-9)
    new = np.concatenate([[True], np.diff(bins) > 0])
    return [int(i) for i in np.flatnonzero(new & (steps < max_steps)) if i >= 1]


def averaged(chances: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Chances (n,) of one run's looks as geometric means over the looks within `SMOOTHED` before.

    Args:
        chances: (n,) in the order of the looks.
        at: (n,) when they were, as shares of the run.
    """
    logs = np.log(np.maximum(chances, _LEAST))
    first = np.searchsorted(at, at - SMOOTHED + 1e-9)
    return np.exp([logs[begin : end + 1].mean() for end, begin in enumerate(first.tolist())])


def _window(steps: np.ndarray, record: RunRecord) -> list[float]:
    """Steps of the looks over which the chance at the last evaluation is averaged."""
    least = steps[-1] - (SMOOTHED - 1e-9) * record.max_steps
    near = [i for i in look_indices(steps, record.max_steps) if steps[i] >= least]
    return sorted({float(steps[i]) for i in near} | {float(steps[-1])})


@dataclass(frozen=True, eq=False)
class LookRow:
    """What is known at one look, before a tolerance is chosen.

    Args:
        shared: name -> feature, with "shared/".
        at: (n,) the evaluations' shares of the run.
        values: (n,) the evaluations, greater is better.
        end: best value that the metric can have, None if it has no end.
        is_loss: whether the metric is a loss.
        tolerance: gain that matters, in the metric's units.
    """

    shared: Mapping[str, float]
    at: np.ndarray
    values: np.ndarray
    end: float | None
    is_loss: bool
    tolerance: float

    def row(self, columns: tuple[str, ...], scale: float) -> list[float]:
        """Features in the order of `columns`, for `scale` times the tolerance."""
        unit = scale * self.tolerance
        features = dict(self.shared) | gain_features(self.at, self.values / unit)
        if self.end is not None:
            features["headroom"] = math.log1p(
                max((self.end - float(self.values.max())) / unit, 0.0)
            )
        features["is_loss"] = float(self.is_loss)
        return [features.get(name, math.nan) for name in columns]


def look_rows(record: RunRecord, goal: Goal, tolerance: float | None = None) -> LookRow:
    """What a run so far says at its last evaluation; it has two or more."""
    steps, values = evaluations(record, goal)
    sign = 1.0 if goal.greater_is_better else -1.0
    state = run_state(record, goal)
    shared = np.full(len(FEATURES), np.nan) if state is None else state.features
    end = goal.bounds[1] if goal.greater_is_better else max(goal.bounds[0], 0.0)
    has_end = goal.kind != "real" and math.isfinite(end)
    names = (f"shared/{name}" for name in FEATURES)
    return LookRow(
        shared=dict(zip(names, shared.tolist(), strict=True)),
        at=steps / record.max_steps,
        values=sign * values,
        end=sign * end if has_end else None,
        is_loss=goal.kind == "loss",
        tolerance=tolerance_of(goal, record, tolerance),
    )


def columns(dropped: frozenset[str]) -> tuple[str, ...]:
    """All features that the classifier may use but the shared ones of these names."""
    shared = tuple(f"shared/{name}" for name in FEATURES if name not in dropped)
    return (*GAIN_FEATURES, *shared)
