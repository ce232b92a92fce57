"""The figure of a ranking (extra `plots`: matplotlib)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_ftrisk.choosing.entries import Entry, Ranked
from hf_ftrisk.extras import named_extras
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.report.plots import DARK, LIGHT, MIDDLE, current_axes, finish, write_figure
from hf_ftrisk.text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROOM = 0.045  # of the axes' height, for a line's name


def plot_ranking(ranking: Ranked, ax: Axes | None = None) -> Axes:
    """Each candidate's forecast outcome, the best first, with its chance to be the best.

    Args:
        ranking: what is drawn; candidates that were never looked at are left out.
        ax: axes to draw into; the current ones of pyplot if None.
    """
    axes = current_axes(ax)
    entries = [entry for entry in ranking.entries if entry.forecast is not None]
    for place, entry in enumerate(entries):
        best = ranking.best is not None and entry.name == ranking.best.name
        color = DARK if best else MIDDLE
        assert entry.forecast is not None
        for level, width in ((0.9, 1.5), (0.5, 6.0)):
            axes.plot(entry.forecast.interval(level), [place, place], color=color, lw=width)
        point: dict[str, Any] = {
            "color": "white",
            "mec": "black",
            "ms": 9 if best else 6,
            "zorder": 4,
        }
        axes.plot([entry.forecast.point], [place], "*" if best else "o", **point)
        if entry.observed is not None:
            axes.plot([entry.observed], [place], "|", color="black", ms=12, mew=1.4)
    labels = [f"{entry.name}\n{percent(entry.share)} seen" for entry in entries]
    axes.set_yticks(range(len(entries)), labels)
    axes.set_ylim(len(entries) - 0.4, -0.6)
    for place, entry in enumerate(entries):
        where: dict[str, Any] = {
            "transform": axes.get_yaxis_transform(),
            "va": "center",
            "fontsize": 8,
        }
        axes.text(1.02, place, f"{percent(entry.prob_best)} best", **where)
    axes.grid(axis="x", color=LIGHT, lw=0.5, alpha=0.5)
    metric = ranking.goal.metric.replace("$", r"\$")
    axes.set_xlabel(f"forecast outcome, {metric}: median, 50 and 90 %; | last seen")
    return finish(axes, "Candidates, the best first", legend=False)


def plot_fans(ranking: Ranked, ax: Axes | None = None) -> Axes:
    """What was seen of each candidate over the depth, and its forecast fanning out to the end.

    Args:
        ranking: what is drawn; candidates that were never looked at are left out.
        ax: axes to draw into; the current ones of pyplot if None.
    """
    axes = current_axes(ax)
    entries = [entry for entry in reversed(ranking.entries) if entry.forecast is not None]
    for entry in entries:
        best = ranking.best is not None and entry.name == ranking.best.name
        color, opacity = (DARK, 0.25) if best else (MIDDLE, 0.08)
        assert entry.forecast is not None
        depths, values = zip(*_seen(entry, entry.forecast), strict=True)
        axes.plot(depths, values, ".-", color=color, lw=2.0 if best else 1.2)
        begin, end = (depths[-1], values[-1]), entry.forecast.point
        low, high = entry.forecast.interval(0.9)
        axes.fill_between(
            (begin[0], 1.0), (begin[1], low), (begin[1], high), color=color, alpha=opacity, lw=0
        )
        axes.plot((begin[0], 1.0), (begin[1], end), color=color, ls="--", lw=2.0 if best else 0.9)
    _name_ends(axes, entries)
    axes.set_xlim(0.0, 1.0)
    axes.xaxis.set_major_formatter(lambda share, _: percent(share))
    axes.set_xlabel("share of the run")
    axes.set_ylabel(ranking.goal.metric.replace("$", r"\$"))
    return finish(axes, "Seen (solid) and forecast (dashed, 90 % shaded)", legend=False)


def _seen(entry: Entry, forecast: Forecast) -> list[tuple[float, float]]:
    """Share of the run and metric at each look; of looks without their values the last alone."""
    seen = [(k.step / entry.max_steps, k.observed) for k in entry.looks if k.observed is not None]
    last = forecast.point if entry.observed is None else entry.observed
    return seen or [(entry.share, last)]


def _name_ends(axes: Axes, entries: Sequence[Entry]) -> None:
    """Name each line beside its end, no name over another."""
    bottom, top = axes.get_ylim()
    room = _ROOM * (top - bottom)
    at = -math.inf
    for entry in sorted(entries, key=lambda entry: entry.forecast.point if entry.forecast else 0.0):
        assert entry.forecast is not None
        at = max(at + room, entry.forecast.point)
        name = entry.name.replace("$", r"\$")
        axes.annotate(name, (1.0, at), (4, 0), textcoords="offset points", va="center", fontsize=7)


def write_ranking(ranking: Ranked, path: str | Path) -> Path:
    """Write the figure of `plot_fans` and `plot_ranking`; the suffix chooses the format.

    Raises:
        MissingExtraError: matplotlib is not installed (``pip install "hf-ftrisk[plots]"``).
    """
    with named_extras():
        from matplotlib.figure import Figure
    height = 1.3 + 0.6 * sum(entry.forecast is not None for entry in ranking.entries)
    figure = Figure(figsize=(13.0, max(height, 3.6)), dpi=130, layout="constrained")
    fans, ends = figure.subplots(1, 2)
    plot_fans(ranking, fans)
    plot_ranking(ranking, ends)
    return write_figure(figure, path)
