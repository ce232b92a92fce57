"""What the package learns from completed runs, one family of metrics at a time.

1. *Prior weights of the curve model*: a product of weights over the grid's factors that maximises
   the mean log density of the outcome given the prefix, each table weighing the same and within it
   each group (cell, repository, data set) and depth; a ridge keeps unused values alive.
2. *Weights of the change* (losses, `forecast.change`): least absolute errors under weights >= 0.
3. *Chance of failure* (`forecast.failure`): a logistic regression at each depth; reference runs
   count twice, as recorded and as a sparse log would have shown them.
4. *Calibration*: the hierarchical conformal quantile of the forecasts' scores at each depth and
   level, sources weighing alike.

The curve forecasts that 2 to 4 rest on come from prior weights fitted without the fold of their
source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import minimize, nnls
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.forecasting.prefixes import Prefix, prefixes, source_of
from benchmarks.run_tables import Run
from hf_ftrisk.forecast.cold import shift
from hf_ftrisk.forecast.conformal import DEPTHS, LEVELS, conformal_quantile, interval_score
from hf_ftrisk.forecast.curves.change import loss_terms
from hf_ftrisk.forecast.curves.curve import Grid, condition
from hf_ftrisk.forecast.curves.extrapolation import thin
from hf_ftrisk.forecast.curves.view import CurveView
from hf_ftrisk.forecast.failure import FEATURES, failure_features
from hf_ftrisk.forecast.prior import CurvePrior, FamilyPrior, family
from hf_ftrisk.record import RunRecord

OUTCOME_SD = 0.06
RIDGE = 1.0
BROAD = 0.001  # weight of a broad outlier component in the score, so that no run counts without end
WEIGHT = {"curves": 2.0, "curves_accuracy": 2.0, "reference": 2.0}
SEEDS = 6  # runs of one group of a table that are used: the others say the same again
SEEDS_REFERENCE = 30  # but these differ in method, learning rate, noise and size
FACTOR_RANGE = (0.3, 12.0)
FOLDS = 5
DRAWS = 400
CHANGE_RIDGE, CHANGE_FLOOR = 0.1, 0.05
FAILURE_C, FAILURE_BAND = 0.1, 0.6


@dataclass(frozen=True, eq=False)
class Case:
    """One prefix with every component's prediction of the outcome.

    Args:
        prefix: the prefix; its record's outcome is the last value.
        view: its evaluations.
        core: whether the prior weights are fitted to it.
        outcome: coordinate of the outcome.
        evidence: (n_components,) log density of the evaluations.
        mean: (n_components,) prediction of the end.
        variance: (n_components,) of that prediction.
    """

    prefix: Prefix
    view: CurveView
    core: bool
    outcome: float
    evidence: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @property
    def source(self) -> str:
        return source_of(self.prefix.table, self.prefix.group)


def sampled(runs: list[Run], per_group: int) -> list[Run]:
    """At most `per_group` runs a group, spread over it."""
    found: list[Run] = []
    for group in dict.fromkeys(run.group for run in runs):
        members = [run for run in runs if run.group == group]
        picked = np.unique(np.linspace(0, len(members) - 1, min(per_group, len(members))).round())
        found += [members[int(i)] for i in picked]
    return found


def cases_of(tables: dict[str, list[Run]]) -> dict[str, list[Case]]:
    """Family of metrics -> cases."""
    found: dict[str, list[Case]] = {"score": [], "loss": []}
    for table, runs in tables.items():
        runs = _last_counts(runs)
        core = {id(run.record) for run in sampled(runs, SEEDS)}
        used = sampled(runs, SEEDS_REFERENCE if table.startswith("reference") else SEEDS)
        for prefix in prefixes(table, used, DEPTHS):
            case = _case(prefix, core=id(used[prefix.run].record) in core)
            if case is not None:
                found[family(prefix.goal.kind)].append(case)
    return found


def _last_counts(runs: list[Run]) -> list[Run]:
    return [
        replace(run, record=replace(run.record, load_best=False))
        for run in runs
        if np.isfinite(replace(run.record, load_best=False).outcome(run.goal))
    ]


def _case(prefix: Prefix, *, core: bool) -> Case | None:
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
        core,
        view.coordinate(prefix.outcome),
        mixture.log_evidence.astype(np.float32),
        mixture.means[:, 0].astype(np.float32),
        mixture.covariances[:, 0, 0].astype(np.float32),
    )


def fit_family(cases: Sequence[Case]) -> dict[str, Any]:
    """All that is packaged of one family of metrics, JSON-ready."""
    losses = family(cases[0].prefix.goal.kind) == "loss"
    ends = held_out_ends(cases)
    change = fit_change(cases, ends) if losses else []
    return {
        "weights": _fit_weights(cases),
        "outcome_sd": OUTCOME_SD,
        "change": change,
        "failure": fit_failure(cases, ends),
        "calibration": fit_calibration(cases, ends, tuple(change)),
    }


def prior_of(cases: Sequence[Case]) -> FamilyPrior:
    """What the package would hold had it been fitted on these cases alone."""
    return FamilyPrior.from_json(fit_family(cases))


def _fit_weights(cases: Sequence[Case]) -> dict[str, list[float]]:
    return WeightFit([c for c in cases if c.core and 0.05 < c.prefix.depth < 0.8]).fit()


def held_out_ends(cases: Sequence[Case]) -> np.ndarray:
    """Draws (n_cases, DRAWS) of each end under prior weights fitted without its source's fold."""
    sources = sorted({case.source for case in cases})
    fold = {source: i % FOLDS for i, source in enumerate(sources)}
    found = np.empty((len(cases), DRAWS))
    for k in range(FOLDS):
        weights = _fit_weights([case for case in cases if fold[case.source] != k])
        prior = CurvePrior.from_weights(weights, OUTCOME_SD)
        for i, case in enumerate(cases):
            if fold[case.source] == k:
                found[i] = _draws(case, prior)
    return found


