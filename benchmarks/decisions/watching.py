"""Looks at the long runs as a watcher sees them that knows the untrained model's signals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.decisions.cases import Case, case_columns, case_of_row, write_columns
from benchmarks.decisions.examples import ProbedRun, best_skills, goals_of, main_goal
from benchmarks.decisions.fitting import fit, held_out_probs
from benchmarks.decisions.sources import knowing_none, long_full_runs
from benchmarks.in_parallel import in_parallel
from hf_ftrisk.policy.calibration import look_forecasts
from hf_ftrisk.policy.grid import FIRST_SHARE
from hf_ftrisk.policy.parts.parts import read_parts
from hf_ftrisk.policy.parts.rule import PartsRule
from hf_ftrisk.policy.parts.watching import CAUTION, LAST_SHARE, judges

LOOKS_FILE = Path(__file__).parent / "looks.parquet"


@dataclass(frozen=True)
class LookCase(Case):
    """A look at a run that is judged by one goal.

    Args:
        target: the goal: a share of the data set's best skill, ``"none"`` or ``"out of reach"``.
        progress: share of the run that is done.
    """

    target: str
    progress: float

    @property
    def judged(self) -> tuple[str, str]:
        """Run and goal: what all looks of one judgment share."""
        return self.run_id, self.target


def looks_of(shards: Path) -> list[LookCase]:
    """Looks at all long runs whose signals are known, each forecast without its data set."""
    runs = list(long_full_runs(shards))
    best = best_skills(runs)
    return [look for probed in runs for look in _looks(probed, best)]


def _looks(probed: ProbedRun, best: dict[tuple[str, str], float]) -> Iterator[LookCase]:
    run, goal = probed.run, main_goal(probed.run)
    if not judges(run, goal):
        return
    baseline = run.baseline(goal)
    steps, forecasts = look_forecasts(run, goal, knowing_none(probed.dataset))
    for target, wanted_goal in goals_of(goal, baseline, best.get((probed.dataset, goal.metric))):
        for step, forecast in zip(steps.tolist(), forecasts, strict=True):
            progress = step / run.max_steps
            if FIRST_SHARE <= progress <= LAST_SHARE:
                yield LookCase(
                    parts=read_parts(run.prefix(step), wanted_goal, baseline, forecast),
                    good=wanted_goal.meets(run.outcome(wanted_goal), baseline),
                    dataset=probed.dataset,
                    run_id=probed.run_id,
                    steps=run.max_steps,
                    target=target,
                    progress=progress,
                )


def write_looks(looks: Sequence[LookCase], file: Path = LOOKS_FILE) -> None:
    """Keep looks, their numbers to four decimals."""
    columns = case_columns(looks)
    columns["target"] = [look.target for look in looks]
    # Not under its own name, which is that of a part.
    columns["share_done"] = [round(look.progress, 4) for look in looks]
    write_columns(columns, file)


def read_looks(file: Path = LOOKS_FILE) -> list[LookCase]:
    """The looks that `write_looks` kept."""
    return [
        LookCase(**case_of_row(row), target=row["target"], progress=row["share_done"])
        for row in pq.read_table(file).to_pylist()
    ]


def smallest(looks: Sequence[LookCase], probs: np.ndarray) -> dict[tuple[str, str], float]:
    """Run and goal -> the smallest P(good) over the looks."""
    lowest: dict[tuple[str, str], float] = defaultdict(lambda: 1.0)
    for look, prob in zip(looks, probs.tolist(), strict=True):
        lowest[look.judged] = min(lowest[look.judged], prob)
    return dict(lowest)


def calibrated_looks(looks: Sequence[LookCase]) -> PartsRule:
    """The rule on looks; its threshold rests on looks judged without their data set."""
    good = {look.judged: look.setting for look in looks if look.good}
    least = smallest(looks, held_out_probs(looks))
    return replace(
        fit(looks),
        good=tuple(round(least[run_goal], 6) for run_goal in good),
        good_settings=tuple(good.values()),
    )


def stops_by_parts(
    looks: Sequence[LookCase], rates: Sequence[float]
) -> dict[float, dict[tuple[str, str], float | None]]:
    """Rate -> run and goal -> progress at which it is stopped; None: never.

    Each is judged without its data set.
    """
    datasets = sorted({look.dataset for look in looks})
    rules = in_parallel(partial(_rule_without, looks), datasets)
    stops: dict[float, dict[tuple[str, str], float | None]] = {rate: {} for rate in rates}
    for dataset, rule in zip(datasets, rules, strict=True):
        mine = [(look, rule.prob_good(look.parts)) for look in looks if look.dataset == dataset]
        for rate in rates:
            stops[rate] |= _first_below(mine, rule.no_go(rate / CAUTION))
    return stops


def _rule_without(looks: Sequence[LookCase], dataset: str) -> PartsRule:
    return calibrated_looks([look for look in looks if look.dataset != dataset])


def _first_below(
    looks: Sequence[tuple[LookCase, float]], threshold: float
) -> dict[tuple[str, str], float | None]:
    """Run and goal -> progress of the first look whose P(good) is below a threshold."""
    stops: dict[tuple[str, str], float | None] = {}
    for look, prob in looks:
        stop = stops.get(look.judged)
        stops[look.judged] = look.progress if stop is None and prob < threshold else stop
    return stops
