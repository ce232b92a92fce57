"""TuneAhead's rule on the sample of its own table: forecast the accuracy, run what clears a bar.

The sample's features hold what its probe of 100 steps saw; eleven of them correlate above 0.95 with
the accuracy, and no run's length is known. So this checks the rule, on a table that flatters it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.run_tables import data_folder

BARS = (0.55, 0.60)


@dataclass(frozen=True)
class Published:
    """The rule with one regression and one bar.

    Args:
        regression: its name.
        bar: accuracy that a good run reaches.
        good: share of the runs that are good.
        kept: share of these that are run.
        refused: share of all runs that are not.
        poor: share of the poor ones that are not.
    """

    regression: str
    bar: float
    good: float
    kept: float
    refused: float
    poor: float


def on_its_own_table() -> list[Published]:
    import pandas as pd

    table = pd.read_csv(data_folder() / "tuneahead_sample.csv")
    y = table["overall_accuracy"].to_numpy(float)
    x = table.drop(columns=["dataset_name", "overall_accuracy"]).to_numpy(float)
    regressions = {
        "boosted trees": HistGradientBoostingRegressor(learning_rate=0.05, max_leaf_nodes=4),
        "ridge": make_pipeline(StandardScaler(), RidgeCV(np.geomspace(1e-3, 1e3, 13))),
    }
    folds = KFold(10, shuffle=True, random_state=0)
    bars = []
    for name, regression in regressions.items():
        predicted = cross_val_predict(regression, x, y, cv=folds)
        for bar in BARS:
            good, run = y >= bar, predicted >= bar
            bars.append(
                Published(
                    name,
                    bar,
                    float(good.mean()),
                    float(run[good].mean()),
                    float((~run).mean()),
                    float((~run[~good]).mean()),
                )
            )
    return bars
