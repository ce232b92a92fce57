"""What stopping saves and what it costs, against what people have: docs/evidence/savings.md.

    python -m benchmarks.savings                        # print the tables
    python -m benchmarks.savings --write docs/evidence  # and put them and the figure on the page

Every source is judged by forecasts and thresholds made without it. Needs the benchmark data
(HF_FTRISK_BENCH_DATA, default ../shared/data).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.paper.tables import table
from benchmarks.spending import figure
from benchmarks.spending.before import BOTH, PREFLIGHT, judged_long_runs, on_long_runs
from benchmarks.spending.candidates import OWN, PUBLIC, Candidate, candidates
from benchmarks.spending.measure import (
    GOOD,
    KEPT,
    KEPT_AIM,
    POOR,
    REACHED,
    Measured,
    all_stops,
    at_kept,
    of_kind,
    poor_at,
    sources_of,
)
from benchmarks.spending.methods import DEFAULTS, MEDIAN
from benchmarks.spending.published import on_its_own_table
from benchmarks.watched import write_table
from hf_ftrisk.text import percent

PAGE, FIGURE = "savings.md", "savings.png"
# A pool for the money: candidate runs, hours of each, price of an hour.
RUNS, HOURS, PRICE = 100, 10, 2.5
Found = Mapping[str, Mapping[str, Measured]]
CALLBACK, PATIENCE = "callback, no history", "patience"
KNOWN = "callback, the pool's runs known"
HALVING, RESTART = "successive halving", "restart failed seeds"


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else percent(value)


def _between(one: Measured, columns: Sequence[int]) -> str:
    low, high = one.interval(columns)
    return f"({100 * low:.0f} to {100 * high:.0f})"


def pools_table(rows: Sequence[Candidate]) -> str:
    """What is replayed."""
    lines = []
    for kind in (OWN, PUBLIC):
        for source in dict.fromkeys(row.source for row in rows if row.kind == kind):
            mine = [row for row in rows if row.source == source]
            good = float(np.mean([row.good for row in mine]))
            runs = len({row.number for row in mine})
            goals = ", ".join(dict.fromkeys(row.watched.judged for row in mine))
            lines.append((source, kind, str(runs), goals, str(len(mine)), _percent(good)))
    return table(["source", "kind", "runs", "goals", "runs x goals", "good"], lines, left=2)


def methods_table(by_method: Found) -> str:
    """Every method as it comes, and where it keeps 95 % of good runs."""
    lines = []
    for name, settings in by_method.items():
        knob = DEFAULTS.get(name, "5 %")
        lines.append((name, f"{knob} (as it comes)", *_cells(settings[knob])))
        chosen = at_kept(settings)
        if chosen is None:
            lines.append((name, f"none keeps {percent(KEPT_AIM)}", *["-"] * 7))
        elif chosen[0] != knob:
            lines.append((name, f"{chosen[0]} (keeps {percent(KEPT_AIM)})", *_cells(chosen[1])))
    lines.append(("run everything", "", "100 %", "100 %", "0 %", "0 %", "0 %", "2.00", "$0"))
    head = ["method", "setting", "good kept", "kept, or goal reached", "of poor runs' compute"]
    head += ["of good runs'", "of all, half poor", "runs for a good one", "money saved"]
    return table(head, lines, left=2)


def _cells(one: Measured) -> list[str]:
    return [
        f"{_percent(one.kept)} {_between(one, [KEPT])}",
        _percent(one.mean(REACHED)),
        f"{_percent(one.poor)} {_between(one, [POOR])}",
        _percent(one.mean(GOOD)),
        f"{_percent(one.half)} {_between(one, [POOR, GOOD])}",
        f"{one.per_good:.2f}",
        f"${RUNS * HOURS * PRICE * one.half:,.0f}".replace("$-", "-$"),
    ]


def rates_table(by_method: Found, names: Sequence[str]) -> str:
    """The package's own rules at every allowed rate of false stops."""
    lines = [
        (name, knob, *_cells(one)[:5])
        for name in names
        for knob, one in by_method[name].items()
        if name in by_method
    ]
    head = ["rule", "allowed", "good kept", "kept, or goal reached", "of poor runs' compute"]
    return table([*head, "of good runs'", "of all, half poor"], lines)


def sources_table(rows: Sequence[Candidate], by_method: Found) -> str:
    """The callback at 5 % and patience, source by source, the worst kept first."""
    names = np.unique(sources_of(rows)).tolist()
    ours = by_method[CALLBACK]["5 %"].sources
    others = by_method[PATIENCE][DEFAULTS[PATIENCE]].sources
    order = sorted(range(len(names)), key=lambda i: (ours[i, KEPT], -ours[i, POOR]))
    lines = [
        (names[i], *(_percent(m[i, column]) for m in (ours, others) for column in (KEPT, POOR)))
        for i in order
    ]
    head = ["source", "good kept", "of poor runs' compute", "patience: kept", "of poor runs'"]
    return table(head, lines)


