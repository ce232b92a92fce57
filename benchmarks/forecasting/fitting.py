"""What the package learns from completed runs: the curve model's prior weights and calibration.

The prior is a product of weights over the grid's factors. It maximises the mean log density of the
outcome given the prefix, each table weighing the same and within it each group (cell, repository,
data set) and depth; a small ridge keeps unused values alive. The calibration stretches the
forecasts that these weights give on the same runs by the hierarchical conformal quantile of their
scores at each depth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize

from benchmarks.forecasting.prefixes import Prefix, prefixes
from benchmarks.run_tables import Run
from hf_ftrisk.forecast.conformal import DEPTHS, conformal_quantile, interval_score
from hf_ftrisk.forecast.curve import Grid, condition
from hf_ftrisk.forecast.extrapolation import CurveView, sample_outcome, thin
from hf_ftrisk.forecast.prior import CurvePrior, FamilyPrior, family

OUTCOME_SD = 0.06
RIDGE = 3.0
BROAD = 0.001  # weight of a broad outlier component in the score, so that no run counts without end
WEIGHT = {"curves": 2.0, "curves_accuracy": 2.0, "reference": 2.0}
SEEDS = 6  # runs of one group of a table that are used: the others say the same again
FACTOR_RANGE = (0.5, 4.0)


@dataclass(frozen=True, eq=False)
class Case:
    """One prefix with every component's prediction of the outcome."""

    prefix: Prefix
    view: CurveView
    outcome: float
    evidence: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def sampled(runs: list[Run]) -> list[Run]:
    """At most `SEEDS` runs a group, spread over it."""
    found: list[Run] = []
    for group in dict.fromkeys(run.group for run in runs):
        members = [run for run in runs if run.group == group]
        picked = np.unique(np.linspace(0, len(members) - 1, min(SEEDS, len(members))).round())
        found += [members[int(i)] for i in picked]
    return found


def cases_of(tables: dict[str, list[Run]]) -> dict[str, list[Case]]:
    """Family of metrics -> cases."""
    found: dict[str, list[Case]] = {"score": [], "loss": []}
    for table, runs in tables.items():
        for prefix in prefixes(table, _last_counts(sampled(runs)), DEPTHS):
            case = _case(prefix)
            if case is not None:
                found[family(prefix.goal.kind)].append(case)
    return found


def _last_counts(runs: list[Run]) -> list[Run]:
    return [
        replace(run, record=replace(run.record, load_best=False))
        for run in runs
        if np.isfinite(replace(run.record, load_best=False).outcome(run.goal))
    ]


def _case(prefix: Prefix) -> Case | None:
    view = CurveView.of(prefix.record, prefix.goal)
    if view is None or np.abs(view.z).max() > 30:
        return None
    grid = Grid()
    kept = thin(view.z.size)
    mixture = condition(
        grid,
        grid.components(),
        view.z[kept],
        view.clocks.at(view.steps[kept]),
        view.clocks.at(np.array([float(prefix.record.max_steps)])),
        view.start,
    )
    return Case(
        prefix,
        view,
        view.coordinate(prefix.outcome),
        mixture.log_evidence.astype(np.float32),
        mixture.means[:, 0].astype(np.float32),
        mixture.covariances[:, 0, 0].astype(np.float32),
    )


def fit_family(cases: Sequence[Case]) -> dict[str, Any]:
    """Weights and calibration of one family of metrics, JSON-ready."""
    weights = WeightFit([c for c in cases if 0.05 < c.prefix.depth < 0.8]).fit()
    curve = CurvePrior.from_weights(weights, OUTCOME_SD)
    factors = []
    for depth in DEPTHS:
        here = [c for c in cases if c.prefix.depth == depth]
        scores = [_score(case, curve) for case in here]
        groups = [f"{c.prefix.table} {c.prefix.group}" for c in here]
        factor = conformal_quantile(scores, groups=groups) if here else 1.0
        factors.append(round(float(np.clip(factor, *FACTOR_RANGE)), 4))
    return {
        "weights": weights,
        "outcome_sd": OUTCOME_SD,
        "calibration": {
            "factors": factors,
            "groups": len({(c.prefix.table, c.prefix.group) for c in cases}),
        },
    }


