"""How far a metric will still move: what completed runs of many sources did from a like state.

1. *Size*: a ridge regression of the log of the change still to come on a few terms of the features
   (what is left, how much the metric moved lately, how rough it is): the unit of all that follows.
2. *Forest* (`forest`): completed runs that were in a like state, weighted; their changes in units
   of their own size, times the new run's size, are the forecast's distribution.
3. *Networks* (`network`): what a prior over simulated runs makes of the same curve.
4. *Shares*: how much of the median change of either proved right at this depth; their
   distributions are averaged in the same proportion, quantile by quantile.
5. *Calibration* (`conformal`): the distribution inflated so that its intervals hold over sources.
6. *Guard*: no farther from the last value than any source ever went at that depth.

All constants are fitted by `benchmarks/forecasting/fitting.py`, 4 to 6 on runs of sources that the
trees did not know. Chosen on: docs/evidence/forecasting-choices.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from hf_ftrisk.forecast.conformal import DEPTHS, DepthCalibration, inflate
from hf_ftrisk.forecast.features import FEATURES
from hf_ftrisk.forecast.forest import Forest
from hf_ftrisk.forecast.network import load_networks, network_draws
from hf_ftrisk.forecast.scale import Scale

MODEL_FILE = Path(__file__).parent.parent / "reference" / "forecast.npz"
Family = Literal["loss", "score", "real"]
# What is asked for: the last value of the run, or the best of all.
Ending = Literal["end", "best"]
ENDINGS: tuple[Ending, ...] = ("end", "best")

_SIZE_FLOOR, _SIZE_CAP = 0.007, 2.7
_MAX_SIZES = 10.0
_SMALL = 0.02
# Features that the forest also gets in units of the size.
_RELATIVE = (
    "trend",
    "since_half",
    "below_best",
    "last_change",
    "since_three_quarters",
    "since_first",
    "above_recent",
    "half_trend",
    "doubling",
)
_COLUMN = {name: i for i, name in enumerate(FEATURES)}
_RELATIVE_COLUMNS = np.array([_COLUMN[name] for name in _RELATIVE])
# Terms of the size: logs of absolute values, with a term that tells whether the value is known.
_MAGNITUDES = (
    "since_half",
    "last_change",
    "roughness",
    "since_first",
    "below_best",
    "train_fall",
    "train_fall_third",
    "loss_last_change",
    "since_three_quarters",
    "half_trend",
    "doubling",
    "above_recent",
)
_PLAIN = ("evaluations", "level", "gap", "epochs", "steps")
_MAGNITUDE_COLUMNS = np.array([_COLUMN[name] for name in _MAGNITUDES])
_PLAIN_COLUMNS = np.array([_COLUMN[name] for name in _PLAIN])


def family_of(scale: Scale) -> Family:
    """Which runs a metric is forecast from."""
    if scale.shape in ("loss", "real"):
        return scale.shape
    return "score"


def size_terms(values: np.ndarray) -> np.ndarray:
    """Terms (n, n_terms) of the size from features (n, n_features)."""
    x = np.atleast_2d(values)
    log_left = np.log(1.0 - x[:, _COLUMN["progress"]] + 0.03)
    magnitudes = x[:, _MAGNITUDE_COLUMNS]
    is_known = np.isfinite(magnitudes)
    logs = np.where(is_known, np.log(np.abs(np.where(is_known, magnitudes, 0.0)) + _SMALL), 0.0)
    plain = np.nan_to_num(x[:, _PLAIN_COLUMNS])
    terms = [
        log_left,
        np.log(x[:, _COLUMN["progress"]] + _SMALL),
        np.stack([logs, is_known], axis=2).reshape(len(x), -1),
        plain,
        np.abs(plain[:, _PLAIN.index("level")]),
        log_left * logs[:, 0],
    ]
    # Column by column in memory: sums over rows then round as they always did.
    return np.asfortranarray(np.column_stack(terms))


@dataclass(frozen=True, eq=False)
class Size:
    """Typical size of the change still to come, in units of z.

    Args:
        mean: (n_terms,) of `size_terms`.
        sd: (n_terms,) their spread.
        weights: (n_terms,) of the standardized terms.
        intercept: log of the size where all terms are at their mean.
    """

    mean: np.ndarray
    sd: np.ndarray
    weights: np.ndarray
    intercept: float

    def of(self, values: np.ndarray) -> np.ndarray:
        """Size (n,) for features (n, n_features)."""
        terms = (size_terms(values) - self.mean) / self.sd
        log = self.intercept + terms @ self.weights
        return np.asarray(np.exp(np.clip(log, np.log(_SIZE_FLOOR), np.log(_SIZE_CAP))))


def columns(values: np.ndarray, size: np.ndarray) -> np.ndarray:
    """What the forest is asked with, (n, n_columns): features (n, n_features), also relative."""
    x = np.atleast_2d(values)
    relative = np.clip(x[:, _RELATIVE_COLUMNS] / size[:, None], -_MAX_SIZES, _MAX_SIZES)
    return np.column_stack([x, np.log(size), relative])


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What the forest's known cases came to, for one `Ending`, and what proved right of it.

    Args:
        change: (n_cases,) change still to come, in units of each case's size.
        shares: (n_depths, 2) shares of the forest's and of the networks' median change to expect,
            at `conformal.DEPTHS`.
        calibration: inflation of the distribution.
        reach: (n_depths, 2) least and greatest change of z ever seen from that depth on.
    """

    change: np.ndarray
    shares: np.ndarray
    calibration: DepthCalibration
    reach: np.ndarray


