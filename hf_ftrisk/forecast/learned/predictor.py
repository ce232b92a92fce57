"""A forecast learned from a table: features of completed runs in, the final metric out.

The rows are dealt into folds; every candidate regressor is fitted to all folds but one and
predicts that one. What is kept is the average of those candidates whose average predicts the held
out rows best (of all subsets), so neither the family nor the blend is a matter of taste.

The distribution is the cross-conformal one (CV+, Barber, Candes, Ramdas and Tibshirani 2021,
section 3; Vovk 2015): each completed run i gives one value, what the model that did not see i
predicts for the new run, plus the error that this model made on i. With n of them sorted, the
j-th stands at level j / (n + 1): the correction without which the interval is too narrow. No row
is set aside. The theory bounds the miss rate by twice the nominal one; in practice it is near it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.learned.regressors import REGRESSORS
from hf_ftrisk.forecast.learned.tables import FeatureTable
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_scale import possible_range

# Fewer completed runs than this say nothing that a cross-validation could check.
MIN_ROWS = 10
# A feature counts at most this share of its range beyond what was seen: a line must not run off.
_REACH = 0.25
# Pairs of a permutation and a background run behind each attribution.
_ATTRIBUTION_DRAWS = 32


@dataclass(frozen=True, eq=False)
class _FoldModel:
    """Regressors fitted to all rows but those of one fold, and the range they may be asked in.

    Args:
        models: the fitted regressors.
        low: (n_features,) smallest value of each feature, NaN for one without any.
        high: (n_features,) largest one.
    """

    models: tuple[Any, ...]
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def fit(cls, names: Sequence[str], X: np.ndarray, y: np.ndarray, seed: int) -> _FoldModel:
        low, high = _range(X)
        clipped = np.clip(X, low, high)
        models = tuple(REGRESSORS[name](seed).fit(clipped, y) for name in names)
        return cls(models, low, high)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predictions (n_models, n_rows); features beyond the range count as its end."""
        clipped = np.clip(X, self.low, self.high)
        return np.array([model.predict(clipped) for model in self.models])