def prior_of(cases: Sequence[Case]) -> FamilyPrior:
    """What the package would hold had it been fitted on these cases alone."""
    return FamilyPrior.from_json(fit_family(cases))


def _score(case: Case, curve: CurvePrior) -> float:
    max_steps = case.prefix.record.max_steps
    samples = sample_outcome(case.view, curve, best=False, max_steps=max_steps, n=200)
    return interval_score(samples, case.outcome)


def case_weights(cases: Sequence[Case]) -> np.ndarray:
    """(n,) weights: tables alike, then groups and depths alike, then runs alike."""
    keys = [(c.prefix.table, c.prefix.group, c.prefix.depth) for c in cases]
    members = Counter(keys)
    groups = Counter(table for table, _, _ in members)
    weight = [WEIGHT.get(k[0].split("_")[0], 1.0) / groups[k[0]] / members[k] for k in keys]
    return np.array(weight) / np.sum(weight)


class WeightFit:
    """Mean log score of the outcomes as a function of the factors' log weights."""

    def __init__(self, cases: Sequence[Case]) -> None:
        grid = Grid()
        self.factors, self.components = grid.factors, grid.components()
        self.weight = case_weights(cases)
        self.evidence = np.stack([c.evidence - c.evidence.max() for c in cases])
        outcome = np.array([c.outcome for c in cases])
        variance = np.stack([c.variance for c in cases]) + OUTCOME_SD**2
        miss = outcome[:, None] - np.stack([c.mean for c in cases])
        self.density = (-0.5 * (miss**2 / variance + np.log(2 * np.pi * variance))).astype("f4")
        last = np.array([float(c.view.z[-1]) for c in cases])
        self.broad = (
            np.log(BROAD) - 0.5 * ((outcome - last) / 1.5) ** 2 - np.log(1.5 * np.sqrt(2 * np.pi))
        )

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        total = np.zeros(len(self.components["shapes"]), dtype=np.float32)
        for index, part in zip(self.components.values(), self._split(theta), strict=True):
            total += (part - np.logaddexp.reduce(part))[index].astype(np.float32)
        return total

    def _split(self, theta: np.ndarray) -> list[np.ndarray]:
        return np.split(theta, np.cumsum(list(self.factors.values()))[:-1])

    def loss(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the mean log score plus the ridge, and its gradient."""
        before = self.log_prior(theta) + self.evidence
        after = before + self.density
        norm_before, share_before = _softmax(before)
        norm_after, share_after = _softmax(after)
        score = np.log1p(-BROAD) + norm_after - norm_before
        total = np.logaddexp(score, self.broad)
        pull = (self.weight * np.exp(score - total)) @ (share_after - share_before)
        gradient = np.concatenate(
            [
                np.bincount(index, weights=pull, minlength=self.factors[name])
                for name, index in self.components.items()
            ]
        )
        ridge = RIDGE * float(np.mean(theta**2))
        return ridge - float(self.weight @ total), 2 * RIDGE * theta / theta.size - gradient

    def fit(self) -> dict[str, list[float]]:
        """Weights of every factor, each summing to 1."""
        start = np.zeros(sum(self.factors.values()))
        best = minimize(self.loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60}).x
        return {
            name: np.round(np.exp(p - np.logaddexp.reduce(p)), 6).tolist()
            for name, p in zip(self.factors, self._split(best), strict=True)
        }


def _softmax(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    top = x.max(axis=1, keepdims=True)
    share = np.exp(x - top)
    total = share.sum(axis=1, keepdims=True)
    share /= total
    return (np.log(total) + top)[:, 0], share
