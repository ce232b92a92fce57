"""What completed runs of the same task add to a forecast: error, coverage and width.

    python -m benchmarks.known_runs                        # all tables, printed one by one
    python -m benchmarks.known_runs bert_seeds             # some of them
    python -m benchmarks.known_runs --quick                # fewer runs a table, for a first look
    python -m benchmarks.known_runs --write PAGE           # one with the marks of `MARKS`

Cold and warm forecasts rest on a model fitted without the source (`forecasting.held_out`). Warm
ones know runs of the same task as well; ridge and the spread of known runs know the same ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.forecasting.baselines import BASELINES, ridge
from benchmarks.forecasting.held_out import held_out_forecaster
from benchmarks.forecasting.measures import Scored, difference
from benchmarks.forecasting.prefixes import DEPTHS, Prefix, all_tables, prefixes
from benchmarks.run_tables import Run
from benchmarks.watched import write_table
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.text import percent

# Of the table over all runs, and of that over the cells of bert_seeds.
MARKS = ("known runs", "known runs by cell")
# Targets are set at further depths for some tables.
FURTHER = {"peft_metamath": (0.1, 0.2, 0.25, 0.3, 0.5, 0.7)}
BY_CELL = ("bert_seeds", "bert_seeds_loss")
QUICK_RUNS, LARGE = 40, {"mlperf": 100}
SPLITS, KNOWN = 3, 10
MIN_TASK_RUNS = 6


def cold_forecasters(seen: Sequence[Prefix]) -> list[Forecaster]:
    """Forecaster of each prefix, without completed runs of its task."""
    return [held_out_forecaster(p.table, p.group) for p in seen]


def scored(
    seen: Sequence[Prefix],
    points: Sequence[float] | np.ndarray,
    bounds: Sequence[tuple[float, float]] | None = None,
) -> Scored:
    ends = np.array(bounds if bounds is not None else [(np.nan, np.nan)] * len(seen))
    return Scored(
        groups=np.array([p.group for p in seen]),
        outcomes=np.array([p.outcome for p in seen]),
        points=np.asarray(points, dtype=np.float64),
        low=ends[:, 0],
        high=ends[:, 1],
        losses=seen[0].goal.kind == "loss",
        by_cell=seen[0].table in BY_CELL,
    )


def forecast_all(seen: Sequence[Prefix], forecasters: Sequence[Forecaster]) -> Scored:
    forecasts = [f.predict(p.record, p.goal) for f, p in zip(forecasters, seen, strict=True)]
    values = [f.point for f in forecasts]
    return scored(seen, values, [f.interval(0.9) for f in forecasts])


Split = tuple[list[int], list[int]]


def splits_of(table: str, runs: list[Run]) -> list[Split]:
    """(known runs, new runs) of one task each."""
    by_task: dict[str, list[int]] = {}
    for i, run in enumerate(runs):
        by_task.setdefault(str(run.record.task), []).append(i)
    splits: list[Split] = []
    if table in BY_CELL:
        for members in by_task.values():
            for seed in range(SPLITS):
                order = np.random.default_rng(seed).permutation(members).tolist()
                splits.append((order[:KNOWN], order[KNOWN:]))
    elif table == "peft_metamath" or table.startswith("reference"):
        for members in by_task.values():
            if len(members) >= MIN_TASK_RUNS:
                splits += [([j for j in members if j != i], [i]) for i in members]
    return splits


def warm_methods(
    seen: Sequence[Prefix], runs: list[Run], splits: Sequence[Split]
) -> dict[str, Scored]:
    """Methods that know completed runs of the task, and on the same runs those that do not."""
    at = {p.run: p for p in seen}
    new: list[Prefix] = []
    points: dict[str, list[float]] = {"ridge on known runs": [], "spread of known runs": []}
    spreads, forecasters = [], []
    for known, others in splits:
        others = [i for i in others if i in at]
        have = [at[i] for i in known if i in at]
        if not others or len(have) < 2:
            continue
        outcomes = np.array([runs[i].outcome for i in known])
        new += [at[i] for i in others]
        points["ridge on known runs"] += ridge(have, [at[i] for i in others]).tolist()
        middle = np.median(outcomes) if have[0].goal.kind == "loss" else outcomes.mean()
        points["spread of known runs"] += [float(middle)] * len(others)
        ends = tuple(float(q) for q in np.quantile(outcomes, [0.05, 0.95]))
        spreads += [ends] * len(others)
        history = tuple(runs[i].record for i in known)
        cold = held_out_forecaster(at[others[0]].table, at[others[0]].group)
        forecasters += [cold.refit(history)] * len(others)
    if not new:
        return {}
    methods = {
        name: scored(new, [baseline(p) for p in new]) for name, baseline in BASELINES.items()
    }
    methods["ridge on known runs"] = scored(new, points["ridge on known runs"])
    methods["spread of known runs"] = scored(new, points["spread of known runs"], spreads)
    methods["cold"] = forecast_all(new, cold_forecasters(new))
    methods["warm"] = forecast_all(new, forecasters)
    return methods


def rows_of(table: str, depth: float, methods: dict[str, Scored]) -> list[str]:
    """Rows of the printed table."""
    rows = []
    better = min(("last value", "best so far"), key=lambda name: methods[name].error())
    for name, result in methods.items():
        coverage = width = compared = ""
        if np.isfinite(result.low).all():
            coverage, width = percent(result.coverage()), f"{result.width():.3g}"
        if name in ("cold", "warm"):
            low, high = difference(result, methods[better])
            ratio = result.error() / methods[better].error()
            compared = f"x {ratio:.2f} ({low:+.3g} to {high:+.3g})"
        rows.append(
            f"| {table} | {percent(depth)} | {name} | {result.outcomes.size} "
            f"| {result.error():.3g} | {percent(result.near())} | {coverage} "
            f"| {width} | {compared} |"
        )
    return rows


def cell_rows(depth: float, methods: dict[str, Scored]) -> list[str]:
    """Per cell of bert_seeds: warm against ridge and the cell's sd."""
    spread = methods["warm"]
    rows = []
    for cell, error in spread.cells().items():
        sd = 100 * float(np.std(spread.outcomes[spread.groups == cell]))
        ridge_error = methods["ridge on known runs"].cells()[cell]
        last, cold = methods["last value"].cells()[cell], methods["cold"].cells()[cell]
        ok = "yes" if error <= ridge_error and error <= 1.05 * sd else "no"
        rows.append(
            f"| {cell} | {percent(depth)} | {last:.3g} | {cold:.3g} | {ridge_error:.3g} | {sd:.3g} "
            f"| {error:.3g} | {ok} |"
        )
    return rows


