"""The rule without a history, calibrated on completed runs of all sources, each held out in turn.

Behind `python -m benchmarks.stopping`: the packaged scores, and the table of what they keep and
stop. A run is judged by its trivial baseline, where one is known, and by targets that its own
outcome meets or misses by a margin: the closer, the harder to tell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.forecasting.held_out import (
    all_runs,
    fit_without,
    fold_of,
    forecaster_without,
)
from benchmarks.forecasting.sources import Completed
from benchmarks.in_parallel import in_parallel
from benchmarks.other_tasks import (
    FAMILIES,
    check_values,
    packaged_scores,
    short_run_names,
)
from benchmarks.run_tables import Run
from benchmarks.watched import Judged, Watched, measures, stopped_by_packaged, watch
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.calibration import conformal_threshold
from hf_ftrisk.policy.packaged import family
from hf_ftrisk.text import percent

# Distance of a target from the outcome: of a share or correlation, or as a share of a loss.
MARGINS = (0.0, 0.01, 0.03, 0.1)
# Targets that are missed or met by more than this are easy, and make no threshold.
HARD = 0.03
RATES = (0.05, 0.1)
EARLY = 0.2
# Runs of one source say nearly the same.
MAX_RUNS = 15
_FEWEST_EVALUATIONS = 4
TABLES = {
    "recordings": "own long recordings",
    "reference": "own short runs",
    "public": "public runs",
    "plm": "protein models",
    "bert_seeds": "BERT-large seeds",
    "peft_metamath": "Llama-3.2-3B by PEFT method",
    "mlperf": "Llama-2-70B of MLPerf",
    "rectified_law": "scaling law of FLAN",
}


def margin_name(margin: float) -> str:
    """How goals are named whose target lies this far from the outcome."""
    return f"target, by {margin:g}"


def is_hard(run: Watched) -> bool:
    """Whether a run's goal is one that thresholds are made of."""
    return run.judged in ("baseline", *(margin_name(m) for m in MARGINS if m <= HARD))


@cache
def watched_sources(name: str) -> tuple[Watched, ...]:
    """Runs of all sources by all their goals, each forecast by a forecaster without its fold.

    Args:
        name: family of the metric, ``"score"`` or ``"loss"``.
    """
    runs = _runs_of(name)
    fit_without(fold_of(run.source) for run in runs)
    places = [(name, i) for i in range(len(runs))]
    return tuple(one for of_run in in_parallel(_watched_at, places) for one in of_run)


@cache
def _runs_of(name: str) -> Sequence[Completed]:
    """The runs of a family, those forecast by one forecaster together."""
    runs = [run for run in _thinned(all_runs()) if family(run.goal.kind) == name]
    return sorted(runs, key=lambda run: fold_of(run.source))


def _watched_at(place: tuple[str, int]) -> list[Watched]:
    """One run, given its family and its number in it."""
    return _watched(_runs_of(place[0])[place[1]])


def _thinned(runs: Iterable[Completed]) -> list[Completed]:
    """At most `MAX_RUNS` runs of a source, evenly spread over it, that can be judged."""
    of_source: dict[str, list[Completed]] = {}
    for run in runs:
        evaluations = run.record.trained(run.goal.metric)[0].size
        if run.goal.kind != "real" and evaluations >= _FEWEST_EVALUATIONS:
            of_source.setdefault(run.source, []).append(run)
    kept: list[Completed] = []
    for alike in of_source.values():
        names = list(dict.fromkeys(run.run for run in alike))
        places = np.linspace(0, len(names) - 1, min(MAX_RUNS, len(names))).round().astype(int)
        chosen = {names[place] for place in places}
        kept += [run for run in alike if run.run in chosen]
    return kept


def _watched(run: Completed) -> list[Watched]:
    goal, _ = run.record.goal_scale(run.goal)
    plain = Run(run.source, run.record, goal)
    if goal.kind == "real" or not np.isfinite(plain.outcome):
        return []
    goals = [] if run.record.baseline(goal) is None else [("baseline", goal)]
    goals += [(margin_name(abs(by)), with_target(goal, plain.outcome, by)) for by in _signed()]
    goals = [(name, one) for name, one in goals if one is not None]
    forecaster = forecaster_without(fold_of(run.source))
    return [replace(one, table=run.table) for one in watch(plain, forecaster, goals)]


def _signed() -> list[float]:
    return [*MARGINS, *(-margin for margin in MARGINS if margin > 0.0)]


