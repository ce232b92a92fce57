"""The regressors a learned predictor chooses from. scikit-learn is imported where one is built."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

_PENALTIES = np.logspace(-3, 4, 22)
_TREES = 200


def ridge(seed: int) -> Any:
    """Linear, all features a little: penalty by leave-one-out (Hoerl and Kennard 1970)."""
    from sklearn.linear_model import RidgeCV

    return _scaled(RidgeCV(_PENALTIES))


def lasso(seed: int) -> Any:
    """Linear, few features: penalty by cross-validation (Tibshirani 1996)."""
    from sklearn.linear_model import LassoCV
    from sklearn.model_selection import KFold

    folds = KFold(5, shuffle=True, random_state=seed)
    return _scaled(LassoCV(cv=folds, max_iter=5000, tol=1e-3))


def trees(seed: int) -> Any:
    """Extremely randomized trees (Geurts et al. 2006)."""
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.pipeline import make_pipeline

    model = ExtraTreesRegressor(_TREES, min_samples_leaf=2, max_features=0.5, random_state=seed)
    return make_pipeline(_imputed(), model)


def boosting(seed: int) -> Any:
    """Gradient boosting of trees with four leaves, as TuneAhead's (arXiv 2606.17660).

    LightGBM where the extra ``boost`` is installed, else scikit-learn's.
    """
    if find_spec("lightgbm") is not None:
        from lightgbm import LGBMRegressor

        return LGBMRegressor(
            learning_rate=0.05,
            num_leaves=4,
            n_estimators=200,
            random_state=seed,
            n_jobs=1,
            verbose=-1,
        )
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline

    model = HistGradientBoostingRegressor(
        learning_rate=0.05,
        max_leaf_nodes=4,
        max_iter=200,
        early_stopping=False,
        random_state=seed,
    )
    # From 1.9 on it refuses a column without a single value.
    return make_pipeline(_imputed(), model)


REGRESSORS: dict[str, Callable[[int], Any]] = {
    "ridge": ridge,
    "lasso": lasso,
    "trees": trees,
    "boosting": boosting,
}


def _imputed() -> Any:
    from sklearn.impute import SimpleImputer

    return SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)


def _scaled(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(_imputed(), StandardScaler(), model)
