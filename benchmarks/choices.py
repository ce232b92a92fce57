"""What other values of the forecaster's constants would give, and what a nested choice gives.

    python -m benchmarks.choices cold --write docs/forecasting.md
    python -m benchmarks.choices warm

Each constant is changed alone; everything that is fitted is fitted again. A table's figure is the
error with the other value over the error with the used one, the geometric mean over depths. The
nested choice of a table is the value that is best on the other tables; its figure on the table
itself says what the used value owes to having been chosen with that table in sight.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from benchmarks.forecast import HeldOut, Split, forecast_all, splits_of, warm_methods
from benchmarks.forecasting.fitting import cases_of
from benchmarks.forecasting.prefixes import all_tables, prefixes
from benchmarks.one_sided import classifier_runs, good_only, log_loss, outcomes, poor_only
from benchmarks.run_tables import Run
from benchmarks.watched import write_table

Errors = dict[tuple[str, float], float]

SCORES = ("bert_seeds", "peft_metamath", "curves_accuracy", "reference_accuracy")
LOSSES = ("curves", "bert_seeds_loss", "rectified_law", "reference_loss")
WARM = ("bert_seeds", "peft_metamath", "reference_accuracy")
DEPTHS = (0.1, 0.2, 0.3, 0.5)
WARM_DEPTHS = {"bert_seeds": (0.3,), "peft_metamath": (0.25, 0.5), "reference_accuracy": (0.3,)}
COLD_RUNS = {
    "bert_seeds": 60,
    "bert_seeds_loss": 60,
    "reference_accuracy": 150,
    "reference_loss": 150,
}
WARM_SPLITS = 6  # one draw of known runs for each cell of bert_seeds
ONE_SIDED = "one-sided histories"


@dataclass(frozen=True)
class Constant:
    """One constant of the forecaster or of its fit.

    Args:
        what: what it is, in words.
        module: where it lives.
        name: its name there.
        values: other values that were tried.
        tables: tables whose forecasts depend on it.
        warm: whether it concerns forecasts with known runs.
    """

    what: str
    module: str
    name: str
    values: tuple[float, ...]
    tables: tuple[str, ...]
    warm: bool = False

    @property
    def used(self) -> float:
        return float(getattr(import_module(self.module), self.name))

    def put(self, value: float) -> None:
        setattr(import_module(self.module), self.name, value)


FORECAST, FITTING = "hf_ftrisk.forecast", "benchmarks.forecasting.fitting"
CONSTANTS = (
    Constant(
        "share of a score's gain that is not believed",
        f"{FORECAST}.curves.change",
        "_PULL",
        (0.0, 0.3, 0.7),
        SCORES,
    ),
    Constant(
        "most gain of a score",
        f"{FORECAST}.curves.change",
        "_MOST_GAIN",
        (0.5, 2.0, math.inf),
        SCORES,
    ),
    Constant(
        "rates are drawn in by", f"{FORECAST}.curves.space", "_RATE_EDGE", (0.01, 0.02), SCORES
    ),
    Constant(
        "start below the baseline from",
        f"{FORECAST}.curves.view",
        "_FAR_BELOW",
        (0.0, math.inf),
        SCORES,
    ),
    Constant("failed draws that stay", f"{FORECAST}.failure", "_STAY", (0.0, 0.25, 0.75), SCORES),
    Constant("penalty of the prior weights", FITTING, "RIDGE", (0.3, 3.0), SCORES),
    Constant("the same, losses", FITTING, "RIDGE", (0.3, 3.0), LOSSES),
    Constant("penalty of a loss's terms", FITTING, "CHANGE_RIDGE", (0.03, 0.3), LOSSES),
    Constant(
        "known runs that outweigh the mean",
        f"{FORECAST}.related.peers",
        "_MEAN_RUNS",
        (3.0, 30.0),
        WARM,
        warm=True,
    ),
    Constant(
        "known runs that a shift is shrunk by",
        f"{FORECAST}.related.peers",
        "_SHIFT_RUNS",
        (1.0, 16.0),
        WARM,
        warm=True,
    ),
    Constant(
        "known runs for a power of the error",
        f"{FORECAST}.related.regression",
        "_RUNS_A_POWER",
        (2.0, 8.0),
        WARM,
        warm=True,
    ),
    Constant(
        "least range of known runs",
        f"{FORECAST}.related.peers",
        "_LEAST_RANGE",
        (0.01, 0.1),
        WARM,
        warm=True,
    ),
    Constant(
        "power of known runs of one end",
        f"{FORECAST}.related.one_sided",
        "_POWER",
        (0.25, 1.0, math.inf),
        (*WARM, ONE_SIDED),
        warm=True,
    ),
)


def spread(runs: list[Run], limit: int) -> list[Run]:
    picked = np.unique(np.linspace(0, len(runs) - 1, min(limit, len(runs))).round())
    return [runs[int(i)] for i in picked]


def cold_errors(names: Sequence[str]) -> Errors:
    """Error of the cold forecast at each table and depth, as the constants are set now."""
    tables = all_tables()
    held_out = HeldOut(cases_of(tables))
    found: Errors = {}
    for name in names:
        runs = spread(tables[name], COLD_RUNS.get(name, len(tables[name])))
        seen = list(prefixes(name, runs, DEPTHS))
        for depth in DEPTHS:
            here = [p for p in seen if p.depth == depth]
            if here:
                found[name, depth] = forecast_all(here, held_out.cold(here)).error()
    return found


def warm_errors(names: Sequence[str]) -> Errors:
    """The same with known runs; for histories of one end the log loss of P(good)."""
    tables = all_tables()
    held_out = HeldOut(cases_of(tables))
    found: Errors = {}
    for name in names:
        if name == ONE_SIDED:
            for pick in (poor_only, good_only):
                for depth, judged in outcomes(classifier_runs(), pick).items():
                    found[f"{name} {pick.__name__}", depth] = log_loss(judged)
            continue
        runs, splits = tables[name], splits_of(name, tables[name])
        for depth in WARM_DEPTHS[name]:
            here = list(prefixes(name, runs, (depth,)))
            methods = warm_methods(here, runs, _fewer(name, splits), held_out)
            found[name, depth] = methods["warm"].error()
    return found


def _fewer(name: str, splits: list[Split]) -> list[Split]:
    return splits[:: len(splits) // WARM_SPLITS] if name == "bert_seeds" else splits


def errors_with(constant: Constant, value: float) -> Errors:
    """Errors with one constant set to a value; runs in a process of its own."""
    constant.put(value)
    return (warm_errors if constant.warm else cold_errors)(constant.tables)


def ratios(errors: Errors, used: Errors, tables: Sequence[str]) -> dict[str, float]:
    """Geometric mean over depths of error over used error, a table."""
    found = {}
    for table in tables:
        keys = [key for key in used if key[0].startswith(table) and _same(key[0], table)]
        found[table] = float(np.exp(np.mean([np.log(errors[k] / used[k]) for k in keys])))
    return found


def _same(key: str, table: str) -> bool:
    return key == table or table == ONE_SIDED


def nested(by_value: dict[float, dict[str, float]], tables: Sequence[str]) -> dict[str, float]:
    """A table's figure under the value that is best on the other tables."""
    found = {}
    for table in tables:
        others = [name for name in tables if name != table]
        total = {v: np.mean(np.log([r[n] for n in others])) for v, r in by_value.items()}
        found[table] = by_value[min(total, key=lambda v: float(total[v]))][table]
    return found


