"""The rule where there is no history: the thresholds in use, and other ways to calibrate it.

Behind `python -m benchmarks.stopping`: two tables. Variants are compared on the project's short
runs, of which all is known; what is used is measured in `benchmarks.all_sources`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from benchmarks.forecasting.held_out import held_out_forecaster
from benchmarks.run_tables import Run, reference
from benchmarks.watched import Judged, Watched, measures, stopped_by_packaged, watch
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.calibration import MIN_PROB, conformal_threshold, easing
from hf_ftrisk.policy.packaged import (
    CAUTIONS,
    ReferenceScores,
    family,
    reference_rule,
    reference_scores,
)
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent

N_BOOTSTRAP = 1000
# Besides its baseline, a run is judged by what this share of its data set's good runs reaches.
TARGET_SHARES = (0.5, 0.25)
RATES = (0.05, 0.1, 0.2)
USED_FOR = {
    "accuracy, baseline": Goal("accuracy"),
    "accuracy, a target": Goal("accuracy", target=0.8),
    "loss, baseline": Goal("loss"),
    "loss, a target": Goal("loss", target=1.0),
}
FAMILIES = {"score": "eval_accuracy", "loss": "eval_loss"}


def goals_of(run: Run, runs: Sequence[Run]) -> list[tuple[str, Goal]]:
    """The run's baseline, and targets that a share of the good runs of its data set reaches."""
    goal = run.goal
    outcomes = [
        other.outcome
        for other in runs
        if other.group == run.group
        and other.goal.metric == goal.metric
        and goal.meets(other.outcome, other.record.baseline(goal))
    ]
    goals = [("baseline", goal)]
    if len(outcomes) >= 4:
        for share in TARGET_SHARES:
            level = 1.0 - share if goal.greater_is_better else share
            goals.append((f"{share:.0%}", goal.with_target(float(np.quantile(outcomes, level)))))
    return goals


@cache
def watch_reference(metric: str, *, untrained: bool = True) -> list[Watched]:
    """Packaged runs, each forecast by a forecaster without its data set, by all its goals.

    Args:
        metric: judges the runs.
        untrained: whether the evaluation at step 0 is known, which few Trainer runs make.
    """
    runs = [_as(run, metric) for run in reference() if metric in run.record.evals]
    if not untrained:
        runs = [replace(run, record=_trained_only(run.record)) for run in runs]
    watched: list[Watched] = []
    for group in sorted({run.group for run in runs}):
        forecaster = held_out_forecaster("reference", group)
        for run in runs:
            if run.group == group:
                watched += watch(run, forecaster, goals_of(run, runs))
    return watched


def _trained_only(record: RunRecord) -> RunRecord:
    later = record.eval_step > 0
    evals = {name: values[later] for name, values in record.evals.items()}
    return replace(record, eval_step=record.eval_step[later], evals=evals)


def _as(run: Run, metric: str) -> Run:
    return replace(run, goal=Goal(metric))


def calibrating(runs: Sequence[Watched]) -> list[Watched]:
    """The runs whose scores make a threshold: the good ones that it judges."""
    return [run for run in runs if run.good and not run.far_below]


def packaged_scores(runs: Sequence[Watched]) -> ReferenceScores:
    good = calibrating(runs)
    return ReferenceScores(
        scores=tuple(_lowest(run.scores) for run in good),
        groups=tuple(run.group for run in good),
        judged=tuple(run.judged for run in good),
        runs=len({(run.group, run.name) for run in good}),
    )


Score = Callable[[Watched], np.ndarray]
Threshold = Callable[[Sequence[float], Sequence[str], float], float | None]


def _lowest(scores: np.ndarray) -> float:
    return round(float(scores.min(initial=1.0)), 6)


def eased(run: Watched) -> np.ndarray:
    return run.scores


def not_eased(run: Watched) -> np.ndarray:
    return np.maximum(run.prob, MIN_PROB)


def relative(run: Watched) -> np.ndarray:
    return np.asarray(run.relative / easing(run.progress))


def martingale(run: Watched) -> np.ndarray:
    return run.relative


def half_rate(scores: Sequence[float], groups: Sequence[str], rate: float) -> float | None:
    """The packaged rule's threshold."""
    return conformal_threshold(scores, None, rate / CAUTIONS[0])


def third_rate(scores: Sequence[float], groups: Sequence[str], rate: float) -> float | None:
    return conformal_threshold(scores, None, rate / 3)


def full_rate(scores: Sequence[float], groups: Sequence[str], rate: float) -> float | None:
    return conformal_threshold(scores, None, rate)


def ville(scores: Sequence[float], groups: Sequence[str], rate: float) -> float | None:
    """No calibration: what a calibrated forecaster's P(good) guarantees by itself."""
    return rate


VARIANTS: dict[str, tuple[Score, Threshold]] = {
    "half the rate (used, by the baseline)": (eased, half_rate),
    "a third of the rate": (eased, third_rate),
    "the whole rate (used, by targets)": (eased, full_rate),
    "half the rate, no easing": (not_eased, half_rate),
    "half the rate, relative to P(good) before the run": (relative, half_rate),
    "data sets as groups (hierarchical)": (eased, conformal_threshold),
    "relative, Ville's bound, no calibration": (martingale, ville),
}
TARGETS = "targets"


