"""Ways to stop runs: each says at which share of its run every candidate of a pool ends.

None: the candidate ran to its end. Every method has one knob, from cautious to eager; its settings
are a curve of compute saved against good runs kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.all_sources import threshold_without
from benchmarks.spending.candidates import Candidate
from benchmarks.watched import Watched, stopped_at, stopped_by_packaged
from hf_ftrisk.policy.calibration import conformal_threshold
from hf_ftrisk.policy.packaged import family
from hf_ftrisk.policy.rule import POOR_PROBABILITY
from hf_ftrisk.text import percent

Stops = list[float | None]
Method = Callable[[Sequence[Candidate]], Stops]

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
PATIENCE = (1, 2, 3, 4, 5, 7)
PERCENTILES = (5.0, 10.0, 25.0, 50.0, 75.0)
MEDIAN = "Optuna's median pruner"


# --- this package's rule -------------------------------------------------------------------------


def packaged(rate: float) -> Method:
    """The callback without a history: the threshold of runs of other data sets than the pool's."""

    def stops(pool: Sequence[Candidate]) -> Stops:
        return [_packaged_stop(candidate, rate) for candidate in pool]

    return stops


def _packaged_stop(
    candidate: Candidate, rate: float, agreeing: Watched | None = None
) -> float | None:
    """Where it ends; with a forecast that has to agree, where that calls it poor as well."""
    threshold = packaged_threshold(candidate, rate)
    scores = candidate.watched.scores
    if agreeing is not None:
        scores = np.where(agreeing.prob < POOR_PROBABILITY, scores, np.inf)
    return stopped_by_packaged(candidate.watched, scores, threshold)


def packaged_threshold(candidate: Candidate, rate: float) -> float | None:
    """Score below which a candidate is stopped; None where the rule isn't used for its goal."""
    goal = candidate.goal
    if goal.kind == "real":
        return None
    targets = goal.target is not None
    return threshold_without(family(goal.kind), candidate.fold, targets, rate)


def with_history(rate: float) -> Method:
    """The callback with the pool's other runs as its history, as `default_rule` has it.

    Their good runs set the threshold, each run forecast with others known. Where they are too few
    for one, runs of other tasks do, and the forecast with a history has to agree.
    """

    def stops(pool: Sequence[Candidate]) -> Stops:
        lowest = np.array([float(_known(one).scores.min(initial=1.0)) for one in pool])
        good = np.array([one.good for one in pool])
        ended: Stops = []
        for i, one in enumerate(pool):
            scores = lowest[good & (np.arange(len(pool)) != i)]
            groups = [str(k) for k in range(scores.size)]
            threshold = conformal_threshold(scores.tolist(), groups, rate)
            if threshold is None:
                ended.append(_packaged_stop(one, rate, agreeing=_known(one)))
            else:
                ended.append(stopped_at(_known(one), _known(one).scores, threshold))
        return ended

    return stops


def _known(one: Candidate) -> Watched:
    if one.known is None:
        raise ValueError(f"run {one.number} of {one.source} was not forecast with a history")
    return one.known


# --- what people have ----------------------------------------------------------------------------


def patience(rounds: int) -> Method:
    """EarlyStoppingCallback: no better value for so many evaluations in a row."""

    def stop(one: Candidate) -> float | None:
        best, waited = -math.inf, 0
        for at, value in zip(one.at, one.values, strict=True):
            waited = 0 if value > best else waited + 1
            best = max(best, value) if not math.isnan(value) else best
            if waited >= rounds and at < 1.0 - 1e-9:
                return float(at)
        return None

    return lambda pool: [stop(one) for one in pool]


def restart(share: float) -> Method:
    """Mosbach et al.: a run that is no better than the trivial baseline by then has failed."""

    def stop(one: Candidate) -> float | None:
        evaluated = np.flatnonzero(one.at <= share + 1e-9)
        if one.baseline is None or not evaluated.size:
            return None
        return (
            float(one.at[evaluated[-1]]) if not one.values[evaluated[-1]] > one.baseline else None
        )

    return lambda pool: [stop(one) for one in pool]


def median_pruner(percentile: float) -> Method:
    """Optuna's PercentilePruner, trial after trial; at 50 its MedianPruner."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def stops(pool: Sequence[Candidate]) -> Stops:
        if percentile == 50.0:
            pruner: optuna.pruners.BasePruner = optuna.pruners.MedianPruner()
        else:
            pruner = optuna.pruners.PercentilePruner(percentile)
        study = optuna.create_study(direction="maximize", pruner=pruner)
        ended: Stops = [None] * len(pool)
        rng = np.random.default_rng(len(pool))
        for i in rng.permutation(len(pool)).tolist():
            ended[i] = _trial(study, pool[i])
        return ended

    return stops


def _trial(study, one: Candidate) -> float | None:  # type: ignore[no-untyped-def]
    import optuna

    trial = study.ask()
    for number, (at, value) in enumerate(zip(one.at, one.values, strict=True)):
        if at >= 1.0 - 1e-9:
            break
        trial.report(float(value), number)
        if trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return float(at)
    study.tell(trial, float(one.values[-1]) if np.isfinite(one.values[-1]) else -1e9)
    return None


def halving(eta: float) -> Method:
    """Successive halving: at an eighth, a quarter and half of the run the best 1/eta go on."""

    def stops(pool: Sequence[Candidate]) -> Stops:
        ended: Stops = [None] * len(pool)
        alive = list(range(len(pool)))
        for rung in (0.125, 0.25, 0.5):
            at = {i: _seen_by(pool[i], rung) for i in alive}
            evaluated = [i for i in alive if at[i] is not None]
            last = {i: float(np.nan_to_num(pool[i].values[at[i]], nan=-np.inf)) for i in evaluated}
            evaluated.sort(key=last.__getitem__, reverse=True)
            for i in evaluated[max(1, math.ceil(len(evaluated) / eta)) :]:
                ended[i] = float(pool[i].at[at[i]])
            alive = [i for i in alive if ended[i] is None]
        return ended

    return stops


def _seen_by(one: Candidate, rung: float) -> int | None:
    """The last evaluation up to a rung, None before the first."""
    evaluated = np.flatnonzero(one.at <= rung + 1e-9)
    return int(evaluated[-1]) if evaluated.size else None


METHODS: Mapping[str, Mapping[str, Method]] = {
    "callback, no history": {percent(rate): packaged(rate) for rate in RATES},
    "callback, the pool's runs known": {percent(rate): with_history(rate) for rate in RATES},
    "patience": {str(n): patience(n) for n in PATIENCE},
    MEDIAN: {f"{p:g}": median_pruner(p) for p in PERCENTILES},
    "successive halving": {f"1/{eta:g}": halving(eta) for eta in (1.1, 1.25, 1.5, 2.0, 3.0)},
    "restart failed seeds": {percent(s): restart(s) for s in (0.7, 0.5, 0.3, 0.2, 0.1)},
}
# What people use as it comes.
DEFAULTS = {
    "callback, no history": "5 %",
    "callback, the pool's runs known": "5 %",
    "patience": "3",
    MEDIAN: "50",
    "successive halving": "1/2",
    "restart failed seeds": "50 %",
}
