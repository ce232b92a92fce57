"""Packaged thresholds where the history is a search that began badly: poor runs only.

Behind `python -m benchmarks.stopping`: one table. A good packaged run is judged with all poor runs
of its data set known, by the threshold of the other data sets.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.diagnoses import is_good
from benchmarks.forecasting.held_out import held_out_forecaster
from benchmarks.other_tasks import FAMILIES, calibrating, half_rate, watch_reference
from benchmarks.run_tables import Run, reference
from benchmarks.watched import Watched, measures, stopped_by_packaged, watch
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent

RATES = (0.05, 0.1)
COPIES = (1, 5)


def poor_runs(run: Run, runs: list[Run], copies: int) -> tuple[RunRecord, ...]:
    """The poor runs of a run's data set as a history of its task, each so many times."""
    return tuple(
        replace(other.record, task=run.record.task, seed=1000 * copy + number)
        for copy in range(copies)
        for number, other in enumerate(runs)
        if other.group == run.group and not is_good(other)
    )


def watched_with(run: Run, history: tuple[RunRecord, ...]) -> Watched:
    forecaster = held_out_forecaster("reference", run.group).refit(history)
    return watch(run, forecaster, [("baseline", run.goal)])[0]


def bad_start_table() -> str:
    goal = Goal(FAMILIES["score"])
    runs = [replace(r, goal=goal) for r in reference() if goal.metric in r.record.evals]
    calibration = [w for w in calibrating(watch_reference(goal.metric)) if w.judged == "baseline"]
    good = [run for run in runs if is_good(run)]
    lines = [
        "| known | forecast that is judged | good runs kept at 0.05 | at 0.1 |",
        "| --- | --- | ---: | ---: |",
    ]
    cases = [("poor runs of the data set", n) for n in COPIES]
    for name, copies in [("nothing", 0), *cases]:
        watched = [watched_with(run, poor_runs(run, runs, copies)) for run in good]
        cells = [percent(_kept(watched, calibration, rate), ".1f") for rate in RATES]
        times = f", {copies} times" if copies > 1 else ""
        forecast = "with them" if copies else "without a history (used)"
        lines.append(f"| {name}{times} | {forecast} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _kept(watched: list[Watched], calibration: list[Watched], rate: float) -> float:
    results = []
    for run in watched:
        others = [other for other in calibration if other.group != run.group]
        scores = [float(other.scores.min(initial=1.0)) for other in others]
        threshold = half_rate(scores, [other.group for other in others], rate)
        results.append((run.good, stopped_by_packaged(run, run.scores, threshold)))
    return measures(results)[0]
