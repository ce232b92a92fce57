"""Fit the packaged forecast on completed runs and write hf_ftrisk/reference/forecast.npz.

    python -m benchmarks.fit_forecast

How it is fitted: `benchmarks.forecasting.fitting`. What it is worth on sources that it was not
fitted on: `benchmarks.forecast`, which fits it again without them. Only numbers are packaged.
"""

from __future__ import annotations

import numpy as np

from benchmarks.forecasting.before import fit_before_model, rows_before
from benchmarks.forecasting.examples import Examples
from benchmarks.forecasting.fitting import PACKAGED, SMALL, fit_change_model
from benchmarks.forecasting.sources import completed
from hf_ftrisk.forecast.before import stored_before
from hf_ftrisk.forecast.change_model import MODEL_FILE, Family, stored

FAMILIES: tuple[Family, ...] = ("loss", "score", "real")


def main() -> None:
    runs = completed()
    own_scale = Examples.of(runs)
    rows = {name: own_scale.where(own_scale.family == name) for name in ("loss", "score")}
    rows["real"] = Examples.of(runs, relative=True)
    arrays: dict[str, np.ndarray] = {}
    for name in FAMILIES:
        model = fit_change_model(rows[name], SMALL if name == "real" else PACKAGED)
        print(f"{name}: {model.runs} runs of {model.sources} sources")
        arrays |= stored(model, name)
    before = rows_before(runs)
    for name in FAMILIES[:2]:
        known = fit_before_model(before.where(before.family == name), SMALL)
        print(f"{name}, not yet evaluated: {known.runs} runs of {known.sources} sources")
        arrays |= stored_before(known, name)
    np.savez_compressed(MODEL_FILE, **arrays)
    print(f"{MODEL_FILE}: {MODEL_FILE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