def with_target(goal: Goal, outcome: float, by: float) -> Goal | None:
    """The goal with a target that an outcome meets by a margin, or misses where that is below 0.

    None where no value of the metric could meet it, or all do.
    """
    better = 1.0 if goal.greater_is_better else -1.0
    size = abs(outcome) if goal.kind == "loss" else goal.unit
    target = outcome - better * by * size
    low, high = goal.bounds
    return goal.with_target(target) if low < target < high else None


# --- thresholds ----------------------------------------------------------------------------------


def _alike(name: str, fold: str, targets: bool) -> list[Watched]:
    return [
        run
        for run in watched_sources(name)
        if is_hard(run) and (run.judged != "baseline") == targets and fold_of(run.group) != fold
    ]


@cache
def threshold_without(name: str, fold: str, targets: bool, rate: float) -> float | None:
    """Score below which the rule that knows no source of a fold ends a run; None: it ends none.

    Args:
        name: family of the metric.
        fold: `fold_of` the sources that are left out.
        targets: whether goals have a target.
        rate: allowed share of good runs stopped.
    """
    scores = packaged_scores(_alike(name, fold, targets))
    caution = scores.caution(rate) if scores.scores else None
    return conformal_threshold(scores.scores, None, rate / caution) if caution else None


def stop_of(run: Watched, name: str, rate: float) -> float | None:
    """Share of the run at which the rule that knows nothing of its fold ends it."""
    threshold = threshold_without(name, fold_of(run.group), run.judged != "baseline", rate)
    return stopped_by_packaged(run, run.scores, threshold)


def write_scores(file: Path) -> None:
    """The packaged scores; sources of other people by number."""
    families = {}
    for name, metric in FAMILIES.items():
        runs = [run for run in watched_sources(name) if is_hard(run)]
        scores = packaged_scores(runs)
        families[name] = {
            "metric": metric,
            "runs": scores.runs,
            "scores": list(scores.scores),
            "groups": _numbered(scores.groups),
            "judged": list(scores.judged),
            "check": check_values(metric, short_run_names(metric)),
        }
    content = {"made_by": "python -m benchmarks.stopping scores --write", "families": families}
    file.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _numbered(groups: Sequence[str]) -> list[str]:
    own = "own "
    others = sorted({group for group in groups if not group.startswith(own)})
    return [
        group.removeprefix(own) if group.startswith(own) else f"source {others.index(group) + 1}"
        for group in groups
    ]


# --- table ---------------------------------------------------------------------------------------


def held_out_table() -> str:
    """Good runs kept and poor ones stopped, by where runs come from; those kept least first."""
    rows: list[tuple[float, str]] = []
    for name in FAMILIES:
        runs = watched_sources(name)
        for table in ("", *TABLES):
            of_table = [run for run in runs if table in ("", run.table)]
            for judged in ("baseline", *map(margin_name, MARGINS)):
                alike = [run for run in of_table if run.judged == judged]
                rows += [_row(name, table, judged, alike, rate) for rate in RATES if alike]
    head = [
        "| runs | metric | judged by | allowed | sources | good | kept | poor | stopped | by 20 % "
        "| steps saved |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    return "\n".join(head + [row for _, row in sorted(rows, key=lambda pair: pair[0])])


def _row(
    name: str, table: str, judged: str, runs: Sequence[Watched], rate: float
) -> tuple[float, str]:
    """Share of the good runs kept less the allowed one, and the line; sources weigh alike."""
    by_source: dict[str, Judged] = {}
    for run in runs:
        by_source.setdefault(run.group, []).append((run.good, stop_of(run, name, rate)))
    results = list(by_source.values())
    kept = _mean(results, lambda rows: measures(rows)[0])
    stopped = _mean(results, lambda rows: measures(rows)[1])
    early = _mean(results, lambda rows: measures([(good, _until(at)) for good, at in rows])[1])
    saved = _mean(results, lambda rows: measures(rows)[2])
    good = sum(run.good for run in runs)
    cells = [
        TABLES.get(table, "all sources"),
        {"score": "scores", "loss": "losses"}[name],
        "trivial baseline" if judged == "baseline" else judged,
        f"{rate:g}",
        str(len(results)),
        str(good),
        _percent(kept),
        str(len(runs) - good),
        _percent(stopped),
        _percent(early),
        _percent(saved),
    ]
    missed = kept - (1.0 - rate) if np.isfinite(kept) else 1.0
    return missed, f"| {' | '.join(cells)} |"


def _until(at: float | None) -> float | None:
    return at if at is not None and at <= EARLY else None


def _mean(results: Sequence[Judged], of: Callable[[Judged], float]) -> float:
    values = np.array([of(rows) for rows in results])
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _percent(share: float) -> str:
    return percent(share, ".1f") if np.isfinite(share) else "-"
