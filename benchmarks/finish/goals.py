"""Runs ended by ``finish="goal"`` in hindsight: how often the rest of them kept the target.

    python -m benchmarks.finish.goals --write docs/evidence/finishing.md

Targets lie at three shares of the way from a run's first evaluation to its best. A run is ended at
the first evaluation that meets the target and whose forecast, by models fitted without the run's
source, keeps it. Sources weigh by their runs, at most `MAX_RUNS` of each.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.finish.cases import REAL, Case, cases
from benchmarks.forecasting.held_out import fold_of, forecaster_without
from benchmarks.watched import write_table
from hf_ftrisk.forecast.gain import evaluations
from hf_ftrisk.text import percent
from hf_ftrisk.watch.finishing import KEEPS_TARGET, Finisher

SHARES = (0.5, 0.8, 0.95)
MAX_RUNS = 25
TITLES = {
    "public": "public runs",
    "plm": "protein models",
    "bert_seeds": "BERT-large, RTE and STS-B",
    "recordings": "own long recordings",
}


@dataclass(frozen=True)
class Ended:
    """One run with one target.

    Args:
        group: table and family of the metric.
        share: of the way from the first evaluation to the best at which the target lies.
        met: share of the run at which the target was first met.
        ended: share at which the run is ended; None: it goes to its end.
        kept: whether its last evaluation met the target.
    """

    group: str
    share: float
    met: float
    ended: float | None
    kept: bool


def ended_runs(every: Sequence[Case]) -> Iterator[Ended]:
    """Every run with every target that it meets."""
    count: dict[tuple[str, str], int] = {}
    for case in every:
        key = (case.source, case.family)
        if case.extra or case.family == "train_loss" or case.table not in REAL:
            continue
        count[key] = count.get(key, 0) + 1
        if count[key] <= MAX_RUNS:
            yield from _of_case(case)


def _of_case(case: Case) -> Iterator[Ended]:
    steps, values = evaluations(case.record, case.goal)
    best = values.max() if case.goal.greater_is_better else values.min()
    forecaster = forecaster_without(fold_of(case.source))
    prefixes = [case.record.prefix(step) for step in steps.tolist()]
    forecasts = [forecaster.predict(part, case.goal) for part in prefixes]
    for share in SHARES:
        goal = replace(case.goal, target=float(values[0] + share * (best - values[0])))
        meets = [goal.meets(float(value)) for value in values]
        finisher = Finisher(goal, "goal")
        for part, forecast in zip(prefixes[:-1], forecasts[:-1], strict=True):
            finisher.look(part, forecast)
        announced, last = finisher.announced, case.record.max_steps
        yield Ended(
            f"{TITLES[case.table]}, {'losses' if case.family == 'loss' else 'scores'}",
            share,
            float(steps[meets.index(True)] / last),
            None if announced is None else announced.step / last,
            meets[-1],
        )


def table(rows: Sequence[Ended]) -> str:
    """One row a group and target, where the rest lost the target most often first."""
    lines = [
        "| runs | target, share of the way to the best | number | ended "
        f"| of these the rest keeps the target (claimed: {percent(KEEPS_TARGET)}) "
        "| of all, last evaluation meets it | steps saved | steps after it was first met |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows_by_share = []
    for group, share in sorted({(row.group, row.share) for row in rows}):
        here = [row for row in rows if (row.group, row.share) == (group, share)]
        ended = [row for row in here if row.ended is not None]
        kept = float(np.mean([row.kept for row in ended])) if ended else np.nan
        saved = np.mean([1.0 - (1.0 if row.ended is None else row.ended) for row in here])
        after = np.mean([1.0 - row.met for row in here])
        cells = [f"{len(here)}", percent(len(ended) / len(here))]
        cells += ["-" if np.isnan(kept) else percent(kept)]
        cells += [
            percent(np.mean([row.kept for row in here])),
            percent(saved),
            percent(after),
        ]
        rows_by_share.append((2.0 if np.isnan(kept) else kept, [group, percent(share), *cells]))
    rows_by_share.sort(key=lambda row: row[0])
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for _, cells in rows_by_share)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    options = parser.parse_args()
    text = table(list(ended_runs(cases())))
    print(text)
    if options.write is not None:
        write_table(options.write, "goals", text)


if __name__ == "__main__":
    main()