def held_out(
    runs: Sequence[Watched],
    rate: float,
    *,
    judged: str = "",
    variant: tuple[Score, Threshold] = (eased, half_rate),
    new: Sequence[Watched] | None = None,
) -> list[Judged]:
    """Each data set's runs against the threshold of the others; one list per data set.

    Runs judged by the baseline and by targets are calibrated apart.

    Args:
        runs: give the thresholds.
        rate: allowed share of good runs stopped.
        judged: kind of goal that is counted; all of them if empty.
        variant: how a run is scored, and how scores make a threshold.
        new: the runs that are judged, `runs` themselves if None.
    """
    score, threshold_of = variant
    per_group = []
    for group in sorted({run.group for run in runs}):
        results: Judged = []
        for targets in (False, True):
            alike = [run for run in runs if (run.judged != "baseline") == targets]
            calibration = [run for run in calibrating(alike) if run.group != group]
            threshold = threshold_of(
                [float(score(r).min(initial=1.0)) for r in calibration],
                [r.group for r in calibration],
                rate,
            )
            for run in runs if new is None else new:
                if (run.judged != "baseline") != targets:
                    continue
                kinds = ("", run.judged, TARGETS if targets else "")
                if run.group == group and judged in kinds:
                    results.append((run.good, stopped_by_packaged(run, score(run), threshold)))
        per_group.append(results)
    return per_group


def cells(per_group: Sequence[Judged]) -> str:
    """Good, kept, poor, stopped and saved, with bootstrap intervals over data sets."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(per_group), (N_BOOTSTRAP, len(per_group)))
    boot = np.array([measures([row for g in draw for row in per_group[g]]) for draw in draws])
    low, high = np.nanquantile(boot, [0.025, 0.975], axis=0)
    everything = [row for results in per_group for row in results]
    kept, stopped, saved = measures(everything)
    n_good = sum(good for good, _ in everything)
    return (
        f"{n_good} | {percent(kept, '.1f')} ({percent(low[0])} to {percent(high[0])}) "
        f"| {len(everything) - n_good} "
        f"| {percent(stopped, '.1f')} ({percent(low[1])} to {percent(high[1])}) "
        f"| {percent(saved, '.1f')}"
    )


def check_values(metric: str, names: Collection[str]) -> dict[str, float]:
    """Scores of some packaged runs by the packaged forecaster: they tell when it changes.

    Args:
        metric: judges the runs, by their baseline.
        names: `run_name` of each.
    """
    goal = Goal(metric)
    lowest = {}
    for run in reference():
        if run_name(run) in names and metric in run.record.evals:
            (watched,) = watch(replace(run, goal=goal), Forecaster.default(), [("baseline", goal)])
            lowest[run_name(run)] = _lowest(watched.scores)
    return lowest


def short_run_names(metric: str, count: int = 4) -> list[str]:
    """Names of some packaged runs that have the metric, evenly spread."""
    names = sorted({run_name(run) for run in reference() if metric in run.record.evals})
    return names[:: max(1, len(names) // count)][:count]


def run_name(run: Run) -> str:
    return f"{run.record.settings.get('setting_id')} {run.record.seed}"


def threshold_table() -> str:
    """The packaged thresholds in use: which goals they judge, and what was measured of them."""
    lines = [
        "| goals | allowed | good runs behind it | sources | threshold set for "
        "| threshold of scores | good runs below it on sources left out |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, goal in USED_FOR.items():
        for rate in RATES:
            rule = reference_rule(goal, Forecaster.default(), rate)
            if rule is None:
                lines.append(f"| {name} | {rate:g} | | | not used | | |")
                continue
            scores = reference_scores(family(goal.kind))
            assert scores is not None
            fitted, level = scores.of(goal), rate / rule.caution
            lines.append(
                f"| {name} | {rate:g} | {len(fitted.scores)} | {fitted.n_sources} "
                f"| {percent(level, '.2f')} "
                f"| {rule.threshold_score:.3g} | {percent(fitted.held_out_rate(level), '.1f')} |"
            )
    return "\n".join(lines)


def variant_table() -> str:
    """Ways to calibrate on other tasks, judged by the baseline and by harder targets."""
    lines = [
        "| calibration | goals | good | kept (95 %) | poor | stopped (95 %) | steps saved "
        "| kept where step 0 is not evaluated |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for metric in FAMILIES.values():
        runs = watch_reference(metric)
        bare = watch_reference(metric, untrained=False)
        for goals in ("baseline", TARGETS):
            for name, variant in VARIANTS.items():
                measured = cells(held_out(runs, 0.05, judged=goals, variant=variant))
                late = cells(held_out(runs, 0.05, judged=goals, variant=variant, new=bare))
                kept = late.split(" | ")[1]
                lines.append(f"| {name} | {metric}, {goals} | {measured} | {kept} |")
    return "\n".join(lines)