def rows_of(constant: Constant, by_value: dict[float, dict[str, float]]) -> list[str]:
    tables = constant.tables
    rows = []
    named = [(_told(v), r) for v, r in by_value.items() if v != constant.used]
    named.append(("chosen on the other tables", nested(by_value, tables)))
    for told, figures in named:
        cells = ", ".join(f"{table} {figures[table]:.2f}" for table in tables)
        mean = float(np.exp(np.mean(np.log(list(figures.values())))))
        rows.append(f"| {constant.what} | {_told(constant.used)} | {told} | {mean:.3f} | {cells} |")
    return rows


def _told(value: float) -> str:
    return "no limit" if math.isinf(value) else f"{value:g}"


def choice_table(constants: Sequence[Constant], workers: int) -> str:
    lines = [
        "| constant | used | other value | error, mean of the tables | by table |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    with ProcessPoolExecutor(workers, max_tasks_per_child=1) as pool:
        as_used = {
            tables: pool.submit(errors_with, constant, constant.used)
            for tables, constant in {c.tables: c for c in constants}.items()
        }
        asked = {
            (constant, value): pool.submit(errors_with, constant, value)
            for constant in constants
            for value in constant.values
        }
        for constant in constants:
            used = as_used[constant.tables].result()
            errors = {constant.used: used}
            errors |= {value: asked[constant, value].result() for value in constant.values}
            found = {v: ratios(e, used, constant.tables) for v, e in errors.items()}
            rows = rows_of(constant, found)
            lines += rows
            print("\n".join(rows), flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["cold", "warm"], help="without or with known runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", type=Path, help="the page that has marks for the table")
    options = parser.parse_args()
    asked = [constant for constant in CONSTANTS if constant.warm == (options.what == "warm")]
    text = choice_table(asked, options.workers)
    if options.write:
        write_table(options.write, f"choices-{options.what}", text)


if __name__ == "__main__":
    main()
