"""Regret of choosing among candidates against compute, replayed on recorded pools.

    python -m benchmarks.choosing                          # all pools, printed
    python -m benchmarks.choosing peft_metamath            # some of them
    python -m benchmarks.choosing --quick                  # four pools a source
    python -m benchmarks.choosing --forecasts FILE         # keep the forecasts for the next time
    python -m benchmarks.choosing --write docs/evidence/choosing.md

Every method sees the same evaluations and pays for the same steps. Regret is the distance of the
chosen run's outcome from the best one's in its pool: points, or percent of a loss. Sources weigh
alike; intervals are percentiles of a bootstrap over sources, pools within them resampled too.
Forecasts are fitted without the source of the pool. Nothing of `hf_ftrisk.choosing` was chosen on
the held-out pools. Static signals alone are played on the own recordings that have them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.selection.baselines import BASELINES, BEFORE
from benchmarks.selection.equal_regret import compute_for, drawn_ratios
from benchmarks.selection.pools import HELD_OUT, OWN, Pool
from benchmarks.selection.replay import Bench, Memory, Method, rank_method
from hf_ftrisk.text import percent

BUDGETS = (0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
AT = 0.2
ORDERS = 6  # of the candidates, drawn; which come first decides much in single pools
QUICK_POOLS = 4
REPEATS = 2000
# One pool's regret counts as this at most: losses that diverge would drown all else.
CAP = 100.0
# Within this of the best the best is not lost: points, or percent of a loss.
NOT_LOST = {"loss": 2.0}
POINTS = 1.5
BEGIN, END = "<!-- choosing: begin -->", "<!-- choosing: end -->"


@dataclass(frozen=True, eq=False)
class Played:
    """One method on the pools of one source, at every budget.

    Args:
        regret: (n_pools, n_budgets) mean over orders.
        spent: (n_pools, n_budgets) share of the compute.
        lost: (n_pools, n_budgets) share of orders in which the best was lost.
        exact: (n_pools, n_budgets) share of orders in which the very best was chosen.
    """

    regret: np.ndarray
    spent: np.ndarray
    lost: np.ndarray
    exact: np.ndarray

    def of(self, pools: Sequence[int]) -> Played:
        """The same on some of the pools, by their indices."""
        picked = list(pools)
        return Played(
            self.regret[picked], self.spent[picked], self.lost[picked], self.exact[picked]
        )


Results = dict[str, dict[str, Played]]
"""Method -> source -> what it came to there."""


def play(method: Method, pools: Sequence[Pool], orders: int) -> Played:
    """A method's choices."""
    shape = (len(pools), len(BUDGETS), orders)
    regret, spent, lost, exact = (np.zeros(shape) for _ in range(4))
    for p, pool in enumerate(pools):
        regrets = pool.regrets
        near = NOT_LOST.get(str(pool.goal.kind), POINTS)
        for b, budget in enumerate(BUDGETS):
            for seed in range(orders):
                bench = Bench(pool, budget)
                chosen = method(bench, np.random.default_rng(seed))
                regret[p, b, seed] = min(float(regrets[chosen]), CAP)
                spent[p, b, seed] = bench.spent
                lost[p, b, seed] = regrets[chosen] > near
                exact[p, b, seed] = regrets[chosen] <= 1e-9
    return Played(*(values.mean(axis=2) for values in (regret, spent, lost, exact)))


def by_source(pools: Sequence[Pool]) -> dict[str, list[Pool]]:
    """Source -> its pools."""
    sources: dict[str, list[Pool]] = {}
    for pool in pools:
        sources.setdefault(pool.source, []).append(pool)
    return sources


def bootstrap(parts: Sequence[np.ndarray]) -> tuple[float, float]:
    """90 % interval of the mean over sources of the mean over pools.

    Args:
        parts: for each source its pools' values (n_pools,).
    """
    rng = np.random.default_rng(0)
    means = np.empty(REPEATS)
    for i in range(REPEATS):
        picked = rng.integers(len(parts), size=len(parts))
        means[i] = np.mean(
            [parts[j][rng.integers(parts[j].size, size=parts[j].size)].mean() for j in picked]
        )
    low, high = np.quantile(means, [0.05, 0.95])
    return float(low), float(high)


def mean(parts: Sequence[np.ndarray]) -> float:
    """Mean over sources of the mean over pools."""
    return float(np.mean([part.mean() for part in parts]))


def curve_table(results: Results) -> str:
    """Regret by budget, with the interval and what else is asked at a fifth of the compute."""
    head = "| method | " + " | ".join(percent(budget) for budget in BUDGETS)
    rows = [
        f"{head} | at {percent(AT)}: 90 % interval | compute used | best lost | very best |",
        "| --- | " + "---: | " * (len(BUDGETS) + 4),
    ]
    at = BUDGETS.index(AT)
    for name, played in results.items():
        regrets = [mean([one.regret[:, b] for one in played.values()]) for b in range(len(BUDGETS))]
        low, high = bootstrap([one.regret[:, at] for one in played.values()])
        used, lost, exact = (
            mean([getattr(one, what)[:, at] for one in played.values()])
            for what in ("spent", "lost", "exact")
        )
        cells = " | ".join(f"{value:.2f}" for value in regrets)
        shares = f"{percent(used)} | {percent(lost)} | {percent(exact)}"
        rows.append(f"| {name} | {cells} | {low:.2f} to {high:.2f} | {shares} |")
    return "\n".join(rows)


