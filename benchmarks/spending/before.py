"""The pre-flight's rule, the callback's, and both, on the long runs whose probes were recorded.

Every rule is fitted, and every threshold set, without the run's data set. A pre-flight costs
`BUDGET` of the run, whatever it says; a run that it calls NO_GO costs no more than that. After it
the callback knows the untrained model's signals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.decisions.examples import Example, examples_of
from benchmarks.decisions.fitting import calibrated_without
from benchmarks.decisions.sources import knowing_none, long_runs, short_runs
from benchmarks.decisions.watching import read_looks, stops_by_parts
from benchmarks.forecasting.held_out import fold_of, held_out_forecaster
from benchmarks.preflight_decisions import FITTED_AT
from benchmarks.run_tables import Run, recordings
from benchmarks.spending.candidates import OWN, Candidate, candidate
from benchmarks.spending.measure import Measured, measured, run_method
from benchmarks.spending.methods import METHODS, RATES, packaged_threshold
from benchmarks.watched import stopped_by_packaged, watch
from hf_ftrisk.policy.parts.watching import LAST_SHARE
from hf_ftrisk.text import percent

BUDGET = 0.05
# Methods that need no other runs: of a data set there are one or two.
ALONE = ("callback, no history", "patience", "restart failed seeds")
PREFLIGHT, BOTH = "pre-flight", "pre-flight and callback"
_NO_SHARDS = Path("benchmarks/recordings/none")


@dataclass(frozen=True, eq=False)
class Before:
    """A long run with one of its goals.

    Args:
        row: the run as a watcher sees it.
        refused: rate -> whether the pre-flight calls it NO_GO.
        ended: rate -> share of the run at which the first fifth's looks end it, with the signals.
    """

    row: Candidate
    refused: Mapping[float, bool]
    ended: Mapping[float, float | None]


@cache
def judged_long_runs() -> tuple[Before, ...]:
    """Long runs by their goals, each judged without its data set."""
    at = {d: examples_of(list(long_runs(d, _NO_SHARDS)), knowing_none) for d in FITTED_AT}
    fitted = [
        *examples_of(list(short_runs()), knowing_none),
        *(e for depth in FITTED_AT for e in at[depth]),
    ]
    runs = {_key(run): run for run in recordings()}
    looks = read_looks()
    ended = stops_by_parts(looks, RATES)
    rules = calibrated_without(fitted, sorted({example.dataset for example in at[BUDGET]}))
    rows_before = []
    for dataset, rule in rules.items():
        mine = [e for e in at[BUDGET] if e.dataset == dataset and e.run_id in runs]
        for number, run_id in enumerate(dict.fromkeys(e.run_id for e in mine)):
            examples = [e for e in mine if e.run_id == run_id]
            rows = _watched(runs[run_id], number, examples)
            for example, row in zip(examples, rows, strict=True):
                prob = rule.prob_good(example.parts)
                run_goal = (run_id, example.target)
                rows_before.append(
                    Before(
                        row,
                        {rate: bool(prob < rule.no_go(rate)) for rate in RATES},
                        {rate: ended[rate].get(run_goal) for rate in RATES},
                    )
                )
    return tuple(rows_before)


def _key(run: Run) -> str:
    s = run.record.settings
    return f"{s['setting_id']}-s{run.record.seed}"


def _watched(run: Run, number: int, examples: Sequence[Example]) -> list[Candidate]:
    goals = [(example.target, example.goal) for example in examples]
    forecaster = held_out_forecaster("recordings", run.group)
    return [
        candidate(OWN, run.group, fold_of(f"own {run.group}"), number, run, example.goal, one)
        for example, one in zip(examples, watch(run, forecaster, goals), strict=True)
    ]


def on_long_runs() -> Mapping[str, Mapping[str, Measured]]:
    """Method -> setting -> what it came to on the long runs."""
    runs = judged_long_runs()
    rows = tuple(run.row for run in runs)
    by_method: dict[str, dict[str, Measured]] = {PREFLIGHT: {}, BOTH: {}}
    costs = np.full(len(rows), BUDGET)
    for rate in RATES:
        no_go = [0.0 if run.refused[rate] else None for run in runs]
        both = [_informed_callback(run, rate) if stop is None else stop
                for run, stop in zip(runs, no_go, strict=True)]  # fmt: skip
        by_method[PREFLIGHT][percent(rate)] = measured(rows, no_go, costs)
        by_method[BOTH][percent(rate)] = measured(rows, both, costs)
    for name in ALONE:
        settings = METHODS[name]
        by_method[name] = {k: measured(rows, run_method(rows, m)) for k, m in settings.items()}
    return by_method


def _informed_callback(run: Before, rate: float) -> float | None:
    """Where the callback ends a run whose signals it knows: by its parts, then by its forecast."""
    if run.ended[rate] is not None:
        return run.ended[rate]
    watched = run.row.watched
    late = np.where(watched.progress > LAST_SHARE, watched.scores, np.inf)
    return stopped_by_packaged(watched, late, packaged_threshold(run.row, rate))
