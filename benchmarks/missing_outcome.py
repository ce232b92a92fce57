"""Histories of one end only: does a forecast still see the other end coming?

    python -m benchmarks.missing_outcome --write docs/evidence/forecasting.md

Each packaged classifier run is forecast with other runs of its data set as its history: the poor
ones, the poor ones and three good ones, the good ones. In brackets what the same forecasts are
without the share that `hf_ftrisk.forecast.related.missing_outcome` leaves to the forecast without a
history.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.diagnoses import is_good
from benchmarks.forecasting.held_out import held_out_forecaster
from benchmarks.other_tasks import FAMILIES
from benchmarks.run_tables import Run, reference
from benchmarks.watched import write_table
from hf_ftrisk.goal import Goal
from hf_ftrisk.text import percent

DEPTHS = (0.1, 0.2, 0.3, 0.5)
SOME = 3
MIN_CHANCE = 0.005
USED = "hf_ftrisk.forecast.related.runs.missing_outcome"


@dataclass(frozen=True)
class Outcome:
    """One forecast and the outcome: good outcome, covered by the 90 % interval, P(good)."""

    good: bool
    covered: bool
    prob: float


Pick = Callable[[Run, list[Run], list[Run]], list[Run]]


def poor_only(run: Run, good: list[Run], poor: list[Run]) -> list[Run]:
    return poor


def poor_and_some(run: Run, good: list[Run], poor: list[Run]) -> list[Run]:
    order = np.random.default_rng(int(run.record.seed or 0)).permutation(len(good))
    return poor + [good[i] for i in order[:SOME].tolist()]


def good_only(run: Run, good: list[Run], poor: list[Run]) -> list[Run]:
    return good


HISTORIES: dict[str, Pick] = {
    "poor runs": poor_only,
    f"poor runs and {SOME} good ones": poor_and_some,
    "good runs": good_only,
}


def classifier_runs() -> list[Run]:
    """Packaged runs; all of one data set as of one task."""
    goal = Goal(FAMILIES["score"])
    runs = [replace(run, goal=goal) for run in reference() if goal.metric in run.record.evals]
    return [replace(run, record=replace(run.record, task=run.group)) for run in runs]


def outcomes(runs: Sequence[Run], pick: Pick) -> dict[float, list[Outcome]]:
    """Depth -> one outcome a run, each with a history that `pick` draws from its data set."""
    by_depth: dict[float, list[Outcome]] = {depth: [] for depth in DEPTHS}
    for group in sorted({run.group for run in runs}):
        forecaster = held_out_forecaster("reference", group)
        members = [run for run in runs if run.group == group]
        for run in members:
            others = [other for other in members if other is not run]
            good = [other for other in others if is_good(other)]
            poor = [other for other in others if not is_good(other)]
            informed = forecaster.refit([other.record for other in pick(run, good, poor)])
            for depth in DEPTHS:
                record = run.record.prefix(depth * run.record.max_steps + 1e-6)
                forecast = informed.predict(record, run.goal)
                low, high = forecast.interval(0.9)
                covered = low - 1e-9 <= run.outcome <= high + 1e-9
                prob = forecast.prob_meets(run.goal, run.record.baseline(run.goal))
                by_depth[depth].append(Outcome(bool(is_good(run)), covered, prob))
    return by_depth


def covered(outcomes: Sequence[Outcome], good: bool) -> float:
    return float(np.mean([one.covered for one in outcomes if one.good == good]))


def log_loss(outcomes: Sequence[Outcome]) -> float:
    chances = [one.prob if one.good else 1.0 - one.prob for one in outcomes]
    return -float(np.mean(np.log(np.clip(chances, MIN_CHANCE, 1.0))))


def table() -> str:
    runs = classifier_runs()
    lines = [
        "| known of the data set | depth | good runs, 90 % covers | poor runs, 90 % covers "
        "| log loss of P(good) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, pick in HISTORIES.items():
        used = outcomes(runs, pick)
        with patch(USED, lambda works, draws, *_, **__: (0.0, draws[:0])):
            without = outcomes(runs, pick)
        for depth in DEPTHS:
            pair = used[depth], without[depth]
            good, poor = ([percent(covered(x, end)) for x in pair] for end in (True, False))
            loss = [f"{log_loss(x):.2f}" for x in pair]
            cells = [f"{now} ({before})" for now, before in (good, poor, loss)]
            lines.append(f"| {name} | {percent(depth)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="the page that has marks for the table")
    options = parser.parse_args()
    text = table()
    print(text)
    if options.write:
        write_table(options.write, "missing-outcome", text)


if __name__ == "__main__":
    main()
