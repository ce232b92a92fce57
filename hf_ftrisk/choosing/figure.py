"""The figure of a ranking (extra `plots`: matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_ftrisk.choosing.entries import Ranked
from hf_ftrisk.extras import named_extras
from hf_ftrisk.report.plots import DARK, LIGHT, MIDDLE, current_axes, finish, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_ranking(ranking: Ranked, ax: Axes | None = None) -> Axes:
    """Each candidate's forecast of its end, the best first, with its chance to be the best.

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
    labels = [f"{entry.name}\n{entry.share:.0%} seen" for entry in entries]
    axes.set_yticks(range(len(entries)), labels)
    axes.set_ylim(len(entries) - 0.4, -0.6)
    for place, entry in enumerate(entries):
        where: dict[str, Any] = {
            "transform": axes.get_yaxis_transform(),
            "va": "center",
            "fontsize": 8,
        }
        axes.text(1.02, place, f"{entry.prob_best:.0%} best", **where)
    axes.grid(axis="x", color=LIGHT, lw=0.5, alpha=0.5)
    metric = ranking.goal.metric.replace("$", r"\$")
    axes.set_xlabel(f"forecast of the final {metric}: median, 50 and 90 %; | last seen")
    return finish(axes, "Candidates, the best first", legend=False)


def write_ranking(ranking: Ranked, path: str | Path) -> Path:
    """Write the figure of `plot_ranking`; the suffix of the path chooses the format.

    Raises:
        MissingExtraError: matplotlib is not installed (``pip install "hf-ftrisk[plots]"``).
    """
    with named_extras():
        from matplotlib.figure import Figure
    height = 1.3 + 0.6 * sum(entry.forecast is not None for entry in ranking.entries)
    figure = Figure(figsize=(7.5, height), dpi=130, layout="constrained")
    plot_ranking(ranking, figure.subplots())
    return write_figure(figure, path)