def published_table() -> str:
    lines = [
        (
            one.regression,
            percent(one.bar),
            _percent(one.good),
            percent(one.kept, ".1f"),
            percent(one.refused, ".1f"),
            percent(one.poor, ".1f"),
        )
        for one in on_its_own_table()
    ]
    head = ["regression", "bar", "good runs", "of these run", "runs not run", "poor runs not run"]
    return table(head, lines)


def targets_table(groups: Mapping[str, Found]) -> str:
    """What was aimed at, and what is reached."""
    lines = []
    for group, by_method in groups.items():
        for name in (PREFLIGHT, CALLBACK, KNOWN, BOTH):
            if name not in by_method:
                continue
            settings = {"5 %": by_method[name]["5 %"]}
            chosen = at_kept(by_method[name])
            if chosen is not None:
                settings |= {chosen[0]: chosen[1]}
            for knob, one in settings.items():
                lines.append((group, f"{name}, {knob}", *_reached(one, by_method[PATIENCE])))
    head = ["runs", "rule, allowed", "good kept (aim 95 %)", "of poor runs' compute (aim 50 %)"]
    head += ["of all, half poor (aim 25 %)", "patience at the same share kept (aim x 2)"]
    return table(head, lines, left=2)


def _reached(one: Measured, patience: Mapping[str, Measured]) -> list[str]:
    rival = poor_at(patience, one.kept)
    ratio = f"{one.poor / rival:.1f}" if rival > 0 else "more"
    return [
        _percent(one.kept),
        f"{_percent(one.poor)} {_between(one, [POOR])}",
        f"{_percent(one.half)} {_between(one, [POOR, GOOD])}",
        f"{_percent(rival)}, x {ratio}",
    ]


def summary(groups: Mapping[str, Found]) -> str:
    """What is reached, in words."""
    long, every = groups["long runs"], groups["all"]
    lines = [
        "**On the long runs, data sets held out**, at 5 % allowed false stops: "
        f"{_told(long, BOTH)}; {_told(long, PREFLIGHT)}; {_told(long, CALLBACK)}.",
        f"**On all pools**: {_told(every, CALLBACK)}; {_told(every, KNOWN)}.",
        f"**What people have** does not keep 95 % of good runs as it comes: patience of "
        f"{DEFAULTS[PATIENCE]} keeps {_percent(every[PATIENCE][DEFAULTS[PATIENCE]].kept)}, the "
        f"median pruner {_percent(every[MEDIAN]['50'].kept)}, stopping what has failed by half of "
        f"the run {_percent(every[RESTART][DEFAULTS[RESTART]].kept)}.",
        f"**A mild successive halving is a rival**: dropping the worst eleventh at an eighth, a "
        f"quarter and half of the run keeps {_percent(every[HALVING]['1/1.1'].kept)} and saves "
        f"{_percent(every[HALVING]['1/1.1'].half)} of a pool half poor. It needs the whole pool at "
        "once, and stops a run however good all are.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _told(by_method: Found, name: str) -> str:
    one = by_method[name]["5 %"]
    return (
        f"{name}: {_percent(one.kept)} of good runs kept, {_percent(one.poor)} of poor runs' "
        f"compute given back, {_percent(one.half)} of all in pools half poor"
    )


def measure(pictures: Path | None) -> dict[str, str]:
    """Name of a table -> the table; with a folder the figure is drawn into it."""
    rows = candidates()
    stops = all_stops()
    every = of_kind(rows, stops)
    groups: dict[str, Found] = {"all": every}
    groups |= {kind: of_kind(rows, stops, kind) for kind in (OWN, PUBLIC)}
    long = on_long_runs()
    groups["long runs"] = long
    if pictures is not None:
        n = len({one.row.watched.group for one in judged_long_runs()})
        sources = len({row.source for row in rows})
        panels = {
            f"All pools: {len(rows):,} runs x goals of {sources} sources": every,
            f"Long runs with recorded probes, {n} data sets": long,
        }
        figure.draw(pictures / FIGURE, panels)
    return {
        "savings-summary": summary(groups),
        "targets": targets_table(groups),
        "all": methods_table(every),
        **{name: methods_table(groups[kind]) for name, kind in (("own", OWN), ("public", PUBLIC))},
        "savings-long": methods_table(long),
        "rates": rates_table(every, [CALLBACK, KNOWN]),
        "rates-long": rates_table(long, [PREFLIGHT, CALLBACK, BOTH]),
        "savings-sources": sources_table(rows, every),
        "published": published_table(),
        "savings-pools": pools_table(rows),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--write", type=Path, help=f"folder of {PAGE} and {FIGURE}")
    options = parser.parse_args(arguments)
    for name, text in measure(options.write).items():
        print(f"{name}\n{text}\n")
        if options.write:
            write_table(options.write / PAGE, name, text)


if __name__ == "__main__":
    main()
