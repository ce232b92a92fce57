"""Figures (extra `plots`: matplotlib): one function each, drawn into `ax`, or the current axes.

Colors differ in lightness too, and lines in their dashes: they can be told apart in gray and by the
color-blind. Each function returns the axes it drew into.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_ftrisk.extras import named_extras
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.report.findings import Findings
from hf_ftrisk.risk.decomposition import RiskDecomposition

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Dark, middle and light in this order; the last one is the color of what went wrong.
DARK, MIDDLE, LIGHT, WARM = "#12355b", "#3d8a93", "#a9b8c6", "#c1501f"
_FAN = ((0.9, 0.16), (0.8, 0.16), (0.5, 0.22))  # levels of the intervals, and their opacity
_MAX_NAMES = 8  # tasks of a phase diagram that are all named; of more only the one asked about
_LEVELS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])


def plot_report(report: Findings, path: str | os.PathLike[str]) -> Path:
    """Write the report's figure: trajectory with forecasts, and risk curve where there is one.

    Args:
        report: a pre-flight's or a watched run's report.
        path: image file; its suffix chooses the format.

    Raises:
        MissingExtraError: matplotlib is not installed (``pip install "hf-ftrisk[plots]"``).
    """
    with named_extras():
        from matplotlib.figure import Figure
    if report.decomposition is None:
        figure = Figure(figsize=(7.5, 4.2), dpi=130, layout="constrained")
        plot_trajectory(report, figure.subplots())
        return write_figure(figure, path)
    figure = Figure(figsize=(9.0, 4.2), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    plot_trajectory(report, left)
    plot_risk_curve(report, right)
    return write_figure(figure, path)


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure; folders are made, and the suffix chooses the format."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # No software or date in the file: the same report gives the same bytes.
    figure.savefig(target, metadata={"Software": None} if target.suffix == ".png" else None)
    return target


def plot_trajectory(report: Findings, ax: Axes | None = None) -> Axes:
    """The metric over the steps, its outcome as forecast at each look, and the outcome itself.

    Args:
        report: a pre-flight's or a watched run's report.
        ax: axes to draw into; the current ones of pyplot if None.
    """
    axes = current_axes(ax)
    goal, full = report.goal, report.cost.full_steps
    for number, probe in enumerate(report.probes):
        steps, values = probe.curve(goal.metric)
        label = f"probes ({len(report.probes)} seeds)" if number == 0 else None
        axes.plot(steps, values, color=LIGHT, lw=1.2, marker=".", ms=4, label=label, zorder=3)
    if report.looks:
        _draw_looks(axes, report)
    if report.run is not None:
        _draw_run(axes, report, *report.run.curve(goal.metric))
    if report.forecast is not None:
        _draw_fan(axes, report.forecast, full)
    if report.outcome is not None:
        style: dict[str, Any] = {"color": WARM, "mec": "black", "mew": 0.6, "ms": 13, "zorder": 6}
        axes.plot([full], [report.outcome], "*", label="outcome", clip_on=False, **style)
    threshold = goal.threshold(report.baseline)
    if threshold is not None:
        name = "target" if goal.target is not None else "trivial baseline"
        axes.axhline(threshold, color="0.35", lw=1.0, ls=":", label=f"{name} {threshold:.3g}")
    if report.stopped_at is not None:
        label = f"stopped at step {report.stopped_at}"
        axes.axvline(report.stopped_at, color="black", lw=1.1, ls="-.", label=label)
    axes.set(xlabel="optimizer step", ylabel=_literal(goal.metric), xlim=(0, full * 1.02))
    return finish(axes, "Trajectory and forecasts of its outcome")


def _draw_run(axes: Axes, report: Findings, steps: np.ndarray, values: np.ndarray) -> None:
    """What was seen of the run; beyond a stop, where it was recorded, how it would have gone on."""
    stop = np.inf if report.stopped_at is None else report.stopped_at
    before_stop, later = steps <= stop, steps >= min(stop, max(steps[steps <= stop], default=0))
    axes.plot(
        steps[before_stop],
        values[before_stop],
        color=DARK,
        lw=1.8,
        marker="o",
        ms=3,
        label="this run",
        zorder=4,
    )
    if np.any(steps > stop):
        label = "the same run, had it gone on"
        axes.plot(steps[later], values[later], color=DARK, lw=1.0, ls=":", label=label, zorder=3)


def _draw_looks(axes: Axes, report: Findings) -> None:
    steps = np.array([look.step for look in report.looks], dtype=float)
    low, high = [look.low for look in report.looks], [look.high for look in report.looks]
    axes.fill_between(steps, low, high, color=MIDDLE, alpha=0.16, lw=0)
    medians = [look.median for look in report.looks]
    style: dict[str, Any] = {"color": MIDDLE, "lw": 1.6, "ls": "--"}
    axes.plot(steps, medians, label="forecast of the outcome, 90 % band, look by look", **style)


def _draw_fan(axes: Axes, forecast: Forecast, full: int) -> None:
    """From the last look to the outcome: intervals of 50, 80 and 90 %."""
    at = [float(forecast.step), float(full)]
    for level, opacity in _FAN:
        low, high = forecast.interval(level)
        style: dict[str, Any] = {"color": WARM, "alpha": opacity, "lw": 0}
        label = "last forecast: 50, 80, 90 %" if level == 0.5 else None
        axes.fill_between(at, [forecast.point, low], [forecast.point, high], label=label, **style)
    low, high = forecast.interval(0.9)
    bar = [[max(forecast.point - low, 0.0)], [max(high - forecast.point, 0.0)]]
    style = {"color": WARM, "capsize": 4, "marker": "s", "ms": 5, "zorder": 5}
    axes.errorbar([full], [forecast.point], yerr=bar, clip_on=False, **style)


def plot_risk_curve(report: Findings, ax: Axes | None = None) -> Axes:
    """How far a forecast is off by the depth it was made at, with the limit L_int and c*.

    Both axes are logarithmic, so that a power law is a line.

    Args:
        report: one with a decomposition, or without: then the axes say so.
        ax: axes to draw into; the current ones of pyplot if None.
    """
    axes = current_axes(ax)
    decomposition = report.decomposition
    if decomposition is None:
        where: dict[str, Any] = {
            "ha": "center",
            "va": "center",
            "color": "0.3",
            "transform": axes.transAxes,
        }
        axes.text(0.5, 0.5, "risk curve not estimated", **where)
        axes.set_axis_off()
        return axes
    first = min((row[0] for row in report.risk_curve), default=1.0)
    depths = np.geomspace(max(first, 1.0), report.cost.full_steps, 120)
    low, high = decomposition.band(depths, 0.9)
    axes.fill_between(depths, _root(low), _root(high), color=MIDDLE, alpha=0.2, lw=0)
    total = _root(decomposition.total(depths))
    axes.plot(depths, total, color=MIDDLE, lw=1.8, label="fitted L(c), 90 % band")
    if report.risk_curve:
        measured = np.array(report.risk_curve, dtype=float)
        style: dict[str, Any] = {"color": DARK, "ms": 5, "zorder": 4}
        axes.plot(measured[:, 0], _root(measured[:, 1]), "o", label="measured", **style)
    if decomposition.identified.get("intrinsic", False):
        limit = float(np.sqrt(max(decomposition.intrinsic, 0.0)))
        axes.axhline(limit, color="0.35", lw=1.0, ls=":", label=f"intrinsic limit {limit:.2g}")
    depth = report.optimal_depth
    if depth is not None and depth > 0:
        axes.axvline(depth, color=WARM, lw=1.4, ls="--", label=f"optimal depth c* = {depth:.0f}")
    axes.set(xlabel="depth, steps", ylabel=f"typical error, {_literal(report.goal.metric)}")
    axes.set(xscale="log", yscale="log", ylim=_decades(total, _root(low), _root(high)))
    _plain_numbers(axes)
    return finish(axes, "How far off forecasts are, by depth")


def plot_parts(parts: Mapping[str, float], ax: Axes | None = None) -> Axes:
    """What each part of a pre-flight's decision adds to the log odds of a good outcome.

    Args:
        parts: part -> log odds against a run like the good ones (`policy.decision_parts`).
        ax: axes to draw into; the current ones of pyplot if None.
    """
    axes = current_axes(ax)
    names = sorted(parts, key=lambda name: parts[name], reverse=True)
    values = [parts[name] for name in names]
    colors = [WARM if value < 0 else MIDDLE for value in values]
    bars = axes.barh(names, values, color=colors, edgecolor="black", lw=0.5)
    for bar, value in zip(bars, values, strict=True):
        bar.set_hatch("//" if value < 0 else "")  # seen in gray as well
    shown = [f"{round(value, 1) + 0.0:+.1f}" for value in values]  # no part adds "-0.0"
    axes.bar_label(bars, shown, padding=3, fontsize=8)
    axes.axvline(0, color="black", lw=0.8)
    axes.margins(x=0.18)
    axes.set_xlabel("log odds of a good outcome, against runs that ended well")
    return finish(axes, "What decides", legend=False)


def plot_regimes(
    tasks: Mapping[str, RiskDecomposition],
    ax: Axes | None = None,
    *,
    tolerance: float,
    depth: float = 1.0,
    this: str | None = None,
) -> Axes:
    """The phase diagram: tasks by what probing cannot remove and by what is open at its start.

    Args:
        tasks: name -> decomposition of its risk.
        ax: axes to draw into; the current ones of pyplot if None.
        tolerance: how many units of the metric matter; above 0.
        depth: the cheapest depth, optimizer steps.
        this: name of the task that is asked about; the others are the reference.

    Raises:
        KeyError: no such task.
    """
    axes = current_axes(ax)
    names = [name for name in tasks if name != this] + ([this] if this is not None else [])
    points = {
        name: (float(_root(tasks[name].intrinsic)), float(_root(tasks[name].total(depth))))
        for name in names
    }
    highest = 1.6 * max([2.0 * tolerance, *(value for point in points.values() for value in point)])
    lowest = min([tolerance / 4.0, *(0.7 * max(point[0], 1e-6) for point in points.values())])
    bottom = min([tolerance / 4.0, *(0.5 * point[1] for point in points.values())])
    axes.axvline(tolerance, color="0.35", lw=1.0, ls=":")
    axes.plot([lowest, tolerance], [tolerance, tolerance], color="0.35", lw=1.0, ls=":")
    for name, (limit, start) in points.items():
        chosen = name == this
        style: dict[str, Any] = (
            {"color": WARM, "ms": 14, "mec": "black"} if chosen else {"color": DARK, "ms": 6}
        )
        axes.plot([max(limit, lowest)], [start], "*" if chosen else "o", zorder=4, **style)
        if chosen or len(points) <= _MAX_NAMES:
            place: dict[str, Any] = {"xytext": (8, 6), "textcoords": "offset points"}
            axes.annotate(_literal(name), (max(limit, lowest), start), fontsize=8, **place)
    axes.set(xscale="log", yscale="log", xlim=(lowest, highest), ylim=(bottom, highest))
    where: dict[str, Any] = {
        "transform": axes.transAxes,
        "fontsize": 9,
        "color": "0.25",
        "style": "italic",
    }
    axes.text(0.02, 0.96, "dynamic-critical", va="top", **where)
    axes.text(0.02, 0.03, "static-sufficient", **where)
    axes.text(0.98, 0.03, "noise-dominant", ha="right", **where)
    axes.set(xlabel="error that no probing removes", ylabel="error at the cheapest depth")
    return finish(axes, "Phase diagram", legend=False)


def plot_calibration(
    forecasts: Sequence[Forecast], outcomes: Sequence[float], ax: Axes | None = None
) -> Axes:
    """How often intervals held what came, against how often they should.

    Args:
        forecasts: (n_runs,) forecasts, each made without its own run.
        outcomes: (n_runs,) how these runs ended.
        ax: axes to draw into; the current ones of pyplot if None.

    Raises:
        ValueError: no forecast, or another number of outcomes.
    """
    if not forecasts or len(forecasts) != len(outcomes):
        raise ValueError(
            f"each forecast needs an outcome: got {len(forecasts)} forecasts and "
            f"{len(outcomes)} outcomes"
        )
    axes = current_axes(ax)
    shares = [
        float(np.mean([_holds(f, y, level) for f, y in zip(forecasts, outcomes, strict=True)]))
        for level in _LEVELS
    ]
    spread = 1.645 * np.sqrt(_LEVELS * (1.0 - _LEVELS) / len(forecasts))
    low, high = np.clip(_LEVELS - spread, 0.0, 1.0), np.clip(_LEVELS + spread, 0.0, 1.0)
    label = f"chance alone, {len(forecasts)} runs (90 %)"
    axes.fill_between(_LEVELS, low, high, color=LIGHT, alpha=0.5, lw=0, label=label)
    axes.plot([0, 1], [0, 1], color="0.35", lw=1.0, ls=":", label="as often as said")
    axes.plot(_LEVELS, shares, color=DARK, lw=1.8, marker="o", ms=5, label="this history")
    axes.set(xlabel="level of the interval", ylabel="share of outcomes inside it")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    return finish(axes, "Calibration")


def _holds(forecast: Forecast, outcome: float, level: float) -> bool:
    low, high = forecast.interval(float(level))
    return low <= outcome <= high


def current_axes(ax: Axes | None) -> Axes:
    """The axes that were given, else the current ones of pyplot."""
    if ax is not None:
        return ax
    with named_extras():
        from matplotlib import pyplot
    return pyplot.gca()


def finish(axes: Axes, title: str, *, legend: bool = True) -> Axes:
    """Title, legend and plain looks; the axes."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    if legend:
        axes.legend(fontsize=7.5, frameon=False, loc="best")
    return axes


def _decades(total: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """Limits that show the curve, and of its band no more than a factor of four either way."""
    top = min(float(high.max()), 4.0 * float(total.max()))
    low_limit = max(float(low.min()), float(total.min()) / 4.0, 1e-9)
    return 0.8 * low_limit, 1.25 * top


def _plain_numbers(axes: Axes) -> None:
    """Plain numbers, few enough not to run into each other within less than a decade."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def _literal(text: str) -> str:
    """Text that is drawn as it is: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


def _root(variance: object) -> np.ndarray:
    return np.sqrt(np.maximum(np.asarray(variance, dtype=np.float64), 0.0))