def _draws(case: Case, prior: CurvePrior) -> np.ndarray:
    """The end under a prior, as `forecast.extrapolation.sample_paths` draws it."""
    factors = prior.grid.factors
    kept = np.ravel_multi_index([prior.components[f] for f in factors], tuple(factors.values()))
    rng = np.random.default_rng(0)
    log_weight = prior.log_prior + case.evidence[kept]
    passed = np.cumsum(np.exp(log_weight - log_weight.max()))
    at = (np.arange(DRAWS) + rng.random(DRAWS)) / DRAWS * passed[-1]
    drawn = kept[np.minimum(np.searchsorted(passed, at), passed.size - 1)]
    spread = np.sqrt(case.variance[drawn] + OUTCOME_SD**2)
    return np.asarray(np.sort(case.mean[drawn] + spread * rng.standard_normal(DRAWS)))


def fit_change(cases: Sequence[Case], ends: np.ndarray) -> list[float]:
    """Weights of the change of a loss: least absolute errors, by reweighted least squares."""
    used = [i for i, case in enumerate(cases) if 0.05 < case.prefix.depth < 0.95]
    last = np.array([cases[i].view.z[-1] for i in used])
    target = np.clip(np.array([cases[i].outcome for i in used]) - last, -1.2, 1.2)
    gains = np.median(ends[used], axis=1) - last
    terms = np.array(
        [
            loss_terms(cases[i].view, cases[i].prefix.record, float(gain))
            for i, gain in zip(used, gains, strict=True)
        ]
    )
    scale = np.sqrt((terms**2).mean(axis=0)) + 1e-9
    terms /= scale
    even = case_weights([cases[i] for i in used]) * len(used)
    weight = even
    ridge = np.sqrt(CHANGE_RIDGE * len(used)) * np.eye(terms.shape[1])
    found = np.zeros(terms.shape[1])
    for _ in range(8):
        root = np.sqrt(weight)
        design = np.concatenate([terms * root[:, None], ridge])
        found, _ = nnls(design, np.concatenate([target * root, np.zeros(terms.shape[1])]))
        weight = even * 2 * CHANGE_FLOOR / np.maximum(np.abs(target - terms @ found), CHANGE_FLOOR)
    return [round(float(x), 4) for x in found / scale]


