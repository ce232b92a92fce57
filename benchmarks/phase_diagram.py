"""The claims of arXiv 2606.17649 on recorded fine-tunes: docs/evidence/paper.md and its figure.

    python -m benchmarks.phase_diagram                        # print the tables
    python -m benchmarks.phase_diagram --write docs/evidence  # and put them on the page

Every recorded setting with at least 8 seeds takes part, and those recorded later do by themselves.
Public runs need the benchmark data (HF_FTRISK_BENCH_DATA, default ../shared/data).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.paper import figure, planned, tables
from benchmarks.paper.evidence import Evidence, all_evidence
from benchmarks.paper.signals import explained
from benchmarks.paper.tasks import all_tasks
from benchmarks.watched import write_table

PAGE, FIGURE = "paper.md", "paper.png"


def mean_regrets(regrets_of_tasks: Sequence[Mapping[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
    """Rule -> (n_prices,) mean over tasks."""
    return {
        name: np.mean([one[name] for one in regrets_of_tasks], axis=0)
        for name in regrets_of_tasks[0]
    }


def all_tables(evidence: Sequence[Evidence], pictures: Path | None) -> dict[str, str]:
    """Name of a table -> the table; with a folder the figure is drawn into it."""
    replays = [one.replay for one in evidence]
    forms, places = [one.forms for one in evidence], [one.place for one in evidence]
    bounds = [one.bound for one in evidence if one.bound is not None]
    names = {one.task.name: one.named for one in evidence if one.named is not None}
    alone = {one.task.name: one.alone for one in evidence if one.alone is not None}
    regret = mean_regrets([one.regret for one in evidence if one.regret is not None])
    shares = explained(replays, [one.fit.regime for one in places])
    seeds = [one.seeds for one in evidence if one.seeds is not None]
    if pictures is not None:
        figure.draw(pictures / FIGURE, replays, places, forms, list(names.values()), regret)
    return {
        "summary": tables.summary(replays, places, forms, bounds, names, regret, shares, seeds),
        "risks": tables.risk_table(replays),
        "forms": tables.forms_table(replays, forms),
        "bound": tables.bound_table(bounds),
        "phase": tables.phase_table(replays, places),
        "expected": planned.expected_table(evidence),
        "recipes": planned.forms_table(evidence),
        "naming": tables.naming_table(names),
        "naming-alone": tables.naming_table(alone),
        "regret": tables.regret_table(regret),
        "static": tables.explained_table(shares),
        "seeds": tables.seeds_table(seeds),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--write", type=Path, help=f"folder of {PAGE} and {FIGURE}")
    options = parser.parse_args(arguments)
    for name, text in all_tables(all_evidence(all_tasks()), options.write).items():
        print(f"{name}\n{text}\n")
        if options.write:
            write_table(options.write / PAGE, name, text)


if __name__ == "__main__":
    main()
