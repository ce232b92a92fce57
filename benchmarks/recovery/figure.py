"""The benchmark's figure (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.recovery import planted, sgd
from benchmarks.recovery.seeds import Cell
from hf_ftrisk.risk import fit_risk_curve

_DARK, _LIGHT, _WARM, _GRAY = "#1b4965", "#62a8ac", "#b5562b", "#9fb3c8"
_LINES = (_DARK, _WARM, _LIGHT, "#8a6fae", _GRAY)


def draw(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    coverage: Mapping[str, Sequence[planted.Calibration]],
    bert: Sequence[Cell],
) -> None:
    """Write the figure.

    Args:
        path: PNG file.
        rows: of `planted.grid`.
        coverage: name -> calibrations over n.
        bert: cells of BERT-large; empty without the benchmark data.
    """
    figure = Figure(figsize=(13.5, 7.6), dpi=110, layout="constrained")
    (a, b, c), (d, e, f) = figure.subplots(2, 3)
    _recovery(a)
    _coverage(b, coverage)
    _identified(c, rows)
    _schedules(d)
    _contraction(e)
    _bert(f, bert)
    for axes in (a, b, c, d, e, f):
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(10)
    figure.savefig(path, metadata={"Software": None})


def _recovery(axes: Axes) -> None:
    """One planted power law, measured with 8 and with 100 runs a depth."""
    at = np.geomspace(planted.DEPTHS[0], planted.HORIZON, 100)
    axes.plot(at, 0.1 + (at / 20.0) ** -0.9, color="black", lw=1.2, ls="--", label="planted L(c)")
    axes.axhline(0.1, color="black", lw=0.8, ls=":", label="planted $L_{int}$")
    for runs, color in ((8, _GRAY), (100, _DARK)):
        risks = planted.independent(
            0.1 + (planted.DEPTHS / 20.0) ** -0.9, runs, np.random.default_rng(2)
        )
        fit = fit_risk_curve(planted.DEPTHS, risks, counts=runs, horizon=planted.HORIZON)
        low, high = fit.band(at)
        axes.fill_between(at, low, high, color=color, alpha=0.35, lw=0)
        axes.plot(planted.DEPTHS, risks, "o", color=color, ms=4, label=f"{runs} runs, 90 % band")
    axes.set(xscale="log", yscale="log", xlabel="steps c", ylabel="risk L(c)")
    axes.set_title("A planted curve and what few and many runs say")
    axes.legend(fontsize=8, frameon=False)


def _coverage(axes: Axes, coverage: Mapping[str, Sequence[planted.Calibration]]) -> None:
    axes.axhspan(85, 95, color="black", alpha=0.08, lw=0)
    axes.axhline(90, color="black", lw=0.8, ls=":")
    styles = zip(coverage.items(), ((_DARK, "o-"), (_LIGHT, "s-"), (_WARM, "^-")), strict=True)
    for (name, calibrations), (color, style) in styles:
        at = [item.runs for item in calibrations]
        axes.plot(
            at, [100 * item.coverage("L") for item in calibrations], style, color=color, label=name
        )
    axes.set(xscale="log", ylim=(40, 100), xlabel="runs n at each depth")
    axes.set_ylabel("90 % intervals of L that hold it, %")
    axes.set_title("Coverage, truth drawn from the prior")
    axes.legend(fontsize=8, frameon=False, loc="lower right")


def _identified(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    at = [row["runs"] for row in rows]
    axes.plot(
        at, [100 * row["unidentified"] for row in rows], "o-", color=_DARK, label="unidentified"
    )
    axes.plot(
        at,
        [100 * row["alpha error"] for row in rows],
        "s-",
        color=_WARM,
        label="median error where it is a number",
    )
    axes.set(xscale="log", ylim=(0, None), xlabel="runs n at each depth", ylabel="%")
    axes.set_title("Exponent of a planted power law")
    axes.legend(fontsize=8, frameon=False)


def _schedules(axes: Axes) -> None:
    """Exact variance left under four schedules, and the fit from 2,000 simulated runs."""
    names = ("linear", "cosine", "constant", "warm-up, linear")
    for name, color in zip(names, _LINES, strict=False):
        rates = sgd.schedules()[name]
        left = sgd.variance_left(rates)
        depths, risks = sgd.measure(
            rates, 2000, np.random.default_rng(12), evaluation=0.05 * left[0]
        )
        fit = fit_risk_curve(depths, risks, counts=2000, learning_rates=rates, same_runs=True)
        at = np.arange(int(depths[0]), planted.HORIZON)
        axes.plot(at, left[at] / left[0], color=color, lw=1, ls="--")
        axes.plot(at, fit.optimization(at) / left[0], color=color, lw=2, alpha=0.6, label=name)
    axes.set(xlabel="steps c", ylabel="V(c) / V(0)", ylim=(0, None))
    axes.set_title("Simulated SGD, flat direction: exact (dashed) and fitted")
    axes.legend(fontsize=8, frameon=False)


def _contraction(axes: Axes) -> None:
    rows = sgd.contraction_fits()
    at = [max(row["contraction"], 0.05) for row in rows]
    for form, color in zip(("power", "horizon", "tail", "tail_power"), _LINES, strict=False):
        axes.plot(at, [100 * row[form] for row in rows], "o-", color=color, label=form, ms=4)
    axes.set(xscale="log", ylim=(0, None), ylabel="largest error of V, % of V at 20 steps")
    axes.set_xlabel(r"contraction over the run, h $\Sigma\eta$ (0 drawn at 0.05)")
    axes.set_title("Noisy quadratic, linear decay: each form alone")
    axes.legend(fontsize=8, frameon=False)


def _bert(axes: Axes, bert: Sequence[Cell]) -> None:
    axes.set_title("BERT-large, 50 seeds a cell, leave-one-out")
    if not bert:
        axes.text(0.5, 0.5, "benchmark data not found", ha="center", transform=axes.transAxes)
        return
    for cell, color in zip(bert, (*_LINES, "black"), strict=True):
        share = cell.estimate.depths / cell.fit.horizon
        at = np.linspace(cell.estimate.depths[0], cell.estimate.depths[-1], 100)
        axes.plot(share, 100 * np.sqrt(cell.estimate.risks), "o", color=color, ms=4)
        curve = 100 * np.sqrt(cell.fit.total(at))
        name = cell.name.replace("adam-no-bias-correction", "uncorrected Adam")
        axes.plot(at / cell.fit.horizon, curve, color=color, lw=1.5, label=name)
    axes.axhline(3, color="black", lw=0.8, ls=":")
    axes.set(yscale="log", xlabel="share of the run", ylabel="root of the risk, points")
    axes.legend(fontsize=7, frameon=False, ncols=2, loc="upper right")
    axes.set_ylim(0.15, 200)