HEAD = (
    "| table | depth | method | n | error | within 3 | 90 % covers | width "
    "| against the better of last and best |\n"
    "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | --- |"
)
CELL_HEAD = (
    "| cell | depth | last | cold | ridge on 10 | sd | warm, 10 known | at most both |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
)


def rows_by_mark(
    table: str, runs: list[Run], depths: Sequence[float]
) -> tuple[list[str], list[str]]:
    """Rows of one table's runs, and of their cells, as `MARKS` has them."""
    seen = list(prefixes(table, runs, tuple(depths)))
    splits = splits_of(table, runs)
    warm: list[str] = []
    cells: list[str] = []
    for depth in depths:
        here = [p for p in seen if p.depth == depth]
        methods = warm_methods(here, runs, splits) if here else {}
        if methods:
            warm += rows_of(table, depth, methods)
        if methods and table == "bert_seeds":
            cells += cell_rows(depth, methods)
    return warm, cells


def picked(table: str, runs: list[Run], quick: bool) -> list[Run]:
    """The runs that are forecast, evenly spread over the table."""
    limit = QUICK_RUNS if quick else LARGE.get(table, len(runs))
    places = np.unique(np.linspace(0, len(runs) - 1, min(limit, len(runs))).round())
    return [runs[int(i)] for i in places]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tables", nargs="*", help="tables to run; none: all")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} runs a table")
    parser.add_argument("--write", type=Path, help="page that has the marks of the tables")
    options = parser.parse_args()
    tables = all_tables()
    warm, cells = HEAD.splitlines(), CELL_HEAD.splitlines()
    print(HEAD, flush=True)
    for table in options.tables or tables:
        runs = picked(table, tables[table], options.quick)
        of_table, of_cells = rows_by_mark(table, runs, FURTHER.get(table, DEPTHS))
        print("\n".join(of_table), flush=True)
        warm += of_table
        cells += of_cells
    print("\n".join(cells))
    if options.write:
        for mark, rows in zip(MARKS, (warm, cells), strict=True):
            write_table(options.write, mark, "\n".join(rows))


if __name__ == "__main__":
    main()
