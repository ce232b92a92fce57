"""What the stopping rule saves and what it costs, on runs it was not calibrated on.

    python -m benchmarks.stopping scores --write      # packaged scores of all sources
    python -m benchmarks.stopping tables --write docs/evidence/policy.md

Kept: good runs that no look stopped. Stopped: poor runs that some look did. Saved: steps not run,
as a share of all planned steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.all_sources import held_out_table, write_scores
from benchmarks.bad_start import bad_start_table
from benchmarks.far_below import far_below_table
from benchmarks.forecasting.held_out import held_out_forecaster
from benchmarks.other_tasks import threshold_table, variant_table
from benchmarks.run_tables import Run, bert_seeds
from benchmarks.watched import Judged, Watched, share_of, stopped_at, watch, write_table
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.policy import StoppingRule
from hf_ftrisk.policy.calibration import conformal_threshold
from hf_ftrisk.policy.packaged import SCORES_FILE
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent

UNSTABLE = ("RTE adam-no-bias-correction", "STS-B adam-no-bias-correction")
SPLITS, WARM_SPLITS, CALIBRATION = 200, 20, 40


# --- rules: from calibration runs to the look at which a run is stopped --------------------------

Stop = Callable[[Watched], float | None]
Rule = Callable[[Sequence[Watched], float], Stop]


def ours(calibration: Sequence[Watched], rate: float) -> Stop:
    """The stopping rule: the score below the conformal threshold, over all looks."""
    scores = [float(run.scores.min(initial=1.0)) for run in calibration if run.good]
    threshold = conformal_threshold(scores, None, rate)
    return lambda run: stopped_at(run, run.scores, threshold)


def last_value(calibration: Sequence[Watched], rate: float) -> Stop:
    """Stopped at 30 % of the run when the last value lies below the same threshold of those."""

    def at_depth(run: Watched) -> float:
        values = run.last[run.progress <= 0.3]
        return float(values[-1]) if values.size and np.isfinite(values[-1]) else -np.inf

    scores = [at_depth(run) for run in calibration if run.good]
    threshold = conformal_threshold(scores, None, rate)
    return lambda run: 0.3 if threshold is not None and at_depth(run) < threshold else None


def patience(evaluations: int) -> Rule:
    """EarlyStoppingCallback's: stopped when the metric has not improved for some evaluations."""

    def rule(calibration: Sequence[Watched], rate: float) -> Stop:
        def stop(run: Watched) -> float | None:
            best, waited, previous = -np.inf, 0, np.nan
            for value, progress in zip(run.last, run.progress, strict=True):
                if np.isnan(value) or value == previous:
                    continue  # no new evaluation at this look
                previous = value
                waited = 0 if value > best else waited + 1
                best = max(best, value)
                if waited >= evaluations:
                    return float(progress)
            return None

        return stop

    return rule


def never(calibration: Sequence[Watched], rate: float) -> Stop:
    return lambda run: None


# --- seeds of one task ------------------------------------------------------------------------


def split_rows(cell: str, rates: Sequence[float]) -> list[str]:
    """Table rows of one cell: calibrated on 40 seeds, judged on the other 10, many splits."""
    runs = [run for run in bert_seeds() if run.group == cell]
    forecaster = held_out_forecaster("bert_seeds", cell)
    cold = [watch(run, forecaster, [("baseline", run.goal)])[0] for run in runs]
    rows = []
    for rate in rates:
        rows.append(_split_row(cell, "the rule, cold forecasts", ours, cold, rate))
    rows.append(_warm_row(cell, runs, 0.1))
    rows.append(_split_row(cell, "last value at 30 %", last_value, cold, 0.1))
    for evaluations in (2, 3):
        name = f"patience of {evaluations} evaluations"
        rows.append(_split_row(cell, name, patience(evaluations), cold, None))
    rows.append(_split_row(cell, "no stopping", never, cold, None))
    return rows


def _deals(n: int, splits: int) -> list[tuple[np.ndarray, np.ndarray]]:
    orders = [np.random.default_rng(seed).permutation(n) for seed in range(splits)]
    return [(order[:CALIBRATION], order[CALIBRATION:]) for order in orders]


def _split_row(
    cell: str, name: str, rule: Rule, runs: Sequence[Watched], rate: float | None
) -> str:
    results = []
    for calibration, new in _deals(len(runs), SPLITS):
        stop = rule([runs[i] for i in calibration], rate or 0.5)
        results.append([(runs[i].good, stop(runs[i])) for i in new])
    return _result_row(cell, name, rate, results)


def _warm_row(cell: str, runs: Sequence[Run], rate: float) -> str:
    """The rule as `default_rule` builds it: the forecaster knows the 40 runs, cross-fitted."""
    cold = held_out_forecaster("bert_seeds", cell)

    def warm(calibration: Sequence[RunRecord]) -> Forecaster:
        return cold.refit(calibration)

    results = []
    for calibration, new in _deals(len(runs), WARM_SPLITS):
        history = [runs[i].record for i in calibration]
        goal = runs[0].goal
        rule = StoppingRule.from_runs(history, goal, warm(history), rate, fit=warm)
        threshold = rule.threshold_score
        held_out = [watch(runs[i], rule.forecaster, [("", goal)])[0] for i in new]
        results.append([(run.good, stopped_at(run, run.scores, threshold)) for run in held_out])
    return _result_row(
        cell, f"the rule, forecasts from the 40 ({WARM_SPLITS} splits)", rate, results
    )


def _result_row(cell: str, name: str, rate: float | None, splits: Sequence[Judged]) -> str:
    kept = share_of([stop is None for split in splits for good, stop in split if good])
    stopped = share_of([stop is not None for split in splits for good, stop in split if not good])
    saved = np.array([np.mean([1 - s if s is not None else 0.0 for _, s in x]) for x in splits])
    low, high = np.quantile(saved, [0.1, 0.9])
    allowed = "-" if rate is None else f"{rate:g}"
    return (
        f"| {cell} | {name} | {allowed} | {percent(kept, '.1f')} | {percent(stopped, '.1f')} "
        f"| {percent(saved.mean(), '.1f')} "
        f"({percent(low)} to {percent(high)}) |"
    )


# --- command ----------------------------------------------------------------------------------


def split_table() -> str:
    head = [
        "| cell | rule | allowed | good runs kept | poor runs stopped "
        "| steps saved (80 % of splits) |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    return "\n".join(head + [row for c in UNSTABLE for row in split_rows(c, (0.05, 0.1, 0.2))])


TABLES = {
    "thresholds": threshold_table,
    "splits": split_table,
    "variants": variant_table,
    "held-out": held_out_table,
    "bad-start": bad_start_table,
    "far-below": far_below_table,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["scores", "tables"])
    parser.add_argument("--only", nargs="*", choices=sorted(TABLES), help="some of the tables")
    parser.add_argument(
        "--write",
        nargs="?",
        type=Path,
        const=SCORES_FILE,
        help="scores: the packaged file; tables: the page that has marks for them",
    )
    options = parser.parse_args()
    if options.what == "scores":
        write_scores(options.write or Path("stopping.json"))
        return
    for name, build in TABLES.items():
        if options.only and name not in options.only:
            continue
        table = build()
        print(f"{name}\n{table}\n", flush=True)
        if options.write:
            write_table(options.write, name, table)


if __name__ == "__main__":
    main()