def source_table(results: Results, methods: Sequence[str]) -> str:
    """Regret at a fifth of the compute by source, for some methods."""
    at = BUDGETS.index(AT)
    rows = [
        "| source | pools | " + " | ".join(methods) + " |",
        "| --- | ---: | " + "---: | " * len(methods),
    ]
    for source, one in results[methods[0]].items():
        cells = " | ".join(f"{results[name][source].regret[:, at].mean():.2f}" for name in methods)
        rows.append(f"| {source} | {len(one.regret)} | {cells} |")
    return "\n".join(rows)


def equal_regret_table(results: Results) -> str:
    """What `rank` spends for the regret of the best ASHA, at each of its budgets."""
    rows = [
        "| ASHA's budget | best of its three | its regret | its compute | rank's compute for that "
        "regret | share | 90 % interval |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    ours = [(one.spent, one.regret) for one in results["rank"].values()]
    spent, regrets = (
        np.array([mean([part[k][:, b] for part in ours]) for b in range(len(BUDGETS))])
        for k in range(2)
    )
    rivals = {name: played for name, played in results.items() if name.startswith("ASHA")}
    for b, budget in enumerate(BUDGETS):
        regret_of = {n: mean([one.regret[:, b] for one in p.values()]) for n, p in rivals.items()}
        name = min(regret_of, key=lambda n: regret_of[n])
        theirs = [(one.spent, one.regret) for one in rivals[name].values()]
        used = mean([part[0][:, b] for part in theirs])
        needed = compute_for(regret_of[name], spent, regrets)
        low, high = np.quantile(
            drawn_ratios(ours, theirs, b, REPEATS), [0.05, 0.95], method="lower"
        )
        cells = " | ".join(_reached(value) for value in (needed, needed / used))
        rows.append(
            f"| {percent(budget)} | {name} | {regret_of[name]:.2f} | {percent(used)} | {cells} | "
            f"{_reached(low)} to {_reached(high)} |"
        )
    return "\n".join(rows)


def _reached(share: float) -> str:
    return percent(share) if np.isfinite(share) else "never"


def before_table(sources: dict[str, list[Pool]], results: Results, orders: int) -> tuple[int, str]:
    """Static signals alone beside some methods, on the pools that know them; how many those are."""
    places = {
        source: [p for p, pool in enumerate(pools) if pool.knows(("log_me", "zero_shot_loss"))]
        for source, pools in sources.items()
    }
    places = {source: indices for source, indices in places.items() if indices}
    beside = {
        name: {source: results[name][source].of(indices) for source, indices in places.items()}
        for name in ("rank", "random", "last value at 10 %", "ASHA, 3", "full runs")
    }
    alone = {
        name: {
            source: play(method, [sources[source][p] for p in indices], orders)
            for source, indices in places.items()
        }
        for name, method in BEFORE.items()
    }
    return sum(map(len, places.values())), curve_table({**alone, **beside}) if places else ""


def table_text(names: Sequence[str], quick: bool, forecasts: Path | None) -> str:
    """All tables."""
    memory = Memory(forecasts)
    methods: dict[str, Method] = {"rank": rank_method(memory), **BASELINES}
    parts = []
    for title, tables in (("Held out", HELD_OUT), ("Own recordings", OWN)):
        pools = [
            pool for name, load in tables.items() if not names or name in names for pool in load()
        ]
        if not pools:
            continue
        sources = by_source(pools)
        if quick:
            sources = {source: pools_of[:QUICK_POOLS] for source, pools_of in sources.items()}
        results = {
            name: {source: play(method, pools_of, ORDERS) for source, pools_of in sources.items()}
            for name, method in methods.items()
        }
        named = [n for n in methods if n == "rank" or n.startswith(("ASHA", "last value at 20"))]
        count = sum(len(pools_of) for pools_of in sources.values())
        parts += [
            f"### {title}: {count} pools of {len(sources)} sources",
            curve_table(results),
            "Compute for ASHA's regret:",
            equal_regret_table(results),
            f"Regret at {percent(AT)} by source:",
            source_table(results, [*named, "Hyperband, 3", "full runs"]),
        ]
        informed, table = before_table(sources, results, ORDERS)
        if informed:
            parts += [f"### {title}, before any step: {informed} pools with static signals", table]
    memory.keep()
    return "\n\n".join(parts)


def write(file: Path, text: str) -> None:
    """Replace what stands between the file's marks."""
    before, _, rest = file.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise SystemExit(f"{file} lacks the marks {BEGIN} and {END}")
    file.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tables", nargs="*", help="tables of pools; none: all")
    parser.add_argument("--quick", action="store_true", help="fewer pools")
    parser.add_argument("--forecasts", type=Path, help="file the forecasts are kept in (.npz)")
    parser.add_argument("--write", type=Path, help="Markdown file to put the tables into")
    options = parser.parse_args()
    text = table_text(options.tables, options.quick, options.forecasts)
    if options.write:
        write(options.write, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
