"""The figure of a ranking (extra `plots`: matplotlib)."""

from __future__ import annotations

from pathlib import Path

from hf_ftrisk.choosing.entries import Ranked
from hf_ftrisk.extras import named_extras
from hf_ftrisk.report.plots import write_figure

_BEST, _OTHER = "#b5562b", "#9fb3c8"


def plot_ranking(ranking: Ranked, path: str | Path) -> Path:
    """Write the figure: each candidate's forecast of its end, look by look, with 90 % intervals.

    Args:
        ranking: what is drawn.
        path: image file; its suffix chooses the format.

    Raises:
        MissingExtraError: matplotlib is not installed (``pip install "hf-ftrisk[plots]"``).
    """
    with named_extras():
        from matplotlib.figure import Figure
    figure = Figure(figsize=(7.5, 4.5), dpi=130, layout="constrained")
    axes = figure.subplots()
    for number, entry in enumerate(reversed(ranking.entries)):
        if not entry.looks:
            continue
        shares = [100.0 * look.step / entry.max_steps for look in entry.looks]
        best = ranking.best is not None and entry.name == ranking.best.name
        color = _BEST if best else _OTHER
        axes.plot(shares, [look.mean for look in entry.looks], color=color, marker=".", lw=1.5)
        low = [look.low for look in entry.looks]
        high = [look.high for look in entry.looks]
        axes.fill_between(shares, low, high, color=color, alpha=0.25 if best else 0.08, lw=0)
        axes.annotate(
            f"{entry.name}  {entry.prob_best:.0%}",
            (shares[-1], entry.looks[-1].mean),
            xytext=(4, 0),
            textcoords="offset points",
            color=color,
            fontsize=8,
            zorder=number,
        )
    axes.set_xlabel("share of the run seen, %")
    axes.set_ylabel(f"forecast of the final {ranking.goal.metric}")
    axes.margins(x=0.2)
    return write_figure(figure, path)
