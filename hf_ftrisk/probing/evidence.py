"""What the probes say about the full run: forecasts, risk curve, depth that pays. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal, trivial_baseline
from hf_ftrisk.probing.workload import Facts
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import Look
from hf_ftrisk.risk import RiskPrior, fit_risk_curve, probe_risk
from hf_ftrisk.risk.decomposition import RiskDecomposition
from hf_ftrisk.risk.regimes import regime_probabilities
from hf_ftrisk.text import percent

_MIN_DEPTHS = 2  # with fewer there is no curve to fit
# Share of the run's summed learning rate below which a probe has hardly begun. What is uncertain
# then is the forecast, not the run: no split into intrinsic and reducible risk can be told.
LITTLE_LEARNED = 0.05
# Factor by which the data must raise a regime's odds for it to be named: from even odds to 0.8.
MIN_SUPPORT = 4.0


@dataclass(frozen=True, eq=False)
class ProbeEvidence:
    """Everything concluded from the probes up to one depth.

    Args:
        forecasts: forecast of the full run's end from each probe at its deepest look.
        by_depth: depth -> forecasts of the probes seen there.
        looks: the pooled forecast at each depth.
        decomposition: None while fewer than two depths were seen.
        risk_curve: (depth, risk, probes) rows.
        optimal_depth: c*, optimizer steps.
        notes: what could not be estimated, and why.
    """

    forecasts: tuple[Forecast, ...] = ()
    by_depth: Mapping[int, tuple[Forecast, ...]] = field(default_factory=dict)
    looks: tuple[Look, ...] = ()
    decomposition: RiskDecomposition | None = None
    risk_curve: tuple[tuple[float, float, float], ...] = ()
    optimal_depth: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def pooled(self) -> Forecast | None:
        """Forecast of the full run: the mixture over the probes, None without one."""
        return pool(self.forecasts) if self.forecasts else None


def pool(forecasts: Sequence[Forecast]) -> Forecast:
    """Equal mixture of forecasts: the full run's seed is one more draw like the probes'."""
    if len(forecasts) == 1:
        return forecasts[0]
    size = max(forecast.samples.size for forecast in forecasts)
    grid = (np.arange(size) + 0.5) / size
    samples = np.concatenate(
        [
            np.interp(grid, (np.arange(f.samples.size) + 0.5) / f.samples.size, f.samples)
            for f in forecasts
        ]
    )
    return Forecast(
        samples,
        step=max(forecast.step for forecast in forecasts),
        source=f"mixture over {len(forecasts)} probes; {forecasts[0].source}",
    )


def known_baseline(
    goal: Goal, facts: Facts, signals: Mapping[str, float], untrained: float | None
) -> float | None:
    """Trivial baseline of the goal's metric from the evaluation labels and the untrained model.

    Where labels are in no column, the static signals have read them off the collated rows.
    """
    majority = signals.get("eval_majority_share") if facts.one_eval_set else None
    return trivial_baseline(goal, labels=facts.labels, majority=majority, untrained=untrained)


def summarize(
    probes: Sequence[RunRecord],
    goal: Goal,
    facts: Facts,
    *,
    history: Sequence[RunRecord],
    baseline: float | None,
    money: Mapping[str, Any] | None = None,
) -> ProbeEvidence:
    """Forecasts, risk curve and c* from the probes' trajectories.

    Args:
        probes: (n_seeds,) trajectories, with their evaluations.
        goal: metric, direction, target.
        facts: the full run.
        history: completed runs of the task for the forecaster; packaged ones are known besides.
        baseline: trivial baseline of the goal's metric.
        money: price of an hour, seconds of a step and value of a run, for c*; see
            `RiskDecomposition.optimal_depth`.
    """
    forecaster = Forecaster.default(history)
    by_depth: dict[int, list[Forecast]] = {}
    observed: dict[int, list[float]] = {}
    latest: list[Forecast] = []
    for record in probes:
        steps, values = record.curve(goal.metric)
        newest = None
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            if not math.isfinite(value):
                continue
            newest = forecaster.predict(record.prefix(step), goal)
            by_depth.setdefault(int(step), []).append(newest)
            observed.setdefault(int(step), []).append(value)
        if newest is not None:
            latest.append(newest)
    depths = sorted(by_depth)
    looks = tuple(
        Look.of(
            depth,
            pool(by_depth[depth]),
            goal,
            baseline=baseline,
            observed=float(np.mean(observed[depth])),
        )
        for depth in depths
    )
    notes: list[str] = []
    if not latest:
        notes.append(f"No forecast: no probe has a finite value of {goal.metric}.")
    fitted = _fit([d for d in depths if d > 0], by_depth, facts, goal, money or {}, notes)
    return ProbeEvidence(
        forecasts=tuple(latest),
        by_depth={depth: tuple(by_depth[depth]) for depth in depths},
        looks=looks,
        decomposition=fitted[0],
        risk_curve=fitted[1],
        optimal_depth=fitted[2],
        notes=tuple(notes),
    )


def learned_share(facts: Facts, depth: int) -> float | None:
    """Share of the run's summed learning rate that lies behind `depth`; None if not planned."""
    if facts.schedule is None or not facts.schedule.sum() > 0:
        return None
    energy = np.concatenate([[0.0], np.cumsum(facts.schedule)])
    at = depth * facts.schedule.size / facts.max_steps
    return float(np.interp(at, np.arange(energy.size), energy) / energy[-1])


