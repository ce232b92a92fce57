"""The pre-flight's rule, the callback's, and both, on the long runs whose probes were recorded.

Every rule is fitted, and every threshold set, without the run's data set. A pre-flight costs
`BUDGET` of the run, whatever it says; a run that it calls NO_GO costs no more than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.decisions.examples import Example, examples_of
from benchmarks.decisions.fitting import calibrated
from benchmarks.decisions.sources import knowing_none, long_runs, short_runs
from benchmarks.forecasting.held_out import held_out_forecaster
from benchmarks.preflight_decisions import FITTED_AT
from benchmarks.run_tables import Run, recordings
from benchmarks.spending.candidates import OWN, Candidate, candidate
from benchmarks.spending.measure import Measured, measured, run_method
from benchmarks.spending.methods import METHODS, RATES, packaged_threshold
from benchmarks.watched import stopped_by_packaged, watch

BUDGET = 0.05
# Methods that need no other runs: of a data set there are one or two.
ALONE = ("callback, no history", "patience", "restart failed seeds")
PREFLIGHT, BOTH = "pre-flight", "pre-flight and callback"
_NO_SHARDS = Path("benchmarks/recordings/none")


@cache
def judged_long_runs() -> tuple[tuple[Candidate, ...], tuple[dict[float, bool], ...]]:
    """Long runs by their goals, and of each the rates at which the pre-flight calls it NO_GO."""
    at = {d: examples_of(list(long_runs(d, _NO_SHARDS)), knowing_none) for d in FITTED_AT}
    fitted = [
        *examples_of(list(short_runs()), knowing_none),
        *(e for depth in FITTED_AT for e in at[depth]),
    ]
    runs = {_key(run): run for run in recordings()}
    rows: list[Candidate] = []
    refused: list[dict[float, bool]] = []
    for dataset in sorted({example.dataset for example in at[BUDGET]}):
        rule = calibrated([example for example in fitted if example.dataset != dataset])
        mine = [e for e in at[BUDGET] if e.dataset == dataset and e.run_id in runs]
        for number, run_id in enumerate(dict.fromkeys(e.run_id for e in mine)):
            examples = [e for e in mine if e.run_id == run_id]
            rows += _watched(runs[run_id], number, examples)
            for example in examples:
                prob = rule.prob_good(example.parts)
                refused.append({rate: bool(prob < rule.no_go(rate)) for rate in RATES})
    return tuple(rows), tuple(refused)


def _key(run: Run) -> str:
    s = run.record.settings
    return f"{s['setting_id']}-s{run.record.seed}"


def _watched(run: Run, number: int, examples: Sequence[Example]) -> list[Candidate]:
    goals = [(example.target, example.goal) for example in examples]
    forecaster = held_out_forecaster("recordings", run.group)
    return [
        candidate(OWN, run.group, number, run, example.goal, one)
        for example, one in zip(examples, watch(run, forecaster, goals), strict=True)
    ]


def on_long_runs() -> Mapping[str, Mapping[str, Measured]]:
    """Method -> setting -> what it came to on the long runs."""
    rows, refused = judged_long_runs()
    found: dict[str, dict[str, Measured]] = {PREFLIGHT: {}, BOTH: {}}
    costs = np.full(len(rows), BUDGET)
    for rate in RATES:
        no_go = [0.0 if one[rate] else None for one in refused]
        found[PREFLIGHT][f"{rate:.0%}"] = measured(rows, no_go, costs)
        both = [
            _callback(row, rate) if stop is None else stop
            for row, stop in zip(rows, no_go, strict=True)
        ]
        found[BOTH][f"{rate:.0%}"] = measured(rows, both, costs)
    for name in ALONE:
        settings = METHODS[name]
        found[name] = {k: measured(rows, run_method(rows, m)) for k, m in settings.items()}
    return found


def _callback(row: Candidate, rate: float) -> float | None:
    return stopped_by_packaged(row.watched, row.watched.scores, packaged_threshold(row, rate))
