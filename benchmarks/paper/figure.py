"""The page's figure (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.paper.depth import PRICES
from benchmarks.paper.forms import FORMS, HeldOut
from benchmarks.paper.regimes import SEED_COUNTS, Naming, Place
from benchmarks.paper.risks import OURS, Replay, has_many_seeds

COLORS = {
    "noise-dominant": "#b5562b",
    "static-sufficient": "#62a8ac",
    "dynamic-critical": "#1b4965",
    "unidentified": "#9fb3c8",
}
# Told apart without color as well.
MARKS = {
    "noise-dominant": "^",
    "static-sufficient": "o",
    "dynamic-critical": "s",
    "unidentified": "D",
}
DASHES = {
    "noise-dominant": "-.",
    "static-sufficient": "-",
    "dynamic-critical": "--",
    "unidentified": ":",
}
_NOT_DRAWN = ("always 1 %", "c* from 7 known runs", "c* from 3 known runs")
_RULE_MARKS = "osD^v<>Ph*"
# Where tasks are drawn whose decay is no power law.
_NO_LAW = 2.5
_LINES = ("#1b4965", "#b5562b", "#62a8ac", "#8a6fae", "#c9a227", "#5b7553", "#9fb3c8", "#444444")


def draw(
    path: Path,
    replays: Sequence[Replay],
    places: Sequence[Place],
    forms: Sequence[Mapping[str, Mapping[str, HeldOut]]],
    names: Sequence[tuple[str, Sequence[Naming]]],
    regret: Mapping[str, np.ndarray],
) -> None:
    """Write the figure.

    Args:
        path: PNG file.
        replays: all tasks.
        places: where each lies.
        forms: of each, the forms on depths left out.
        names: regime of each task with many seeds, and how many seeds name it.
        regret: rule -> (n_prices,) mean regret.
    """
    figure = Figure(figsize=(14.0, 9.4), dpi=110, layout="constrained")
    (a, b, c), (d, e, f) = figure.subplots(2, 3)
    _curves(a, replays, places)
    _probes(b, replays)
    _forms(c, forms)
    _phase(d, replays, places)
    _naming(e, names)
    _regret(f, regret)
    for axes in (a, b, c, d, e, f):
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(10)
    figure.savefig(path, metadata={"Software": None})


def _plain(axis: Axis, ticks: Sequence[float]) -> None:
    """Plain numbers at a few places of a logarithmic axis."""
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _regimes(axes: Axes, regimes: Sequence[str]) -> None:
    """Legend of the regimes that are drawn."""
    handles = [
        Line2D([], [], color=COLORS[name], marker=MARKS[name], ls=DASHES[name], ms=5, label=name)
        for name in COLORS
        if name in regimes
    ]
    if handles:
        axes.legend(
            handles=handles,
            fontsize=8,
            frameon=False,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.14),
            ncols=2,
            handlelength=3.5,
        )


def _curves(axes: Axes, replays: Sequence[Replay], places: Sequence[Place]) -> None:
    drawn = [pair for pair in zip(replays, places, strict=True) if has_many_seeds(pair[0].task)]
    for replay, place in drawn:
        regime = place.fit.regime
        color = COLORS[regime]
        at = np.geomspace(replay.depths[0], replay.depths[-1], 80)
        unit = 100.0 / replay.task.horizon
        root = np.sqrt(replay.risk(replay.best))
        axes.plot(unit * replay.depths, root, MARKS[regime], color=color, ms=3.5)
        low, high = np.sqrt(place.fit.band(at))
        axes.fill_between(unit * at, low, high, color=color, alpha=0.12, lw=0)
        axes.plot(unit * at, np.sqrt(place.fit.total(at)), DASHES[regime], color=color, lw=1.3)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="share c of the run, %",
        ylabel="root of U(c), units of the metric",
    )
    _plain(axes.xaxis, (5, 10, 20, 30, 50, 100))
    axes.set_title(
        "(i) U(c) by replay, fitted envelope, its 90 % band\n(tasks of 40 seeds and more)"
    )
    _regimes(axes, [place.fit.regime for _, place in drawn])


def _probes(axes: Axes, replays: Sequence[Replay]) -> None:
    axes.plot([1e-4, 1], [1e-4, 1], color="black", lw=0.8, ls=":")
    for replay in replays:
        if replay.task.goal.kind == "loss":
            continue
        many = has_many_seeds(replay.task)
        axes.plot(
            np.sqrt(replay.risk(OURS[0])),
            np.sqrt((replay.spread**2).mean(axis=0)),
            "o" if many else ".",
            color=_LINES[0] if many else _LINES[6],
            ms=4,
            zorder=2 if many else 1,
        )
    axes.set(xscale="log", yscale="log", xlabel="root of U(c) by replay", ylabel="by probe")
    axes.set(xlim=(1e-3, 0.6), ylim=(1e-3, 0.6))
    axes.set_title(
        "(i) What probes say of their error, against the error\n(gray: tasks of few seeds)"
    )


def _forms(axes: Axes, forms: Sequence[Mapping[str, Mapping[str, HeldOut]]]) -> None:
    at = np.arange(len(FORMS))
    for offset, (way, color) in zip(
        (-0.2, 0.2), (("between", _LINES[0]), ("beyond", _LINES[1])), strict=True
    ):
        errors = [np.median([one[way][form].error for one in forms]) for form in FORMS]
        axes.barh(at + offset, errors, 0.38, color=color, label=f"depths {way} the fitted ones")
    axes.set_yticks(at, FORMS)
    axes.invert_yaxis()
    axes.set_xlabel("median |log(predicted / measured U)| over tasks")
    axes.set_xlim(0.0, 1.75 * axes.get_xlim()[1])
    axes.set_title("(i) Forms of the decay on depths left out")
    axes.legend(fontsize=8, frameon=False, loc="center right")


def _phase(axes: Axes, replays: Sequence[Replay], places: Sequence[Place]) -> None:
    lawless = 0
    for replay, place in zip(replays, places, strict=True):
        unit = replay.task.tolerance
        low, middle, high = np.maximum(place.intrinsic / unit, 5e-3)
        first, alpha, last = place.alpha
        regime, many = place.fit.regime, has_many_seeds(replay.task)
        color = COLORS[regime]
        if np.isnan(alpha):
            lawless += 1
            first, alpha, last = _NO_LAW, _NO_LAW, _NO_LAW
        axes.plot([low, high], [alpha, alpha], color=color, lw=0.7, alpha=0.5)
        axes.plot([middle, middle], [first, last], color=color, lw=0.7, alpha=0.5)
        axes.plot(
            middle,
            alpha,
            MARKS[regime],
            color=color,
            ms=8 if many else 4,
            mfc=color if place.fit.alpha is not None else "white",
        )
    if lawless:
        axes.axhline(0.85 * _NO_LAW, color="black", lw=0.5)
        across = axes.get_yaxis_transform()
        axes.text(0.01, 1.2 * _NO_LAW, "no power law", transform=across, fontsize=8)
    axes.axvline(1.0, color="black", lw=0.8, ls=":")
    axes.set(xscale="log", yscale="log", xlabel=r"root of $L_{int}$, in tolerances", ylabel="alpha")
    _plain(axes.xaxis, (0.01, 0.03, 0.1, 0.3, 1, 3))
    _plain(axes.yaxis, (0.2, 0.5, 1, 2))
    axes.set_ylim(axes.get_ylim()[0], 1.5 * _NO_LAW)
    axes.set_title(
        "(iii) Phase diagram, 90 % intervals over seeds\n"
        "(hollow: alpha not identified; large: 40 seeds and more)"
    )
    _regimes(axes, [place.fit.regime for place in places])


def _naming(axes: Axes, names: Sequence[tuple[str, Sequence[Naming]]]) -> None:
    for regime, namings in names:
        axes.plot(
            [one.seeds for one in namings],
            [100 * one.named * (one.right if one.named else 0.0) for one in namings],
            MARKS[regime],
            ls=DASHES[regime],
            color=COLORS[regime],
            lw=1.2,
            ms=4,
        )
    axes.set(
        xlabel="seeds",
        ylabel="named as all seeds name it, %",
        ylim=(-3, 103),
        xticks=SEED_COUNTS,
        yticks=range(0, 101, 20),
    )
    axes.set_title("(iii) How many seeds name the regime, the forecaster given\n(a line a task)")
    _regimes(axes, [regime for regime, _ in names])


def _regret(axes: Axes, regret: Mapping[str, np.ndarray]) -> None:
    drawn = {rule: v for rule, v in regret.items() if rule not in _NOT_DRAWN}
    for number, (rule, values) in enumerate(drawn.items()):
        ours = rule.startswith("c*")
        axes.plot(
            PRICES,
            100 * values,
            f"{_RULE_MARKS[number % len(_RULE_MARKS)]}{'-' if ours else '--'}",
            color=_LINES[number % len(_LINES)],
            lw=1.8 if ours else 1.0,
            ms=4.5,
            label=rule,
        )
    axes.set(xscale="log", xlabel="price of a whole run, in risks before probing")
    _plain(axes.xaxis, PRICES)
    axes.set_ylabel("regret, % of the risk before probing")
    axes.set_ylim(0, 110)
    axes.set_title("(iv) Cost of the probing depth above the best depth's")
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
