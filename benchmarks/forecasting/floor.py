"""What forecasts are worth of scores that still stand where untrained models do.

    python -m benchmarks.forecasting.floor                 # printed
    python -m benchmarks.forecasting.floor --write docs/evidence/forecasting-choices.md

Of each source evaluations of such runs, `PER_SOURCE` in each part of the run, by models that know
none of its fold. Beside them, with a share of draws from the forecast before any evaluation.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.forecasting.held_out import (
    fit_without,
    fold_of,
    forecaster_without,
    models_without,
)
from benchmarks.forecasting.sources import UNFITTED, Completed, completed, unfitted
from benchmarks.in_parallel import in_parallel
from benchmarks.watched import write_table
from hf_ftrisk.forecast.cold import UNKNOWN_SHARE, cold_values, mixed, stands_at
from hf_ftrisk.forecast.features import run_state
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent

SHARES = (0.0, UNKNOWN_SHARE, 0.2, 1 / 3, 0.5)
PARTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
PER_SOURCE, SAMPLES, MISSED = 8, 1000, 20.0
TITLES = {
    "floor": "near 0",
    "trivial": "beside the trivial predictor",
}
UNFITTED_TITLE = "the same, of other tasks"


@dataclass(frozen=True, eq=False)
class AtStart:
    """A run up to an evaluation that is no farther than untrained models.

    Args:
        title: where it stands, and of which runs it is.
        source: of the run.
        prefix: the run up to there.
        goal: what is forecast, on the scale of its values.
        outcome: how it ended, on that scale.
    """

    title: str
    source: str
    prefix: RunRecord
    goal: Goal
    outcome: float

    @property
    def part(self) -> int:
        return int(np.searchsorted(PARTS, self.prefix.progress, side="right")) - 1


def _of_run(run: Completed) -> Iterator[AtStart]:
    goal, _ = run.record.goal_scale(run.goal)
    steps, values = run.record.finite(goal.metric)
    for step in steps[:-1].tolist():
        prefix = run.record.prefix(step + 1e-6)
        state = run_state(prefix, goal)
        where = None if state is None else stands_at(state, prefix, goal)
        if where is None:
            return
        title = UNFITTED_TITLE if run.table == UNFITTED else TITLES[where]
        yield AtStart(title, run.source, prefix, goal, float(values[-1]))


@cache
def cases() -> tuple[AtStart, ...]:
    """At most `PER_SOURCE` of each source in each part of the run, drawn with a fixed seed."""
    every: dict[tuple[str, str, int], list[AtStart]] = defaultdict(list)
    for run in [*completed(), *unfitted()]:
        for case in _of_run(run):
            every[case.title, case.source, case.part].append(case)
    rng = np.random.default_rng(0)
    return tuple(
        of_part[i]
        for of_part in every.values()
        for i in rng.permutation(len(of_part))[:PER_SOURCE].tolist()
    )


def _measured(number: int) -> list[list[float]]:
    """For each share: whether the 90 % interval holds, its score, the median's error."""
    case = cases()[number]
    fold, goal = fold_of(case.source), case.goal
    state = run_state(case.prefix, goal)
    assert state is not None
    model = models_without(fold)["score"]
    seen = cold_values(state, case.prefix, goal, model, SAMPLES)
    bare = replace(case.prefix, eval_step=np.empty(0), evals={})
    before = forecaster_without(fold).predict(bare, goal).samples
    return [_worth(mixed(seen, before, share), case) for share in SHARES]


def _worth(draws: np.ndarray, case: AtStart) -> list[float]:
    low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95]) / case.goal.unit
    outcome = case.outcome / case.goal.unit
    miss = max(0.0, low - outcome, outcome - high)
    return [float(miss <= 1e-9), high - low + MISSED * miss, abs(middle - outcome)]


def table() -> str:
    """Rows of each kind of start and part of the run; in each cell what a share comes to."""
    folds = sorted({fold_of(case.source) for case in cases()})
    fit_without(folds)
    found = in_parallel(_measured, range(len(cases())))
    by_row: dict[tuple[str, int], dict[str, list[list[list[float]]]]] = {}
    for case, measured in zip(cases(), found, strict=True):
        of_row = by_row.setdefault((case.title, case.part), defaultdict(list))
        of_row[case.source].append(measured)
    order = [*TITLES.values(), UNFITTED_TITLE]
    head = " | ".join(percent(share) for share in SHARES)
    lines = [
        f"| scores | part of the run | sources | {head} |",
        "| --- | --- | ---: |" + " --- |" * len(SHARES),
    ]
    for title, part in sorted(by_row, key=lambda row: (order.index(row[0]), row[1])):
        by_source = by_row[title, part]
        means = np.mean([np.mean(np.array(runs), axis=0) for runs in by_source.values()], axis=0)
        cells = [f"{percent(holds)}, {score:.2f}, {error:.3f}" for holds, score, error in means]
        between = f"{100 * PARTS[part]:g} to {100 * PARTS[part + 1]:g} %"
        lines.append(f"| {title} | {between} | {len(by_source)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", type=Path, help="page with marks for the table")
    options = parser.parse_args()
    text = table()
    print(text)
    if options.write:
        write_table(options.write, "not-moved", text)


if __name__ == "__main__":
    main()
