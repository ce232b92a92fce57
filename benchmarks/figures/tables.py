"""Figures drawn from the tables of the evidence pages: what a table says is what is shown."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.watched import BEGIN, END, write_table
from hf_ftrisk.report.plots import DARK, LIGHT, MIDDLE, WARM, finish, write_figure

EVIDENCE = Path("docs/evidence")
_SEEN = (1, 2, 3, 4)  # places of 20, 30, 50 and 70 %


def rows_of(page: Path, name: str) -> list[list[str]]:
    """Cells of the table between the marks of a page, head and rule left off."""
    text = page.read_text(encoding="utf-8").split(BEGIN.format(name))[1]
    lines = [line for line in text.split(END.format(name))[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def readme() -> None:
    """README's table: the forecasting page's rows in their order, at four depths."""
    head = (
        "| runs, held out | sources | error at 20 / 30 / 50 / 70 % of the run, share of the last "
        "value's | 90 % intervals hold, % |"
    )
    lines = [head, "| --- | ---: | --- | --- |"]
    for row in rows_of(EVIDENCE / "forecasting.md", "forecast"):
        cells = [" / ".join(row[place].split(" / ")[at] for at in _SEEN) for place in (2, 3)]
        lines.append(f"| {row[0]} | {row[1]} | {cells[0]} | {cells[1]} |")
    write_table(Path("README.md"), "forecast", "\n".join(lines))


def numbers(cell: str) -> list[float]:
    """Numbers of a cell such as ``1.03 / - / 0.98``."""
    return [float(part) if re.match(r"\d", part) else np.nan for part in cell.split(" / ")]


def trust(path: Path) -> Path:
    """Error against the last value's, and how often 90 % intervals held, group by group."""
    rows = rows_of(EVIDENCE / "forecasting.md", "forecast")
    figure = Figure(figsize=(8.6, 0.34 * len(rows) + 1.3), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(rows):
        for axes, cell, scale in ((left, row[2], 1.0), (right, row[3], 1.0)):
            values = np.array(numbers(cell))[list(_SEEN)] * scale
            finite = values[np.isfinite(values)]
            axes.plot([finite.min(), finite.max()], [place, place], color=LIGHT, lw=5, zorder=1)
            marks = zip(values, ("o", "s", "^", "D"), (DARK, MIDDLE, "white", "black"), strict=True)
            for value, marker, color in marks:
                axes.plot([value], [place], marker, color=color, mec="black", mew=0.6, ms=5.5)
    left.axvline(1.0, color=WARM, lw=1.2, ls="--")
    right.axvline(90.0, color=WARM, lw=1.2, ls="--")
    left.set_yticks(range(len(rows)), [f"{row[0]} ({row[1]})" for row in rows])
    left.set_ylim(len(rows) - 0.4, -0.6)
    left.set_xlabel("error, share of the last value's; below 1 is better")
    right.set_xlabel("90 % intervals that held, %")
    for marker, color, share in zip("os^D", (DARK, MIDDLE, "white", "black"), _SHARES, strict=True):
        style = {"color": color, "mec": "black", "mew": 0.6, "ms": 5.5}
        right.plot([], [], marker, label=f"at {share} of the run", **style)
    finish(left, "Runs held out (sources): error", legend=False)
    finish(right, "and intervals", legend=False)
    marks_of = right.get_legend_handles_labels()
    figure.legend(*marks_of, fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    return write_figure(figure, path)


_SHARES = ("20 %", "30 %", "50 %", "70 %")


def finishing(path: Path) -> Path:
    """Runs that lose more than the tolerance against steps saved, rule by rule."""
    with (EVIDENCE / "tables" / "finishing.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    groups = list(dict.fromkeys(row["runs"] for row in rows))
    columns = 3
    height = -(-len(groups) // columns)
    figure = Figure(figsize=(9.5, 2.7 * height), dpi=140, layout="constrained")
    panels = figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, group in zip(panels, groups, strict=False):
        for row in (row for row in rows if row["runs"] == group):
            at = (float(row["steps saved"].rstrip("%")), float(row[_LOSE].rstrip("%")))
            marker, color, size = _mark(row["rule"])
            axes.plot(*at, marker, color=color, mec="black", mew=0.5, ms=size)
        axes.axhline(5.0, color=WARM, lw=1.0, ls="--")
        finish(axes, "", legend=False)
        axes.set_title(group, loc="left", fontsize=8)
        axes.tick_params(labelbottom=True)
    for axes in panels[len(groups) :]:
        axes.set_axis_off()
    for rule in ("finish='gain'", "patience", "EarlyStopping", "Optuna", "oracle"):
        marker, color, size = _mark(rule)
        panels[0].plot([], [], marker, color=color, mec="black", mew=0.5, ms=size, label=rule)
    panels[0].legend(fontsize=6.5, frameon=False, loc="upper left")
    figure.supxlabel("steps saved, %", fontsize=9)
    figure.supylabel("runs that lose more than the tolerance, %", fontsize=9)
    return write_figure(figure, path)


_LOSE = "lose more than the tolerance"


def _mark(rule: str) -> tuple[str, str, float]:
    if rule.startswith("finish"):
        return "*", WARM, 13
    if rule.startswith("oracle"):
        return "P", "white", 8
    if rule.startswith("patience"):
        return "o", LIGHT, 5
    return ("s", MIDDLE, 5) if rule.startswith("Early") else ("^", DARK, 5)


def stopping(path: Path) -> Path:
    """Good runs kept and poor ones stopped on sources held out, row by row."""
    with (EVIDENCE / "tables" / "held-out.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if _is_shown(row)]
    figure = Figure(figsize=(8.6, 0.26 * len(rows) + 1.0), dpi=140, layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        for cell, marker, color in ((row["kept"], "o", DARK), (row["stopped"], "X", WARM)):
            if cell != "-":
                style = {"color": color, "mec": "black", "mew": 0.5, "ms": 6}
                axes.plot([float(cell.rstrip("%"))], [place], marker, **style)
    names = [f"{r['runs']}, {r['metric']}, {_GOALS[r['judged by']]}" for r in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.axvline(95.0, color="0.35", lw=1.0, ls=":", label="allowed: 95 % kept")
    for label, marker, color in (("good runs kept", "o", DARK), ("poor runs stopped", "X", WARM)):
        axes.plot([], [], marker, color=color, mec="black", mew=0.5, ms=6, label=label)
    axes.set_xlabel("%")
    return write_figure(finish(axes, "Sources held out, allowed 5 %").figure, path)


_GOALS = {
    "trivial baseline": "trivial baseline",
    "target, by 0": "target just met",
    "target, by 0.1": "target met or missed by 0.1",
}


def _is_shown(row: dict[str, str]) -> bool:
    return row["allowed"] == "0.05" and row["judged by"] in _GOALS and row["runs"] != "all sources"


FIGURES = {"trust": trust, "finishing": finishing, "stopping-sources": stopping}
