"""What a forecast without a history is worth on sources it was not fitted on.

    python -m benchmarks.forecast                  # printed
    python -m benchmarks.forecast --write docs/evidence/forecasting.md

Every run is forecast by the package's own code on models fitted without the fold of its source
(`forecasting.held_out`).
Error: absolute, logs for losses and capped at 1, fractions for the rest; as a share of the error of
the last value seen. Interval score of the 90 % interval (width plus 20 times what it is missed by)
as a share of that of a conformal band around the last value, which knows the same sources. Sources
weigh alike, within one runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.forecasting.held_out import fold_of, models_without
from benchmarks.forecasting.sources import UNFITTED, Completed, completed, unfitted
from benchmarks.watched import write_table
from hf_ftrisk.forecast.conformal import conformal_quantile
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.forecast.scale import Scale

DEPTHS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8)
MIN_EVALUATIONS = 5
MAX_RUNS, MAX_METRICS = 25, 2  # of a source, and of a run
LEVEL = 0.9
TITLES = {
    "public loss": "public runs, losses",
    "public score": "public runs, scores",
    "public error": "public runs, error rates",
    "recordings score": "own long recordings, scores",
    "recordings loss": "own long recordings, losses",
    "kinds score": "own recordings of other tasks, scores",
    "kinds loss": "own recordings of other tasks, losses",
    "reference score": "own short runs, scores",
    "reference loss": "own short runs, losses",
    "plm score": "protein models, scores",
    "plm loss": "protein models, losses",
    "bert_seeds score": "BERT-large seeds, scores",
    "bert_seeds loss": "BERT-large seeds, losses",
    "peft_metamath score": "Llama-3.2-3B by PEFT method, scores",
    "mlperf loss": "Llama-2-70B of MLPerf, losses",
    "rectified_law loss": "scaling law of FLAN, losses",
}


@dataclass(frozen=True)
class Judged:
    """One forecast, held against how the run ended; fractions, or logs for losses.

    Args:
        group: table and family of the metric.
        source: source of the run.
        run: the run.
        depth: share of the planned steps that was seen.
        last: the last value seen.
        point: the forecast.
        low: lower end of the 90 % interval.
        high: its upper end.
        end: the run's last value.
    """

    group: str
    source: str
    run: str
    depth: float
    last: float
    point: float
    low: float
    high: float
    end: float


def judged() -> list[Judged]:
    """All forecasts."""
    return [row for run in picked() for row in _of_run(run)]


def picked() -> list[Completed]:
    """At most `MAX_RUNS` runs of a source, with as many evaluations as the kept-back ones have.

    Those that no forecast is fitted on stand beside them, by data set as well.
    """
    runs: dict[tuple[bool, str], list[Completed]] = {}
    for fitted, of_all in ((True, completed()), (False, unfitted())):
        for run in of_all:
            values = run.record.finite(run.goal.metric)[1]
            if values.size >= MIN_EVALUATIONS:
                runs.setdefault((fitted, run.source), []).append(run)
    chosen: list[Completed] = []
    for of_source in runs.values():
        names = list(dict.fromkeys(run.run for run in of_source))
        kept = np.unique(np.linspace(0, len(names) - 1, min(MAX_RUNS, len(names))).round())
        for name in (names[int(i)] for i in kept):
            chosen += [run for run in of_source if run.run == name][:MAX_METRICS]
    return chosen


def _of_run(run: Completed) -> Iterator[Judged]:
    goal, _ = run.record.goal_scale(run.goal)
    steps, values = run.record.finite(goal.metric)
    scale = Scale.of(goal, values)
    if scale.shape == "real" or steps[-1] < 0.85 * run.record.max_steps:
        return
    family = {"loss": "loss", "error": "error"}.get(scale.shape, "score")
    forecaster = Forecaster(models=models_without(fold_of(run.source)))

    def unit(value: float) -> float:
        return float(np.log(max(value, 1e-6))) if family == "loss" else value / scale.unit

    for depth in DEPTHS:
        prefix = run.record.prefix(depth * run.record.max_steps + 1e-6)
        known = prefix.finite(goal.metric)[1]
        if not 0 < known.size < values.size:
            continue
        forecast = forecaster.predict(prefix, run.goal)
        numbers = [known[-1], forecast.point, *forecast.interval(LEVEL), values[-1]]
        yield Judged(
            f"{run.table} {family}", run.source, run.run, depth, *(unit(float(x)) for x in numbers)
        )


def alike(rows: Sequence[Judged], values: Sequence[float]) -> float:
    """Mean over sources of the means over their runs."""
    of_run: dict[tuple[str, str], list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        of_run.setdefault((row.source, row.run), []).append(value)
    of_source: dict[str, list[float]] = {}
    for (source, _), values_of_run in of_run.items():
        of_source.setdefault(source, []).append(float(np.mean(values_of_run)))
    return float(np.mean([np.mean(values_of_run) for values_of_run in of_source.values()]))


def capped(error: float) -> float:
    return min(abs(error), 1.0)


def interval_score(low: float, high: float, end: float) -> float:
    missed = max(low - end, end - high, 0.0)
    return high - low + 2.0 / (1.0 - LEVEL) * missed


def band_scores(rows: Sequence[Judged], everything: Sequence[Judged]) -> list[float]:
    """Interval scores of the conformal band around the last value, from sources of other folds."""
    reach: dict[str, float] = {}
    for fold in {fold_of(row.source) for row in rows}:
        others = [o for o in everything if fold_of(o.source) != fold]
        moves = [abs(o.end - o.last) for o in others]
        reach[fold] = conformal_quantile(moves, LEVEL, [o.source for o in others])
    scores = []
    for row in rows:
        wide = reach[fold_of(row.source)]
        scores.append(interval_score(row.last - wide, row.last + wide, row.end))
    return scores


@dataclass(frozen=True)
class Row:
    """Figures of one group at each depth of `DEPTHS`; NaN where it has no run."""

    group: str
    sources: int
    error: list[float]
    covered: list[float]
    score: list[float]


def row_of(group: str, rows: Sequence[Judged]) -> Row:
    error, covered, score = [], [], []
    family = group.rpartition(" ")[2]
    fitted = [r for r in rows if r.group.partition(" ")[0] != UNFITTED]
    alike_metrics = [r for r in fitted if r.group.rpartition(" ")[2] == family]
    for depth in DEPTHS:
        here = [r for r in rows if r.group == group and r.depth == depth]
        if not here:
            error, covered, score = [*error, np.nan], [*covered, np.nan], [*score, np.nan]
            continue
        last = alike(here, [capped(r.last - r.end) for r in here])
        error.append(alike(here, [capped(r.point - r.end) for r in here]) / max(last, 1e-9))
        inside = [float(r.low - 1e-9 <= r.end <= r.high + 1e-9) for r in here]
        covered.append(alike(here, inside))
        ours = alike(here, [interval_score(r.low, r.high, r.end) for r in here])
        at_depth = [r for r in alike_metrics if r.depth == depth]
        band = alike(here, band_scores(here, at_depth))
        score.append(ours / band if np.isfinite(band) else np.nan)
    sources = len({r.source for r in rows if r.group == group})
    return Row(group, sources, error, covered, score)


def table_text(rows: Sequence[Judged]) -> str:
    """One row a group of runs, the worst first."""
    table = [row_of(group, rows) for group in sorted({r.group for r in rows})]
    table.sort(key=lambda row: -float(np.nanmean(row.error)))
    depths = " / ".join(f"{100 * d:.0f}" for d in DEPTHS)
    lines = [
        f"| runs | sources | error, share of the last value's, at {depths} % of the run "
        "| 90 % intervals hold, % | interval score, share of the band's |",
        "| --- | ---: | --- | --- | --- |",
    ]
    for row in table:
        lines.append(
            f"| {TITLES.get(row.group, row.group)} | {row.sources} | {_shown(row.error, '.2f')} "
            f"| {_shown([100 * c for c in row.covered], '.0f')} | {_shown(row.score, '.2f')} |"
        )
    return "\n".join(lines)


def _shown(values: Sequence[float], form: str) -> str:
    return " / ".join("-" if np.isnan(v) else format(v, form) for v in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="Markdown file to put the table into")
    options = parser.parse_args()
    table = table_text(judged())
    if options.write:
        write_table(options.write, "forecast", table)
    else:
        print(table)


if __name__ == "__main__":
    main()
