"""Share of compute saved against share of good runs kept, each method a curve (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.spending.before import BOTH, PREFLIGHT
from benchmarks.spending.measure import GOOD, KEPT, KEPT_AIM, POOR, Measured
from benchmarks.spending.methods import DEFAULTS

_STYLES = {
    PREFLIGHT: ("#8a6fae", "^-"),
    BOTH: ("#b5562b", "D-"),
    "callback, no history": ("#1b4965", "o-"),
    "callback, the pool's runs known": ("#62a8ac", "o-"),
    "patience": ("#444444", "s--"),
    "Optuna's median pruner": ("#c9a227", "s--"),
    "successive halving": ("#9fb3c8", "s--"),
    "restart failed seeds": ("#5b7553", "s--"),
}
Found = Mapping[str, Mapping[str, Measured]]


def draw(path: Path, panels: Mapping[str, Found]) -> None:
    """Write the figure.

    Args:
        path: PNG file.
        panels: title -> method -> setting -> what it came to.
    """
    figure = Figure(figsize=(14.0, 5.6), dpi=110, layout="constrained")
    for axes, (title, by_method) in zip(
        figure.subplots(1, len(panels)), panels.items(), strict=True
    ):
        _panel(axes, by_method)
        axes.set_title(title, fontsize=10)
    figure.savefig(path, metadata={"Software": None})


def _panel(axes: Axes, by_method: Found) -> None:
    axes.axvline(100 * KEPT_AIM, color="black", lw=0.8, ls=":")
    axes.axhline(25, color="black", lw=0.8, ls=":")
    for name, settings in by_method.items():
        color, style = _STYLES[name]
        points = sorted(settings.values(), key=lambda one: -one.kept)
        shares = [100 * one.kept for one in points]
        axes.plot(shares, [100 * one.half for one in points], style, color=color, ms=4, label=name)
        default = settings[DEFAULTS.get(name, "5 %")]
        _cross(axes, default, color)
    axes.set(xlim=(101.5, 0), ylim=(-6, 75))
    axes.set_xlabel("good runs kept, %")
    axes.set_ylabel("compute saved in a pool half poor, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="upper left")


def _cross(axes: Axes, one: Measured, color: str) -> None:
    """90 % intervals over sources, of the setting that is used as it comes."""
    fewest, most = one.interval([KEPT])
    low, high = one.interval([POOR, GOOD])
    axes.plot([100 * fewest, 100 * most], [100 * one.half] * 2, color=color, lw=3, alpha=0.35)
    axes.plot([100 * one.kept] * 2, [100 * low, 100 * high], color=color, lw=3, alpha=0.35)
