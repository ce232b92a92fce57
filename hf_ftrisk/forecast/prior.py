"""The curve model's prior weights and calibration: figures fitted on completed runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hf_ftrisk.forecast.conformal import DepthCalibration
from hf_ftrisk.forecast.curves.curve import Grid
from hf_ftrisk.forecast.failure import FailureModel
from hf_ftrisk.goal.metric_names import MetricKind

PRIORS_FILE = Path(__file__).parent.parent / "reference" / "priors.json"

# Components that carry next to no prior weight are left out for speed.
_KEPT_COMPONENTS = 500


@dataclass(frozen=True, eq=False)
class CurvePrior:
    """Grid of the curve model with its prior weights, for one family of metrics.

    Args:
        grid: shapes and scales.
        components: factor name -> (n_components,) indices into the grid.
        log_prior: (n_components,) log weights.
        outcome_sd: sd of the outcome around the curve's end, in units of z: the final value may
            be measured on other data than the evaluations.
    """

    grid: Grid
    components: Mapping[str, np.ndarray]
    log_prior: np.ndarray
    outcome_sd: float

    @classmethod
    def from_weights(
        cls,
        weights: Mapping[str, list[float]],
        outcome_sd: float,
        kept: int | None = _KEPT_COMPONENTS,
    ) -> CurvePrior:
        """Prior whose components weigh the product of their factors' weights.

        Args:
            weights: factor name -> weight of each value on the grid.
            outcome_sd: see the class.
            kept: number of heaviest components to keep; None for all.

        Raises:
            ValueError: weights that do not fit the grid.
        """
        grid = Grid()
        for name, size in grid.factors.items():
            if len(weights.get(name, ())) != size:
                raise ValueError(
                    f"prior weights of {name!r}: {len(weights.get(name, ()))} given, the grid has "
                    f"{size} values; fit them again with benchmarks/fit_priors.py"
                )
        components = grid.components()
        log_prior = np.zeros(len(components["shapes"]))
        for name, index in components.items():
            share = np.asarray(weights[name], dtype=np.float64)
            log_prior += np.log(share / share.sum())[index]
        top = np.sort(np.argsort(-log_prior)[:kept])
        return cls(
            grid,
            {name: index[top] for name, index in components.items()},
            log_prior[top],
            outcome_sd,
        )


def family(kind: MetricKind | None) -> str:
    """Family of metrics that share a prior: ``"loss"``, or ``"score"`` for all others."""
    return "loss" if kind == "loss" else "score"


@dataclass(frozen=True, eq=False)
class FamilyPrior:
    """What completed runs of other tasks say about one family of metrics.

    Args:
        curve: prior of the curve model.
        calibration: how far its forecasts have to be stretched at each depth.
        change: (n_terms,) weights of `change.TERMS` for losses; empty for scores.
        failure: chance that a run ends no better than a trivial predictor.
    """

    curve: CurvePrior
    calibration: DepthCalibration
    change: tuple[float, ...]
    failure: FailureModel

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> FamilyPrior:
        """Prior from its form in priors.json."""
        calibration = stored["calibration"]
        return cls(
            CurvePrior.from_weights(stored["weights"], float(stored["outcome_sd"])),
            DepthCalibration(
                tuple(tuple(float(f) for f in row) for row in calibration["factors"]),
                int(calibration["groups"]),
            ),
            tuple(float(w) for w in stored["change"]),
            FailureModel.from_json(stored["failure"]),
        )


@cache
def load_prior(name: str) -> FamilyPrior:
    """Packaged prior of a family of metrics (see `family`)."""
    stored = json.loads(PRIORS_FILE.read_text(encoding="utf-8"))["curve"][name]
    return FamilyPrior.from_json(stored)
