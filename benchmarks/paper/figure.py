"""The page's figure (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.paper.depth import PRICES
from benchmarks.paper.forms import FORMS, HeldOut
from benchmarks.paper.regimes import Naming, Place
from benchmarks.paper.risks import OURS, Replay, has_many_seeds

COLORS = {
    "noise-dominant": "#b5562b",
    "static-sufficient": "#62a8ac",
    "dynamic-critical": "#1b4965",
    "unidentified": "#9fb3c8",
}
_NOT_DRAWN = ("always 1%", "c* from 7 known runs", "c* from 3 known runs")
# Where tasks are drawn whose decay is no power law.
_NO_LAW = 2.5
_LINES = ("#1b4965", "#b5562b", "#62a8ac", "#8a6fae", "#c9a227", "#5b7553", "#9fb3c8", "#444444")


def draw(
    path: Path,
    replays: Sequence[Replay],
    places: Sequence[Place],
    forms: Sequence[Mapping[str, Mapping[str, HeldOut]]],
    names: Mapping[str, Sequence[Naming]],
    regret: Mapping[str, np.ndarray],
) -> None:
    """Write the figure.

    Args:
        path: PNG file.
        replays: all tasks.
        places: where each lies.
        forms: of each, the forms on depths left out.
        names: task -> how many seeds name its regime.
        regret: rule -> (n_prices,) mean regret.
    """
    figure = Figure(figsize=(14.0, 8.4), dpi=110, layout="constrained")
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


def _short(name: str) -> str:
    return name.replace("Adam without bias correction", "uncorrected Adam")


def _curves(axes: Axes, replays: Sequence[Replay], places: Sequence[Place]) -> None:
    drawn = [pair for pair in zip(replays, places, strict=True) if has_many_seeds(pair[0].task)]
    for number, (replay, place) in enumerate(drawn):
        task, color = replay.task, _LINES[number % len(_LINES)]
        at = np.geomspace(replay.depths[0], replay.depths[-1], 80)
        unit = 100.0 / task.horizon
        root = np.sqrt(replay.risk(replay.best))
        axes.plot(unit * replay.depths, root, "o", color=color, ms=4)
        low, high = np.sqrt(place.fit.band(at))
        axes.fill_between(unit * at, low, high, color=color, alpha=0.15, lw=0)
        line = np.sqrt(place.fit.total(at))
        axes.plot(unit * at, line, color=color, lw=1.5, label=_short(task.name))
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="share c of the run, %",
        ylabel="root of U(c), units of the metric",
    )
    _plain(axes.xaxis, (10, 20, 30, 50, 100))
    axes.set_title("(i) U(c) by replay, fitted envelope and its 90 % band")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * 12)
    axes.legend(fontsize=7, frameon=False, loc="upper right", ncols=2)


def _probes(axes: Axes, replays: Sequence[Replay]) -> None:
    axes.plot([1e-4, 1], [1e-4, 1], color="black", lw=0.8, ls=":")
    for replay in replays:
        if replay.task.goal.kind == "loss":
            continue
        many = has_many_seeds(replay.task)
        axes.plot(
            np.sqrt(replay.risk(OURS[0])),
            np.sqrt((replay.spread**2).mean(axis=0)),
            "o-" if many else ".",
            color=_LINES[0] if many else _LINES[6],
            ms=4,
            lw=0.7,
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
    labeled: set[str] = set()
    for replay, place in zip(replays, places, strict=True):
        unit = replay.task.tolerance
        low, middle, high = np.maximum(place.intrinsic / unit, 5e-3)
        first, alpha, last = place.alpha
        regime = place.fit.regime
        color = COLORS[regime]
        axes.plot([low, high], [alpha, alpha], color=color, lw=0.8, alpha=0.6)
        axes.plot([middle, middle], [first, last], color=color, lw=0.8, alpha=0.6)
        axes.plot(
            middle,
            alpha,
            "o" if has_many_seeds(replay.task) else "s",
            color=color,
            ms=8 if has_many_seeds(replay.task) else 4,
            mfc=color if place.fit.alpha is not None else "white",
            label=regime if regime not in labeled else None,
        )
        labeled.add(regime)
    for replay, place in zip(replays, places, strict=True):
        if np.isnan(place.alpha[1]):
            at = place.intrinsic[1] / replay.task.tolerance
            color = COLORS[place.fit.regime]
            axes.annotate("no power law", (at, _NO_LAW), fontsize=7, color=color, ha="center")
            axes.plot(at, 0.9 * _NO_LAW, "x", color=color, ms=6)
    axes.axvline(1.0, color="black", lw=0.8, ls=":")
    axes.set(xscale="log", yscale="log", xlabel=r"root of $L_{int}$, in tolerances", ylabel="alpha")
    _plain(axes.xaxis, (0.1, 0.2, 0.5, 1, 2))
    _plain(axes.yaxis, (0.2, 0.5, 1, 2))
    axes.set_ylim(axes.get_ylim()[0], 1.3 * _NO_LAW)
    axes.set_title(
        "(iii) Phase diagram, 90 % intervals over seeds\n"
        "(hollow: alpha not identified; large: 40 seeds and more)"
    )
    axes.legend(fontsize=8, frameon=False)


def _naming(axes: Axes, names: Mapping[str, Sequence[Naming]]) -> None:
    for number, (task, namings) in enumerate(names.items()):
        axes.plot(
            [one.seeds for one in namings],
            [100 * one.named * (one.right if one.named else 0.0) for one in namings],
            "o-",
            color=_LINES[number % len(_LINES)],
            label=_short(task),
            ms=4,
        )
    axes.set(
        xlabel="seeds",
        ylabel="named as all seeds name it, %",
        ylim=(-3, 145),
        yticks=range(0, 101, 20),
    )
    axes.set_title("(iii) How many seeds name the regime, the forecaster given")
    if names:
        axes.legend(fontsize=7, frameon=False, loc="upper left", ncols=2)


def _regret(axes: Axes, regret: Mapping[str, np.ndarray]) -> None:
    drawn = {rule: v for rule, v in regret.items() if rule not in _NOT_DRAWN}
    for number, (rule, values) in enumerate(drawn.items()):
        ours = rule.startswith("c*")
        axes.plot(
            PRICES,
            100 * values,
            "o-" if ours else "s--",
            color=_LINES[number % len(_LINES)],
            lw=1.8 if ours else 1.0,
            ms=4,
            label=rule,
        )
    axes.set(xscale="log", xlabel="price of a whole run, in risks before probing")
    axes.set_ylabel("regret, % of the risk before probing")
    axes.set_ylim(0, 110)
    axes.set_title("(iv) Cost of the probing depth above the best depth's")
    axes.legend(fontsize=7, frameon=False, loc="upper left", ncols=2)