@dataclass(frozen=True, eq=False)
class ChangeModel:
    """Forecast of the change of z still to come, for one family of metrics.

    Args:
        size: unit of the change.
        forest: known cases in a like state.
        outcomes: ending -> what they came to.
        sources: number of sources behind it.
        runs: number of runs behind it.
    """

    size: Size
    forest: Forest
    outcomes: Mapping[Ending, Outcomes]
    sources: int
    runs: int

    def changes(
        self, values: np.ndarray, curve: np.ndarray, progress: float, ending: Ending, n: int
    ) -> np.ndarray:
        """Equally likely changes (n,) of z still to come, ascending.

        From the last evaluation to the run's last ("end"), or from the best so far to the best of
        all ("best").

        Args:
            values: (n_features,) of `features.FEATURES`.
            curve: (n_inputs,) of `network.trajectory`.
            progress: share of the run that is logged.
            ending: what is asked for.
            n: number of draws.
        """
        size = self.size.of(values)
        weights = self.forest.weights(columns(values, size)[0])
        outcomes = self.outcomes[ending]
        known = spread(weights, outcomes.change, n) * float(size[0])
        simulated = network_draws(load_networks(), curve, ENDINGS.index(ending), n)[0]
        shares = shares_at(outcomes.shares, progress)
        return adjusted(combined(known, simulated, shares), outcomes, progress)


def spread(weights: np.ndarray, change: np.ndarray, n: int) -> np.ndarray:
    """Quantiles (n,) at even levels of weighted changes (n_cases,), ascending.

    Between two known changes quantiles are interpolated, so that few cases make no steps.
    """
    weighted = np.flatnonzero(weights)
    order = weighted[np.argsort(change[weighted], kind="stable")]
    share = weights[order]
    middle = np.cumsum(share) - 0.5 * share
    levels = (np.arange(n) + 0.5) / n
    return np.asarray(np.interp(levels, middle / share.sum(), change[order]))


def shares_at(shares: np.ndarray, progress: np.ndarray | float) -> np.ndarray:
    """Shares (..., 2) at a share `progress` (...) of the run, from those at `DEPTHS`."""
    return np.stack([np.interp(progress, DEPTHS, column) for column in shares.T], axis=-1)


def combined(known: np.ndarray, simulated: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """One distribution (..., n) from the forest's draws and the networks', both (..., n) ascending.

    Its median is the sum of the shares (..., 2) of theirs; the rest is averaged in proportion.
    """
    parts = np.stack([known, simulated], axis=-2)
    n = parts.shape[-1]
    medians = parts[..., (n - 1) // 2 : n // 2 + 1].mean(axis=-1, keepdims=True)
    total = shares.sum(axis=-1, keepdims=True)
    # Where no change is expected the spread is the forest's.
    part = np.where(total > 0.0, shares / np.where(total > 0.0, total, 1.0), (1.0, 0.0))
    middle = (shares[..., None] * medians).sum(axis=-2)
    return np.asarray(middle + (part[..., None] * (parts - medians)).sum(axis=-2))


def adjusted(draws: np.ndarray, outcomes: Outcomes, progress: float) -> np.ndarray:
    """Ascending draws (n,) of a change: inflated, and kept within what was ever seen."""
    wide = inflate(draws, outcomes.calibration.at(progress))
    low, high = outcomes.reach[max(int(np.searchsorted(DEPTHS, progress, side="right")) - 1, 0)]
    return np.asarray(np.clip(wide, low, high))


# --- storage -------------------------------------------------------------------------------------


def stored(model: ChangeModel, name: str) -> dict[str, np.ndarray]:
    """Arrays of a model under names that start with its family's."""
    arrays = {f"{name}/forest/{k}": v for k, v in model.forest.arrays().items()}
    for key in ("mean", "sd", "weights", "intercept"):
        arrays[f"{name}/size/{key}"] = np.asarray(getattr(model.size, key), dtype=np.float64)
    for ending, outcomes in model.outcomes.items():
        arrays |= stored_outcomes(outcomes, f"{name}/{ending}")
    arrays[f"{name}/counts"] = np.array([model.sources, model.runs])
    return arrays


def restored(arrays: Mapping[str, np.ndarray], name: str) -> ChangeModel:
    """Inverse of `stored`."""
    size = Size(
        arrays[f"{name}/size/mean"],
        arrays[f"{name}/size/sd"],
        arrays[f"{name}/size/weights"],
        float(arrays[f"{name}/size/intercept"]),
    )
    sources, runs = (int(x) for x in arrays[f"{name}/counts"])
    outcomes = {e: outcomes_of(arrays, f"{name}/{e}", sources) for e in ENDINGS}
    forest = Forest.from_arrays(arrays, f"{name}/forest/")
    return ChangeModel(size, forest, outcomes, sources, runs)


def stored_outcomes(outcomes: Outcomes, prefix: str) -> dict[str, np.ndarray]:
    """Arrays of outcomes under names that start with `prefix`."""
    return {
        f"{prefix}/change": outcomes.change.astype(np.float32),
        f"{prefix}/shares": outcomes.shares,
        f"{prefix}/factors": np.array(outcomes.calibration.factors),
        f"{prefix}/reach": outcomes.reach,
    }


def outcomes_of(arrays: Mapping[str, np.ndarray], prefix: str, groups: int) -> Outcomes:
    """Inverse of `stored_outcomes`; `groups` sources calibrate them."""
    factors = arrays[f"{prefix}/factors"]
    return Outcomes(
        arrays[f"{prefix}/change"].astype(np.float64),
        arrays[f"{prefix}/shares"],
        DepthCalibration(tuple(tuple(float(f) for f in row) for row in factors), groups),
        arrays[f"{prefix}/reach"],
    )


@cache
def load_change_model(name: Family) -> ChangeModel:
    """The packaged model of a family of metrics."""
    with np.load(MODEL_FILE, allow_pickle=False) as arrays:
        return restored(arrays, name)
