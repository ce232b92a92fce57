"""Figures of a report (extra `plots`: matplotlib)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hf_ftrisk.extras import named_extras
from hf_ftrisk.report.report import RiskReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RUN, _PROBE, _BAND, _RISK = "#1b4965", "#9fb3c8", "#62a8ac", "#b5562b"


def plot_report(report: RiskReport, path: str | os.PathLike[str]) -> Path:
    """Write the report's figure: trajectory with forecast band, and risk curve.

    Args:
        report: a pre-flight's or a watched run's report.
        path: image file; its suffix chooses the format.

    Raises:
        MissingExtraError: matplotlib is not installed (``pip install "hf-ftrisk[plots]"``).
    """
    with named_extras():
        from matplotlib.figure import Figure
    figure = Figure(figsize=(10.5, 4.2), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    _draw_trajectory(left, report)
    _draw_risk_curve(right, report)
    return write_figure(figure, path)


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure; folders are made, and the suffix chooses the format."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # No software or date in the file: the same report gives the same bytes.
    figure.savefig(target, metadata={"Software": None} if target.suffix == ".png" else None)
    return target


def _draw_trajectory(axes: Axes, report: RiskReport) -> None:
    goal, full = report.goal, report.cost.full_steps
    for number, probe in enumerate(report.probes):
        steps, values = probe.curve(goal.metric)
        label = f"probes ({len(report.probes)} seeds)" if number == 0 else None
        axes.plot(steps, values, color=_PROBE, lw=1.2, marker=".", ms=4, label=label, zorder=3)
    if report.looks:
        steps = np.array([look.step for look in report.looks], dtype=float)
        low = [look.low for look in report.looks]
        high = [look.high for look in report.looks]
        axes.fill_between(steps, low, high, color=_BAND, alpha=0.22, lw=0)
        axes.plot(
            steps,
            [look.mean for look in report.looks],
            color=_BAND,
            lw=1.4,
            ls="--",
            label="forecast of the end, 90 % band",
        )
    if report.run is not None:
        steps, values = report.run.curve(goal.metric)
        axes.plot(steps, values, color=_RUN, lw=1.8, marker="o", ms=3, label="this run", zorder=4)
    if report.forecast is not None:
        low_end, high_end = report.forecast.interval(0.9)
        mean = report.forecast.point
        axes.errorbar(
            [full],
            [mean],
            yerr=[[max(mean - low_end, 0.0)], [max(high_end - mean, 0.0)]],
            color=_BAND,
            capsize=4,
            marker="s",
            ms=5,
            label=f"predicted end (from step {report.forecast.step})",
            zorder=5,
        )
    if report.outcome is not None:
        axes.plot([full], [report.outcome], "*", color=_RISK, ms=12, label="outcome", zorder=6)
    threshold = goal.threshold(report.baseline)
    if threshold is not None:
        name = "target" if goal.target is not None else "trivial baseline"
        axes.axhline(threshold, color="0.5", lw=0.9, ls=":", label=f"{name} {threshold:.3g}")
    if report.stopped_at is not None:
        axes.axvline(report.stopped_at, color=_RISK, lw=1.1, label=f"stopped, {report.stopped_at}")
    axes.set(xlabel="optimizer step", ylabel=_literal(goal.metric), xlim=(0, full * 1.04))
    axes.set_title("Trajectory and forecast", loc="left", fontsize=10)
    axes.legend(fontsize=7.5, frameon=False, loc="best")
    _plain(axes)


def _draw_risk_curve(axes: Axes, report: RiskReport) -> None:
    axes.set_title("How uncertainty falls with depth", loc="left", fontsize=10)
    _plain(axes)
    decomposition = report.decomposition
    if decomposition is None:
        axes.text(
            0.5,
            0.5,
            "risk curve not estimated",
            ha="center",
            va="center",
            color="0.4",
            transform=axes.transAxes,
        )
        axes.set_axis_off()
        return
    full = report.cost.full_steps
    first = min((row[0] for row in report.risk_curve), default=1.0)
    depths = np.geomspace(max(first, 1.0), full, 120)
    low, high = decomposition.band(depths, 0.9)
    total = decomposition.total(depths)
    axes.fill_between(depths, _root(low), _root(high), color=_RISK, alpha=0.18, lw=0)
    axes.plot(depths, _root(total), color=_RISK, lw=1.6, label="fitted, 90 % band")
    if report.risk_curve:
        measured = np.array(report.risk_curve, dtype=float)
        axes.plot(
            measured[:, 0], _root(measured[:, 1]), "o", color=_RUN, ms=4, label="measured", zorder=4
        )
    if decomposition.identified.get("intrinsic", False):
        limit = float(np.sqrt(max(decomposition.intrinsic, 0.0)))
        axes.axhline(limit, color="0.5", lw=0.9, ls=":", label="intrinsic limit")
    if report.optimal_depth is not None and report.optimal_depth > 0:
        axes.axvline(
            report.optimal_depth,
            color=_RUN,
            lw=1.0,
            ls="--",
            label=f"optimal depth c* = {report.optimal_depth:.0f}",
        )
    axes.set(xlabel="probing depth, steps", ylabel=f"std of final {_literal(report.goal.metric)}")
    axes.set_xscale("log")
    # Plain numbers, few enough not to run into each other where the depths span less than a decade.
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7.5, frameon=False, loc="best")


def _literal(text: str) -> str:
    """Text that is drawn as it is: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


def _root(variance: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(np.asarray(variance, dtype=np.float64), 0.0))


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