def _fit(
    depths: Sequence[int],
    by_depth: Mapping[int, Sequence[Forecast]],
    facts: Facts,
    goal: Goal,
    money: Mapping[str, Any],
    notes: list[str],
) -> tuple[RiskDecomposition | None, tuple[tuple[float, float, float], ...], float | None]:
    if not depths:
        return None, (), None
    estimate = probe_risk({float(depth): by_depth[depth] for depth in depths})
    curve = tuple(
        (float(depth), float(risk), float(runs))
        for depth, risk, runs in zip(estimate.depths, estimate.risks, estimate.runs, strict=True)
    )
    if len(depths) < _MIN_DEPTHS:
        notes.append(
            "No risk curve, c* or regime: the probes were evaluated at one depth, and a curve "
            "needs two. Give a larger budget."
        )
        return None, curve, None
    behind = learned_share(facts, depths[-1])
    if behind is not None and behind < LITTLE_LEARNED:
        notes.append(
            f"No risk curve, c* or regime: the deepest evaluation comes after "
            f"{percent(behind, '.1f')} of the run's summed learning rate, and at least "
            f"{percent(LITTLE_LEARNED)} is needed to see how the risk falls. Give a larger budget."
        )
        return None, curve, None
    if estimate.runs.max() == 1:
        notes.append(
            "The risk curve rests on a single probe, which does not show how much seeds differ. "
            "Give more seeds."
        )
    decomposition = fit_risk_curve(
        estimate.depths,
        estimate.risks,
        counts=estimate.counts,
        same_runs=True,
        horizon=facts.max_steps,
        learning_rates=facts.schedule,
        tolerance=goal.tolerance,
    )
    depth = float(decomposition.optimal_depth(**money))
    return told_by_the_data(decomposition), curve, depth


def told_by_the_data(decomposition: RiskDecomposition) -> RiskDecomposition:
    """The decomposition without a regime that is its prior's more than the probes'.

    A few shallow looks leave open which part of a risk is intrinsic. Where the whole risk is large
    against the tolerance, nearly any split of it is then called noise-dominant: before the data,
    by the prior alone. A regime is kept when the data made its odds `MIN_SUPPORT` times as great.
    What is already known at the shallowest look needs no split.
    """
    regime, tolerance = decomposition.regime, decomposition.tolerance
    if regime == "unidentified" or regime == "static-sufficient" or tolerance is None:
        return decomposition
    level = decomposition.draws.level
    prior_shares = RiskPrior().sample(level.size, "power", np.random.default_rng(0))["share"]
    before = regime_probabilities(level * (1.0 - prior_shares), level, tolerance)
    p, q = decomposition.regime_probabilities[regime], before[regime]
    if p * (1.0 - q) >= MIN_SUPPORT * q * (1.0 - p):
        return decomposition
    why = (
        "the evaluations do not show which part of the risk deeper probing would remove: with them "
        f"the probability of {regime} is {p:.2f}, from the size of the risk alone {q:.2f}"
    )
    return replace(
        decomposition,
        regime_probabilities={},
        reasons={**decomposition.reasons, "regime": why},
    )
