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

from benchmarks.paper import figure, tables
from benchmarks.paper.bound import against_envelope
from benchmarks.paper.depth import is_probed_early, regrets
from benchmarks.paper.forms import compared
from benchmarks.paper.regimes import naming, place
from benchmarks.paper.risks import Replay, has_many_seeds, replay
from benchmarks.paper.signals import explained, probe_seeds
from benchmarks.paper.tasks import all_tasks
from benchmarks.watched import write_table

PAGE, FIGURE = "paper.md", "paper.png"


def mean_regrets(regrets_of_tasks: Sequence[Mapping[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
    """Rule -> (n_prices,) mean over tasks."""
    return {
        name: np.mean([one[name] for one in regrets_of_tasks], axis=0)
        for name in regrets_of_tasks[0]
    }


def measure(replays: Sequence[Replay], pictures: Path | None) -> dict[str, str]:
    """Name of a table -> the table; with a folder the figure is drawn into it."""
    rng = np.random.default_rng(0)
    many = [one for one in replays if has_many_seeds(one.task)]
    forms = [compared(one, one.best) for one in replays]
    places = [place(one, rng) for one in replays]
    bounds = [against_envelope(one, rng) for one in many]
    names = {one.task.name: naming(one, rng, alone=False) for one in many}
    alone = {one.task.name: naming(one, rng, alone=True) for one in many}
    regret = mean_regrets([regrets(one, rng) for one in replays if is_probed_early(one)])
    shares = explained(replays, [one.fit.regime for one in places])
    seeds = [probe_seeds(one, rng) for one in replays if one.task.goal.kind != "loss"]
    if pictures is not None:
        namings = {task: of_task for task, (_, of_task) in names.items()}
        figure.draw(pictures / FIGURE, replays, places, forms, namings, regret)
    return {
        "summary": tables.summary(replays, places, forms, bounds, names, regret, shares, seeds),
        "risks": tables.risk_table(replays),
        "forms": tables.forms_table(replays, forms),
        "bound": tables.bound_table(bounds),
        "phase": tables.phase_table(replays, places),
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
    texts = measure([replay(task) for task in all_tasks()], options.write)
    for name, text in texts.items():
        print(f"{name}\n{text}\n")
        if options.write:
            write_table(options.write / PAGE, name, text)


if __name__ == "__main__":
    main()
