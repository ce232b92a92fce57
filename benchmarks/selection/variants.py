"""Rules of allocation and of choice that were tried, on the project's own recordings alone.

    python -m benchmarks.selection.variants --forecasts FILE --write docs/evidence/choosing.md

One part of the rule is changed at a time; the worst rules first. No pool of the reported table is
read.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.choosing import AT, BUDGETS, ORDERS, QUICK_POOLS, bootstrap, by_source, mean, play
from benchmarks.selection.pools import OWN
from benchmarks.selection.replay import Memory, rank_method
from benchmarks.watched import write_table
from hf_ftrisk.choosing import allocation, beliefs
from hf_ftrisk.text import percent


@dataclass(frozen=True)
class Variant:
    """A rule, as far as it differs from the one that is used.

    Args:
        first: share of a run at which candidates are first looked at.
        forecast: weight of the forecast's median against the last value.
        caution: factor on the spreads by which deeper looks are chosen.
        shift_runs: runs' worth of "forecasts are not off in common".
        cheapest_first: first looks go to short runs first.
        deeper: looks after the first ones are taken.
    """

    first: float = allocation.FIRST_DEPTH
    forecast: float = beliefs.FORECAST
    caution: float = allocation.CAUTION
    shift_runs: float = beliefs.SHIFT_RUNS
    cheapest_first: bool = False
    deeper: bool = True

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The package's constants are this rule's meanwhile."""
        used = Variant()
        _set(self)
        try:
            yield
        finally:
            _set(used)


def _set(variant: Variant) -> None:
    allocation.FIRST_DEPTH, allocation.CAUTION = variant.first, variant.caution
    beliefs.FORECAST, beliefs.SHIFT_RUNS = variant.forecast, variant.shift_runs


AS_IT_IS = "as it is"
VARIANTS = {
    AS_IT_IS: Variant(),
    "first looks at 5 %": Variant(first=0.05),
    "first looks at 10 %": Variant(first=0.1),
    "first looks at 20 %": Variant(first=0.2),
    "first looks at 30 %": Variant(first=0.3),
    "first looks at short runs first": Variant(cheapest_first=True),
    "no look after the first": Variant(deeper=False),
    "choice by the last value": Variant(forecast=0.0),
    "choice by the forecast's median": Variant(forecast=1.0),
    "spreads as they are": Variant(caution=1.0),
    "spreads four times as wide": Variant(caution=4.0),
    "no shift in common": Variant(shift_runs=1e9),
    "the whole shift in common": Variant(shift_runs=1e-9),
}


def variants_table(memory: Memory, quick: bool) -> str:
    """Regret by budget of every rule, the worst at a fifth of the compute first."""
    sources = by_source([pool for load in OWN.values() for pool in load()])
    if quick:
        sources = {source: pools_of[:QUICK_POOLS] for source, pools_of in sources.items()}
    at = BUDGETS.index(AT)
    rows = []
    for name, variant in VARIANTS.items():
        method = rank_method(memory, variant.cheapest_first, variant.deeper)
        with variant.in_place():
            played = [play(method, pools, 1 if quick else ORDERS) for pools in sources.values()]
        regrets = [mean([one.regret[:, b] for one in played]) for b in range(len(BUDGETS))]
        low, high = bootstrap([one.regret[:, at] for one in played])
        cells = " | ".join(f"{value:.2f}" for value in regrets)
        rows.append((regrets[at], f"| {name} | {cells} | {low:.2f} to {high:.2f} |"))
    rows.sort(key=lambda row: row[0], reverse=True)
    budgets = " | ".join(percent(budget) for budget in BUDGETS)
    count = sum(len(pools) for pools in sources.values())
    return "\n".join(
        [
            f"{count} pools of {len(sources)} sources:\n",
            f"| rule | {budgets} | at {percent(AT)}: 90 % interval |",
            "| --- | " + "---: | " * (len(BUDGETS) + 1),
            *(line for _, line in rows),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer pools, one order")
    parser.add_argument("--forecasts", type=Path, help="file the forecasts are kept in (.npz)")
    parser.add_argument("--write", type=Path, help="Markdown file whose table is replaced")
    options = parser.parse_args()
    memory = Memory(options.forecasts)
    table = variants_table(memory, options.quick)
    memory.keep()
    print(table)
    if options.write:
        write_table(options.write, "rules", table)


if __name__ == "__main__":
    main()