class LearnedPredictor:
    """Final metric from a table of features, with calibrated uncertainty.

    After `fit`:

    - ``feature_names``: (n_features,) names;
    - ``errors``: regressor -> its root mean squared error on held-out folds, in units of y;
    - ``chosen``: regressors whose average is used;
    - ``error``: that of the average.

    Args:
        folds: number of folds; every row is held out once.
        seed: deals the rows into folds and seeds the trees.
        bounds: range of the metric, or a goal whose name and kind say it (`possible_range`);
            forecasts stay inside.

    Raises:
        ValueError: fewer than 2 folds, or bounds that are not increasing.

    Examples:
        >>> predictor = LearnedPredictor(bounds=(0, 1)).fit(table[features], table["accuracy"])
        >>> low, high = predictor.predict(new_runs)[0].interval(0.9)
    """

    def __init__(
        self,
        *,
        folds: int = 10,
        seed: int = 0,
        bounds: tuple[float, float] | Goal = (-np.inf, np.inf),
    ) -> None:
        if isinstance(bounds, Goal):
            bounds = possible_range(bounds)
        if folds < 2:
            raise ValueError(f"cross-validation needs at least 2 folds, got {folds!r}")
        if not bounds[0] < bounds[1]:
            raise ValueError(f"bounds must be (low, high) with low < high, got {bounds!r}")
        self.folds = folds
        self.seed = seed
        self.bounds = bounds
        self.feature_names: tuple[str, ...] = ()
        self.errors: dict[str, float] = {}
        self.chosen: tuple[str, ...] = ()
        self.error = np.nan
        self._named = False
        self._models: tuple[_FoldModel, ...] = ()
        self._fold_of = np.empty(0, dtype=int)
        self._residuals = np.empty(0)
        self._background = np.empty((0, 0))

    def fit(self, X: Any, y: Any) -> LearnedPredictor:
        """Choose the regressor on held-out folds and keep what was learned.

        Args:
            X: (n_rows, n_features) features of completed runs: a DataFrame, an array or a list of
                dicts. NaN, None and absent keys are missing values.
            y: (n_rows,) final metric of each.

        Raises:
            ValueError: fewer than `MIN_ROWS` rows, no feature, lengths that differ, a target that
                is not finite, a feature that is no number.
        """
        table = FeatureTable.read(X)
        target = np.asarray(y, dtype=np.float64).reshape(-1)
        _check(table, target)
        n = target.size
        folds = min(self.folds, n)
        self.feature_names, self._named = table.names, table.named
        order = np.random.default_rng(self.seed).permutation(n)
        self._fold_of = np.empty(n, dtype=int)
        self._fold_of[order] = np.arange(n) % folds
        names = tuple(REGRESSORS)
        held_out = np.empty((len(names), n))
        models = []
        for fold in range(folds):
            out = self._fold_of == fold
            model = _FoldModel.fit(names, table.values[~out], target[~out], self.seed)
            held_out[:, out] = model.predict(table.values[out])
            models.append(model)
        self.errors = {name: _rmse(row - target) for name, row in zip(names, held_out, strict=True)}
        picked = _best_average(held_out, target)
        self.chosen = tuple(names[i] for i in picked)
        residuals = target - held_out[list(picked)].mean(axis=0)
        self.error = _rmse(residuals)
        self._residuals = residuals
        self._models = tuple(
            _FoldModel(tuple(model.models[i] for i in picked), model.low, model.high)
            for model in models
        )
        self._background = table.values[order[: min(n, _ATTRIBUTION_DRAWS)]]
        return self

    def predict(self, X: Any) -> list[Forecast]:
        """Predictive distribution of the final metric of each row.

        Args:
            X: (n_rows, n_features) features, in any form `fit` takes.

        Raises:
            RuntimeError: not fitted.
            ValueError: features that do not fit those of `fit`.
        """
        values = self._values(X)
        if not len(values):
            return []
        by_fold = self._fold_predictions(values)
        source = f"{' + '.join(self.chosen)} on {self._residuals.size} completed runs"
        return [
            _distribution(by_fold[self._fold_of, row] + self._residuals, self.bounds, source)
            for row in range(len(values))
        ]

    def attributions(self, X: Any) -> list[dict[str, float]]:
        """What each feature adds to the prediction of each row, in units of the metric.

        Shapley values by sampling (Strumbelj and Kononenko 2014): features are changed, in random
        order, from those of a completed run to those of the row. They sum to the prediction less
        the mean prediction of the completed runs used; for a linear model they are
        slope x (value - mean).

        Args:
            X: (n_rows, n_features) features, in any form `fit` takes.
        """
        return [
            dict(zip(self.feature_names, self._attribute(row).tolist(), strict=True))
            for row in self._values(X)
        ]

    def _attribute(self, row: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        draws, m = len(self._background), row.size
        orders = np.array([rng.permutation(m) for _ in range(draws)])
        # (draws, m + 1, m): the background run with its first j features of the order replaced.
        rank = np.argsort(orders, axis=1)
        replaced = rank[:, None, :] < np.arange(m + 1)[None, :, None]
        mixed = np.where(replaced, row, self._background[:, None, :])
        predicted = self._point(mixed.reshape(-1, m)).reshape(draws, m + 1)
        steps = np.diff(predicted, axis=1)
        return np.asarray(np.take_along_axis(steps, rank, axis=1).mean(axis=0))

    def _point(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(self._fold_predictions(values).mean(axis=0))

    def _fold_predictions(self, values: np.ndarray) -> np.ndarray:
        """Prediction (n_folds, n_rows) of each fold's model."""
        return np.array([model.predict(values).mean(axis=0) for model in self._models])

    def _values(self, X: Any) -> np.ndarray:
        if not self._models:
            raise RuntimeError("this predictor is not fitted: call fit(X, y) first")
        return FeatureTable.read(X).aligned(self.feature_names, named=self._named)


def _check(table: FeatureTable, target: np.ndarray) -> None:
    n_rows, n_features = table.values.shape
    if n_rows != target.size:
        raise ValueError(f"{n_rows} rows of features need as many targets, got {target.size}")
    if n_rows < MIN_ROWS:
        raise ValueError(
            f"a learned forecast needs at least {MIN_ROWS} completed runs, got {n_rows}"
        )
    if n_features == 0:
        raise ValueError("the table has no feature")
    if not np.all(np.isfinite(target)):
        bad = np.flatnonzero(~np.isfinite(target))[:5].tolist()
        raise ValueError(f"targets must be finite; rows {bad} are not")


def _range(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Range (n_features,), (n_features,) of each column and a little more; NaN if empty."""
    finite = np.isfinite(X)
    low = np.where(finite, X, np.inf).min(axis=0)
    high = np.where(finite, X, -np.inf).max(axis=0)
    has_values = finite.any(axis=0)
    low, high = np.where(has_values, low, np.nan), np.where(has_values, high, np.nan)
    reach = _REACH * (high - low)
    return low - reach, high + reach


def _rmse(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _best_average(held_out: np.ndarray, target: np.ndarray) -> tuple[int, ...]:
    """Indices of the candidates (n_candidates, n_rows) whose average errs least."""
    count = len(held_out)
    subsets = [s for size in range(1, count + 1) for s in combinations(range(count), size)]
    return min(subsets, key=lambda s: _rmse(held_out[list(s)].mean(axis=0) - target))


def _distribution(values: np.ndarray, bounds: tuple[float, float], source: str) -> Forecast:
    """Forecast with the sorted values (n,) at levels j / (n + 1).

    Beyond the outermost values nothing was observed: the tail of 1 / (n + 1) reaches one more
    range of the values out, so that few runs give wide intervals.
    """
    ranked = np.sort(values)
    n, spread = ranked.size, float(np.ptp(ranked))
    levels = np.arange(n + 2) / (n + 1)
    padded = np.concatenate([[ranked[0] - spread], ranked, [ranked[-1] + spread]])
    return Forecast.from_quantiles(
        levels.tolist(), np.clip(padded, *bounds).tolist(), source=source
    )
