"""Would a regression of the cold forecast's error on signals help? Scores, tables left out.

    python -m benchmarks.residuals --write docs/forecasting.md

The error of the cold forecast is regressed on what failure and change are judged by, fitted to the
packaged runs. On these themselves each data set is left out; the other tables are not fitted to at
all. Not part of the package: it says what such a correction would gain at home and cost elsewhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import RidgeCV

from benchmarks.forecast import HeldOut, scored
from benchmarks.forecasting.baselines import BASELINES
from benchmarks.forecasting.fitting import cases_of
from benchmarks.forecasting.prefixes import Prefix, all_tables, prefixes
from benchmarks.watched import write_table
from hf_ftrisk.forecast.curves.view import CurveView
from hf_ftrisk.forecast.failure import failure_features

HOME = "reference_accuracy"
OTHERS = ("bert_seeds", "peft_metamath", "curves_accuracy")
DEPTHS = (0.2, 0.3, 0.5)
SPREAD = 3.0  # features in units of z are cut off here

Model = GaussianProcessRegressor | RidgeCV | ExtraTreesRegressor | GradientBoostingRegressor


def gaussian_process() -> Model:
    """Fades to no correction away from the packaged runs; errors of 8 points are noise."""
    kernel = ConstantKernel(0.1**2, "fixed") * RBF(1.5, "fixed")
    return GaussianProcessRegressor(kernel, alpha=0.08**2, optimizer=None)


MODELS: dict[str, Callable[[], Model]] = {
    "ridge": lambda: RidgeCV(np.logspace(0, 4, 9)),
    "extremely randomised trees": lambda: ExtraTreesRegressor(
        300, min_samples_leaf=5, random_state=0
    ),
    "gradient boosting": lambda: GradientBoostingRegressor(
        n_estimators=150, max_depth=3, learning_rate=0.05, subsample=0.7, random_state=0
    ),
    "Gaussian process": gaussian_process,
}


@dataclass(frozen=True)
class Table:
    """One table at one depth: prefixes, features (n, p) and the cold forecast's means (n,)."""

    seen: list[Prefix]
    features: np.ndarray
    cold: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        return np.array([prefix.outcome for prefix in self.seen]) - self.cold

    def ratio(self, correction: np.ndarray | float) -> float:
        """Error of the corrected forecast over the better of last value and best so far."""
        baselines = [
            scored(self.seen, [BASELINES[name](p) for p in self.seen]).error()
            for name in ("last value", "best so far")
        ]
        points = np.clip(self.cold + correction, -1.0, 1.0)
        return scored(self.seen, points).error() / min(baselines)


def features(prefix: Prefix, cold: float, chance: float) -> np.ndarray:
    view = CurveView.of(prefix.record, prefix.goal)
    assert view is not None
    _, values = prefix.record.finite(prefix.goal.metric)
    known = prefix.record.baseline(prefix.goal)
    baseline = float(values[0]) if known is None else known
    level = view.coordinate(baseline)
    middle = np.interp(view.steps[-1] / 2, [0.0, *view.steps], [level, *view.z])
    moves = [view.z[-1], view.z[-1] - level, view.z[-1] - middle]
    far = [5.0 * (cold - values[-1]), 5.0 * (values.max() - values[-1])]
    judged = failure_features(view, prefix.record, prefix.goal, baseline, chance)
    return np.array([*judged, *np.clip([*moves, *far], -SPREAD, SPREAD)])


def tables_at(depth: float, held_out: HeldOut) -> dict[str, Table]:
    found = {}
    for name in (HOME, *OTHERS):
        seen = [p for p in prefixes(name, all_tables()[name], (depth,)) if p.goal.kind != "loss"]
        forecasts = [
            f.predict(p.record, p.goal) for f, p in zip(held_out.cold(seen), seen, strict=True)
        ]
        rows = []
        for forecast, prefix in zip(forecasts, seen, strict=True):
            baseline = prefix.record.baseline(prefix.goal)
            good = 0.5 if baseline is None else forecast.prob_meets(prefix.goal, baseline)
            rows.append(features(prefix, forecast.mean, 1.0 - good))
        found[name] = Table(seen, np.array(rows), np.array([f.mean for f in forecasts]))
    return found


def at_home(model: Callable[[], Model], home: Table) -> np.ndarray:
    """Corrections (n,) of the packaged runs, each without its data set."""
    groups = np.array([prefix.group for prefix in home.seen])
    found = np.empty(groups.size)
    for group in np.unique(groups):
        out = groups == group
        fitted = model().fit(home.features[~out], home.errors[~out])
        found[out] = fitted.predict(home.features[out])
    return found


def residual_table() -> str:
    lines = [
        f"| depth | correction | {HOME}, data sets left out | {' | '.join(OTHERS)} |",
        f"| ---: | --- | ---: |{' ---: |' * len(OTHERS)}",
    ]
    held_out = HeldOut(cases_of(all_tables()))
    for depth in DEPTHS:
        tables = tables_at(depth, held_out)
        home = tables[HOME]
        figures = {"none (used)": [tables[name].ratio(0.0) for name in (HOME, *OTHERS)]}
        for name, model in MODELS.items():
            fitted = model().fit(home.features, home.errors)
            others = [tables[name] for name in OTHERS]
            elsewhere = [other.ratio(fitted.predict(other.features)) for other in others]
            figures[name] = [home.ratio(at_home(model, home)), *elsewhere]
        lines += [
            f"| {depth:.0%} | {name} | {' | '.join(f'{x:.2f}' for x in cells)} |"
            for name, cells in figures.items()
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="the page that has marks for the table")
    options = parser.parse_args()
    text = residual_table()
    print(text)
    if options.write:
        write_table(options.write, "residuals", text)


if __name__ == "__main__":
    main()
