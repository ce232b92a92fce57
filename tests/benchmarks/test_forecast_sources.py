"""Which runs the forecast is measured on, and which of them it was fitted without."""

from __future__ import annotations

from benchmarks.forecasting.held_out import fold_of
from benchmarks.forecasting.sources import UNFITTED, unfitted
from benchmarks.run_tables import kind_recordings


def test_what_nothing_is_fitted_on_is_forecast_without_its_data_set():
    groups = [run.group for run in kind_recordings()]
    runs = unfitted()
    assert {one.table for one in runs} == {UNFITTED}
    assert {one.source for one in runs} == {f"own {group}" for group in groups}
    assert {fold_of(one.source) for one in runs} <= {f"own {fold}" for fold in range(4)}
