"""The thresholds of the packaged runs, held against runs of other people.

Behind `python -m benchmarks.stopping`: one table. Runs that know no trivial baseline are judged by
their first evaluation instead; single runs by targets that their own end just meets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from benchmarks.forecasting.held_out import held_out_forecaster
from benchmarks.forecasting.prefixes import all_tables
from benchmarks.other_tasks import FAMILIES, packaged_scores, watch_reference
from benchmarks.run_tables import Run
from benchmarks.watched import measures, stopped_by_packaged, watch
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.packaged import family, pooled_threshold

RATES = (0.05, 0.1)
MAX_RUNS = 300
# The rule does not stop by these, because of this very table.
NOT_USED = "an eval_loss target (not used)"

Judge = Callable[[Run, Sequence[Run]], Run | None]


def by_baseline(run: Run, runs: Sequence[Run]) -> Run:
    return run


def by_first_value(run: Run, runs: Sequence[Run]) -> Run:
    """The first evaluation in place of a trivial baseline."""
    _, values = run.record.finite(run.goal.metric)
    baselines = {**run.record.baselines, run.goal.metric: float(values[0])}
    return replace(run, record=replace(run.record, baselines=baselines))


def by_share(share: float) -> Judge:
    """A target that this share of the runs of its task reaches."""

    def judged(run: Run, runs: Sequence[Run]) -> Run:
        ends = [other.outcome for other in runs if other.record.task == run.record.task]
        level = 1.0 - share if run.goal.greater_is_better else share
        return replace(run, goal=run.goal.with_target(float(np.quantile(ends, level))))

    return judged


def by_own_end(easier: float) -> Judge:
    """A target that the run's own end meets: just so, or by this margin, for losses its share."""

    def judged(run: Run, runs: Sequence[Run]) -> Run | None:
        if run.goal.kind == "loss":
            return replace(run, goal=run.goal.with_target(run.outcome * (1.0 + easier)))
        if run.goal.kind != "rate":
            return None
        return replace(run, goal=run.goal.with_target(max(run.outcome - easier, 0.0)))

    return judged


@dataclass(frozen=True)
class Case:
    """Runs of one table, judged in one way.

    Args:
        name: of the runs; that of a group means this group alone.
        table: their table; the forecaster is fitted without it.
        goals: how they are judged, in words.
        judge: gives a run its goal; None leaves it out.
    """

    name: str
    table: str
    goals: str
    judge: Judge

    def runs(self) -> list[Run]:
        table = _tables()[self.table]
        return [run for run in table if run.group == self.name] or table


@cache
def _tables() -> dict[str, list[Run]]:
    return all_tables()


CELLS = tuple(
    f"{task} {recipe}"
    for task in ("RTE", "STS-B")
    for recipe in ("adam-no-bias-correction", "adamw", "adamw-reinit")
)
CASES = (
    *(Case(cell, "bert_seeds", "baseline", by_baseline) for cell in CELLS),
    Case("BERT-large, all", "bert_seeds", "half reach it", by_share(0.5)),
    Case("BERT-large, all", "bert_seeds", "a quarter reach it", by_share(0.25)),
    Case("llama-3.2-3b", "peft_metamath", "baseline", by_baseline),
    Case("llama-3.2-3b", "peft_metamath", "half reach it", by_share(0.5)),
    Case("llama-3.2-3b", "peft_metamath", "a quarter reach it", by_share(0.25)),
    Case("public, accuracy", "curves_accuracy", "first value", by_first_value),
    Case("public, accuracy", "curves_accuracy", "1 point easier", by_own_end(0.01)),
    Case("public, accuracy", "curves_accuracy", "just reached", by_own_end(0.0)),
    Case("BERT-large, loss", "bert_seeds_loss", "first value", by_first_value),
    Case("MLPerf, loss", "mlperf", "first value", by_first_value),
    Case("scaling law, loss", "rectified_law", "first value", by_first_value),
    Case("public, loss", "curves", "first value", by_first_value),
    Case("public, loss", "curves", f"{NOT_USED}, 40 % easier", by_own_end(0.4)),
    Case("public, loss", "curves", f"{NOT_USED}, 10 % easier", by_own_end(0.1)),
    Case("public, loss", "curves", f"{NOT_USED}, just reached", by_own_end(0.0)),
)


def threshold_of(goal: Goal, rate: float) -> float | None:
    """The score below which the packaged runs would stop a run with this goal."""
    packaged = packaged_scores(watch_reference(FAMILIES[family(goal.kind)])).of(goal)
    caution = packaged.caution(rate)
    return pooled_threshold(packaged.scores, rate / caution) if caution else None


def rows_of(case: Case) -> list[str]:
    runs = case.runs()
    picked = np.unique(np.linspace(0, len(runs) - 1, min(len(runs), MAX_RUNS)).round().astype(int))
    sample = [chosen for i in picked if (chosen := case.judge(runs[i], runs)) is not None]
    watched = [
        watch(run, held_out_forecaster(case.table, run.group), [("", run.goal)])[0]
        for run in sample
    ]
    rows = []
    for rate in RATES:
        threshold = threshold_of(sample[0].goal, rate)
        stops = [(run.good, stopped_by_packaged(run, run.scores, threshold)) for run in watched]
        kept, stopped, saved = measures(stops)
        good = sum(ended_well for ended_well, _ in stops)
        rows.append(
            f"| {case.name} | {case.goals} | {rate:g} | {good} | {kept:.1%} | {len(stops) - good} "
            f"| {stopped:.1%} | {saved:.1%} |".replace("nan%", "-")
        )
    return rows


def outside_table() -> str:
    head = [
        "| runs | judged by | allowed | good | kept | poor | stopped | steps saved |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    return "\n".join(head + [row for case in CASES for row in rows_of(case)])
