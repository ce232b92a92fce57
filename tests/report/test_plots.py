"""Figures: written, the same bytes for the same report, and drawable with parts missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.report import RiskReport
from hf_ftrisk.report.plots import (
    plot_calibration,
    plot_parts,
    plot_regimes,
    plot_report,
    plot_risk_curve,
    plot_trajectory,
)


def test_figure_is_a_png_and_reproducible(full_report: RiskReport, tmp_path: Path) -> None:
    first = plot_report(full_report, tmp_path / "a.png").read_bytes()
    second = plot_report(full_report, tmp_path / "b.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert first == second


@pytest.mark.parametrize(
    "missing",
    [
        {"decomposition": None, "risk_curve": (), "optimal_depth": None},
        {"forecast": None, "looks": ()},
        {"run": None, "outcome": None},
        {"probes": (), "baseline": None},
    ],
)
def test_figure_draws_what_there_is(
    full_report: RiskReport, missing: dict[str, object], tmp_path: Path
) -> None:
    whole = plot_report(full_report, tmp_path / "whole.png").read_bytes()
    part = plot_report(replace(full_report, **missing), tmp_path / "part.png").read_bytes()
    assert part.startswith(b"\x89PNG")
    assert part != whole


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


def labels(axes: Axes) -> list[str]:
    return axes.get_legend_handles_labels()[1]


def lightness(color: str) -> float:
    return float(np.dot(mpl.colors.to_rgb(color), [0.2126, 0.7152, 0.0722]))


def test_a_figure_draws_into_the_axes_it_is_given(full_report: RiskReport, ax: Axes) -> None:
    assert plot_trajectory(full_report, ax) is ax


def test_without_axes_the_current_ones_are_drawn_into(full_report: RiskReport) -> None:
    from matplotlib import pyplot

    figure, current = pyplot.subplots()
    assert plot_trajectory(full_report) is current
    pyplot.close(figure)


def test_a_trajectory_shows_the_fan_of_the_last_forecast_up_to_the_end(full_report, ax) -> None:
    plot_trajectory(full_report, ax)
    low, high = full_report.forecast.interval(0.9)
    corners = np.concatenate([path.vertices for c in ax.collections for path in c.get_paths()])
    at_the_end = corners[corners[:, 0] == full_report.cost.full_steps, 1]
    assert at_the_end.min() == pytest.approx(low)
    assert at_the_end.max() == pytest.approx(high)
    assert {"outcome", "this run", "target 0.85"} <= set(labels(ax))


def test_the_risk_curve_is_drawn_on_two_logarithmic_axes_with_its_limit_and_depth(
    full_report, ax
) -> None:
    plot_risk_curve(full_report, ax)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert "optimal depth c* = 22" in labels(ax)
    said = any(label.startswith("intrinsic limit") for label in labels(ax))
    assert said == full_report.decomposition.identified["intrinsic"]


def test_parts_are_bars_from_the_best_to_the_worst_each_with_its_number(ax) -> None:
    plot_parts({"signal": 0.4, "movement": -2.0, "reach": 1.5, "stability": -0.02}, ax)
    assert [bar.get_width() for bar in ax.patches] == [1.5, 0.4, -0.02, -2.0]
    assert {text.get_text() for text in ax.texts} == {"+1.5", "+0.4", "+0.0", "-2.0"}
    assert [bool(bar.get_hatch()) for bar in ax.patches] == [False, False, True, True]


def test_the_phase_diagram_sets_the_task_that_is_asked_about_apart(full_report, ax) -> None:
    tasks = {"mine": full_report.decomposition, "other": full_report.decomposition}
    plot_regimes(tasks, ax, tolerance=0.03, depth=5.0, this="mine")
    markers = [line.get_marker() for line in ax.lines if line.get_marker() != "None"]
    assert sorted(markers) == ["*", "o"]
    with pytest.raises(KeyError):
        plot_regimes(tasks, ax, tolerance=0.03, this="nobody's")


def test_calibration_counts_the_outcomes_inside_each_interval(ax) -> None:
    forecasts = [Forecast(np.linspace(0.0, 1.0, 1001), step=1, source="test")] * 4
    plot_calibration(forecasts, [0.5, 0.5, 0.29, 0.99], ax)
    held = dict(zip(*ax.lines[-1].get_data(), strict=True))
    assert held[0.4] == 0.5
    assert held[0.5] == 0.75
    assert held[0.95] == 0.75


def test_calibration_asks_for_an_outcome_for_each_forecast(ax) -> None:
    with pytest.raises(ValueError, match="got 0 forecasts and 1 outcomes"):
        plot_calibration([], [0.5], ax)


def test_the_colors_can_be_told_apart_in_gray() -> None:
    from hf_ftrisk.report import plots

    shades = sorted(lightness(c) for c in (plots.DARK, plots.WARM, plots.MIDDLE, plots.LIGHT))
    assert min(np.diff(shades)) > 0.07
