"""The learned predictor on TuneAhead's released feature table, against its own regressor.

    python -m benchmarks.learned --write docs/evidence/learned.md

Five folds, three times dealt; each row is forecast by a predictor that never saw it. The table is
an input/output check: eleven of its columns correlate above 0.95 with the label.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.run_tables import data_folder
from benchmarks.watched import write_table
from hf_ftrisk.forecast.learned import LearnedPredictor
from hf_ftrisk.text import percent

LEVEL = 0.9
N_BOOTSTRAP = 2000


@dataclass(frozen=True)
class Held:
    """Forecasts of rows that were held out: (n_rows,) each, in points.

    Args:
        name: method.
        mean: expected value.
        low: lower end of the 90 % interval, NaN for a method without one.
        high: upper end.
    """

    name: str
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def table() -> tuple[np.ndarray, np.ndarray]:
    """Features (n_rows, n_features) and accuracy in points (n_rows,)."""
    import pandas as pd

    rows = pd.read_csv(data_folder() / "tuneahead_sample.csv")
    features = rows.drop(columns=["dataset_name", "overall_accuracy"])
    return features.to_numpy(float), 100.0 * rows["overall_accuracy"].to_numpy(float)


Fit = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]


def ours(X: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Mean, low, high (3, n_rows) of the learned predictor."""
    predictor = LearnedPredictor(bounds=(0.0, 100.0)).fit(X, y)
    return lambda new: np.array([(f.mean, *f.interval(LEVEL)) for f in predictor.predict(new)]).T


def lightgbm(X: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """TuneAhead's settings: learning rate 0.05, four leaves, the library's 100 trees."""
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(learning_rate=0.05, num_leaves=4, verbose=-1, n_jobs=1).fit(X, y)
    return lambda new: _point(model.predict(new))


def lightgbm_longer(X: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The same with 400 trees."""
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(
        learning_rate=0.05, num_leaves=4, n_estimators=400, verbose=-1, n_jobs=1
    ).fit(X, y)
    return lambda new: _point(model.predict(new))


def ridge(X: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 22))).fit(X, y)
    return lambda new: _point(model.predict(new))


def average(X: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Mean of the known runs and their own 90 % range: no feature used."""
    low, high = np.quantile(y, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return lambda new: np.tile([[y.mean()], [low], [high]], (1, len(new)))


def _point(mean: np.ndarray) -> np.ndarray:
    unknown = np.full(len(mean), np.nan)
    return np.array([mean, unknown, unknown])


METHODS: dict[str, Fit] = {
    "LearnedPredictor": ours,
    "ridge": ridge,
    "LightGBM, TuneAhead's settings": lightgbm,
    "LightGBM, the same with 400 trees": lightgbm_longer,
    "mean of the known runs": average,
}


def held_out(name: str, X: np.ndarray, y: np.ndarray, folds: int, seed: int) -> Held:
    """Forecasts of every row by a method fitted to the other folds."""
    fold_of = np.random.default_rng(seed).permutation(len(y)) % folds
    forecasts = np.empty((3, len(y)))
    for fold in range(folds):
        out = fold_of == fold
        forecasts[:, out] = METHODS[name](X[~out], y[~out])(X[out])
    return Held(name, *forecasts)


def row(name: str, deals: list[Held], y: np.ndarray, first: list[Held]) -> str:
    errors = np.array([deal.mean - y for deal in deals])
    rmse = np.sqrt(np.mean(errors**2))
    within = np.mean(np.abs(errors) <= 3.0)
    covered = np.mean([(h.low <= y) & (y <= h.high) for h in deals])
    width = np.mean([h.high - h.low for h in deals])
    has_intervals = np.isfinite(width)
    base = np.array([h.mean - y for h in first])
    difference = "" if first is deals else _difference(errors, base)
    return (
        f"| {name} | {rmse:.2f} | {percent(within, '.1f')} "
        f"| {percent(covered, '.1f') if has_intervals else '-'} "
        f"| {f'{width:.2f}' if has_intervals else '-'} | {difference} |"
    )


def _difference(errors: np.ndarray, base: np.ndarray) -> str:
    """RMSE less that of the first method, with a 95 % interval from rows drawn anew in pairs."""
    rng = np.random.default_rng(0)
    n = errors.shape[1]
    resampled = rng.integers(0, n, (N_BOOTSTRAP, n))
    gaps = np.sqrt((errors**2).mean(axis=0)[resampled].mean(axis=1)) - np.sqrt(
        (base**2).mean(axis=0)[resampled].mean(axis=1)
    )
    low, high = np.quantile(gaps, [0.025, 0.975])
    center = np.sqrt(np.mean(errors**2)) - np.sqrt(np.mean(base**2))
    return f"{center:+.2f} ({low:+.2f} to {high:+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--deals", type=int, default=3, help="how often the rows are dealt")
    parser.add_argument("--write", type=Path, help="put the table between the marks of this page")
    options = parser.parse_args()
    X, y = table()
    deals = {
        name: [held_out(name, X, y, options.folds, seed) for seed in range(options.deals)]
        for name in METHODS
    }
    first = next(iter(deals.values()))
    lines = [
        f"{len(y)} rows, {X.shape[1]} features, {options.folds} folds, dealt {options.deals} "
        "times; errors in points.",
        "",
        "| method | RMSE | within 3 points | 90 % interval holds | its width | RMSE more than the "
        "first (95 %) |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(row(name, held, y, first) for name, held in deals.items()),
    ]
    text = "\n".join(lines)
    print(text)
    if options.write:
        write_table(options.write, "table", text)


if __name__ == "__main__":
    main()
