"""What static signals and networks add to the forest: medians of variants, sources held out.

    python -m benchmarks.forecasting.choices --write docs/evidence/forecasting-choices.md

Folds, runs and errors are those of `benchmarks.forecast`; shares are chosen inside each fold.
Medians alone: intervals are calibrated afterwards.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import sparse

from benchmarks.forecast import DEPTHS, Judged, alike, capped, picked
from benchmarks.forecasting.examples import Examples
from benchmarks.forecasting.fitting import (
    MAX_CHANGE,
    PACKAGED,
    draws_unseen,
    fit_size,
    grown_on,
    leaf_shares,
    sampled,
    shares_of,
    weights_of,
    weights_of_unseen,
)
from benchmarks.forecasting.held_out import FAMILIES, all_rows, fold_of
from benchmarks.watched import write_table
from hf_ftrisk.forecast.change_model import columns, shares_at
from hf_ftrisk.forecast.features import FEATURES
from hf_ftrisk.forecast.forest import Forest
from hf_ftrisk.forecast.network import QUANTILES, load_networks
from hf_ftrisk.forecast.static import STATIC_RANGES

_STATIC = [FEATURES.index(name) for name in (*STATIC_RANGES, "below_probe", "learned")]
_MEDIAN = QUANTILES.index(0.5)
_MIDDLE_HALF = (QUANTILES.index(0.25), QUANTILES.index(0.75))
_SMALL = 0.003
COLUMNS = {
    "public runs": "public",
    "own long runs": "recordings",
    "own short runs": "reference",
    "protein models": "plm",
    "BERT seeds": "bert_seeds",
}
PLAIN, ALL = 0, 1  # networks, by what curves they have seen


@dataclass(frozen=True)
class Variant:
    """One way to forecast the median change.

    Args:
        title: how the table names it.
        static: whether the forest knows static signals.
        networks: which networks are averaged.
        forest: whether the forest has a share; without it the networks' median counts whole.
        asked: whether the forest also has the networks' median and spread as features.
    """

    title: str
    static: bool = False
    networks: tuple[int, ...] = ()
    forest: bool = True
    asked: bool = False


VARIANTS = (
    Variant("forest alone"),
    Variant("forest with static signals", static=True),
    Variant("network of plain curves, whole", networks=(PLAIN,), forest=False),
    Variant("network of all curves, whole", networks=(ALL,), forest=False),
    Variant("forest and network of plain curves", networks=(PLAIN,)),
    Variant("forest and network of all curves", networks=(ALL,)),
    Variant("forest and both networks", networks=(PLAIN, ALL)),
    Variant("the same, with static signals (used)", static=True, networks=(PLAIN, ALL)),
    Variant("the same, networks as features too", True, (PLAIN, ALL), asked=True),
)


def measured_rows(rows: Examples) -> np.ndarray:
    """Mask (n,) of the rows that `benchmarks.forecast` measures."""
    measured = {(run.source, run.run, run.goal.metric) for run in picked()}
    keys = zip(rows.source.tolist(), rows.run.tolist(), rows.metric.tolist(), strict=True)
    return np.array([key in measured for key in keys]) & np.isin(rows.depth, DEPTHS)


def simulated_medians(rows: Examples, networks: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Median change (n,) and the width of its middle half (n,), of networks; 0 of none."""
    if not networks:
        return np.zeros(len(rows)), np.zeros(len(rows))
    known = load_networks()
    quantiles = np.mean([known[i].quantiles(rows.curve)[:, 0] for i in networks], axis=0)
    low, high = _MIDDLE_HALF
    return quantiles[:, _MEDIAN], quantiles[:, high] - quantiles[:, low]