def fit_failure(cases: Sequence[Case], ends: np.ndarray) -> dict[str, Any]:
    """Logistic regressions of failure at each depth; before training, the curve model's chance."""
    rows, failed, depths, weights = [], [], [], []
    known = [i for i, c in enumerate(cases) if c.prefix.record.baseline(c.prefix.goal) is not None]
    even = case_weights([cases[i] for i in known]) * len(known)
    for i, weight in zip(known, even.tolist(), strict=True):
        case = cases[i]
        prefix = case.prefix
        baseline = prefix.record.baseline(prefix.goal)
        assert baseline is not None
        curve = float(np.mean(ends[i] <= case.view.coordinate(baseline)))
        for record in (prefix.record, _sparse(prefix)):
            if record is not None:
                rows.append(failure_features(case.view, record, prefix.goal, baseline, curve))
                failed.append(not prefix.goal.meets(prefix.outcome, baseline))
                depths.append(prefix.depth)
                weights.append(weight)
    X, y, depth, w = np.array(rows), np.array(failed), np.array(depths), np.array(weights)
    intercepts, coefficients = [0.0], [[1.0] + [0.0] * (len(FEATURES) - 1)]
    for d in DEPTHS[1:]:
        near = (depth > 0) & (np.abs(np.log(np.maximum(depth, 1e-9) / d)) < FAILURE_BAND)
        scaler = StandardScaler().fit(X[near])
        model = LogisticRegression(C=FAILURE_C, max_iter=1000)
        model.fit(scaler.transform(X[near]), y[near], sample_weight=w[near])
        slope = model.coef_[0] / scaler.scale_
        intercepts.append(round(float(model.intercept_[0] - slope @ scaler.mean_), 4))
        coefficients.append([round(float(x), 4) for x in slope])
    return {"intercepts": intercepts, "weights": coefficients}


def _sparse(prefix: Prefix) -> RunRecord | None:
    """A reference prefix as many logs are: nothing at step 0, one train loss an evaluation."""
    record = prefix.record
    kept = record.eval_step > 0
    if not prefix.table.startswith("reference") or not kept.any():
        return None
    steps = record.eval_step[kept]
    edges = np.concatenate([[0.0], steps])
    parts = [
        record.train_loss[(record.train_step > low) & (record.train_step <= high)]
        for low, high in pairwise(edges)
    ]
    parts = [part[np.isfinite(part)] for part in parts]
    return replace(
        record,
        eval_step=steps,
        evals={name: values[kept] for name, values in record.evals.items()},
        train_step=steps,
        train_loss=np.array([part.mean() if part.size else np.nan for part in parts]),
        grad_norm=np.full(steps.size, np.nan),
        learning_rate=np.full(steps.size, np.nan),
        nan_steps={},
        baselines={k: v for k, v in record.baselines.items() if k != "eval_loss"},
        static={},
    )


def fit_calibration(
    cases: Sequence[Case], ends: np.ndarray, change: tuple[float, ...]
) -> dict[str, Any]:
    """Factors by which intervals are stretched, for each depth and level."""
    moved = np.array(
        [
            draws + shift(case.view, case.prefix.record, draws, change)
            for case, draws in zip(cases, ends, strict=True)
        ]
    )
    depths = np.array([case.prefix.depth for case in cases])
    factors = []
    for depth in DEPTHS:
        here = np.flatnonzero(depths == depth)
        groups = [cases[i].source for i in here]
        row = []
        for level in LEVELS:
            scores = [interval_score(moved[i], cases[i].outcome, level) for i in here]
            factor = conformal_quantile(scores, level, groups) if scores else 1.0
            if np.isinf(factor):  # too few sources for this level: the worst that was seen
                factor = max(scores)
            row.append(round(float(np.clip(factor, *FACTOR_RANGE)), 4))
        factors.append(row)
    return {"factors": factors, "groups": len({case.source for case in cases})}


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