def forecast_changes(rows: Examples, variant: Variant) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each fold and family: which rows are measured, and their median change."""
    measured = measured_rows(rows)
    folds = np.array([fold_of(source) for source in rows.source.tolist()])
    simulated, width = simulated_medians(rows, variant.networks)
    if variant.asked:
        more = np.column_stack([simulated, np.log(width + _SMALL)])
        rows = replace(rows, features=np.column_stack([rows.features, more]))
    if not variant.static:
        features = rows.features.copy()
        features[:, _STATIC] = np.nan
        rows = replace(rows, features=features)
    for fold in np.unique(folds):
        for family in FAMILIES:
            asked = np.flatnonzero(measured & (folds == fold) & (rows.family == family))
            if not asked.size:
                continue
            if not variant.forest:
                yield asked, simulated[asked]
                continue
            known = rows.where((folds != fold) & (rows.family == family))
            yield asked, _with_forest(known, rows.where(asked), variant.networks)


def _with_forest(all_known: Examples, asked: Examples, networks: tuple[int, ...]) -> np.ndarray:
    """Median change (n,) of the rows asked for, by shares of the forest and of networks."""
    known = sampled(all_known, PACKAGED.seed)
    size = fit_size(known, weights_of(known))
    unit, asked_unit = size.of(known.features), size.of(asked.features)
    change = np.clip((known.end - known.last) / unit, -MAX_CHANGE, MAX_CHANGE)
    grown = grown_on(known, columns(known.features, unit), change, PACKAGED)
    others, draws = draws_unseen(weights_of_unseen(grown, known.source), change)
    held = known.where(others)
    medians = np.median(draws, axis=1) * unit[others]
    shares = shares_of(held, medians, simulated_medians(held, networks)[0], held.end - held.last)
    weights = _weights(grown.forest, columns(asked.features, asked_unit))
    medians = np.median(draws_unseen(weights, change)[1], axis=1) * asked_unit
    both = np.column_stack([medians, simulated_medians(asked, networks)[0]])
    return np.asarray((shares_at(shares, asked.progress) * both).sum(axis=1))


def _weights(forest: Forest, x: np.ndarray) -> sparse.csr_matrix:
    """`Forest.weights` of many rows (n, n_columns) at once, (n, n_cases)."""
    leaves = forest.left[forest.leaf_nodes(x.astype(np.float32))]
    n, trees = leaves.shape
    row = np.repeat(np.arange(n), trees)
    share = np.full(row.size, 1.0 / trees)
    in_leaf = leaf_shares(forest)
    asked = sparse.csr_matrix((share, (row, leaves.ravel())), shape=(n, in_leaf.shape[0]))
    return sparse.csr_matrix(asked @ in_leaf)


def judged(rows: Examples, variant: Variant) -> list[Judged]:
    """Forecasts of a variant, held against how the runs ended; no intervals."""
    forecasts = []
    for asked, change in forecast_changes(rows, variant):
        for i, moved in zip(asked.tolist(), change.tolist(), strict=True):
            scale = rows.scale[i]
            family = {"loss": "loss", "error": "error"}.get(scale.shape, "score")
            z = (rows.last[i], rows.last[i] + moved, rows.end[i])
            units = [-v if family == "loss" else float(scale.inverse(v)) / scale.unit for v in z]
            group, depth = f"{rows.table[i]} {family}", float(rows.depth[i])
            last, point, end = units
            source, run = str(rows.source[i]), str(rows.run[i])
            forecasts.append(Judged(group, source, run, depth, last, point, point, point, end))
    return forecasts


def mean_error(forecasts: list[Judged], group: str) -> float:
    """Error as a share of the last value's, mean over depths."""
    shares = []
    for depth in DEPTHS:
        here = [r for r in forecasts if r.group == group and r.depth == depth]
        last = alike(here, [capped(r.last - r.end) for r in here])
        shares.append(alike(here, [capped(r.point - r.end) for r in here]) / last)
    return float(np.mean(shares))


def table_text() -> str:
    """One row a variant: losses / scores of each table."""
    rows = all_rows()
    lines = [
        f"| candidate | {', losses / scores | '.join(COLUMNS)}, losses / scores |",
        f"| --- |{' ---: |' * len(COLUMNS)}",
    ]
    for variant in VARIANTS:
        forecasts = judged(rows, variant)
        cells = [
            " / ".join(f"{mean_error(forecasts, f'{table} {f}'):.2f}" for f in FAMILIES)
            for table in COLUMNS.values()
        ]
        print(variant.title, *cells, flush=True)
        lines.append(f"| {variant.title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="Markdown file to put the table into")
    options = parser.parse_args()
    table = table_text()
    if options.write:
        write_table(options.write, "networks", table)
    else:
        print(table)


if __name__ == "__main__":
    main()
