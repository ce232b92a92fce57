"""Fit of the rule: weights that cannot be negative, thresholds with finite-sample bounds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize
from scipy.stats import beta

from benchmarks.decisions.examples import Example
from hf_ftrisk.policy.parts import part_names
from hf_ftrisk.policy.preflight_rule import PreflightRule

# What a unit of a part is taken to be worth before any pair is seen, in log odds: each part alone,
# at its worst, makes a good outcome unlikely.
PRIOR = {
    "signal": 2.0,
    "reach": 1.0,
    "rows": 1.0,
    "movement": 1.0,
    "heat": 3.0,
    "learning": 3.0,
    "progress": 1.0,
    "stability": 6.0,
}
# Runs of real length count more than the short ones of the reference library.
LONG, LONG_WEIGHT = 500, 4.0
# Weight of the prior, as a share of all pairs' weight.
STRENGTH = 0.1
GO_RATE = 0.1
# Confidence of the bound on the share of GOs that end poor.
_CONFIDENCE = 0.8


def weights_of(examples: Sequence[Example]) -> np.ndarray:
    """(n,) weights: every data set counts alike, and every run of a data set."""
    per_run = Counter(example.run_id for example in examples)
    runs = Counter(dataset for _, dataset in {(e.run_id, e.dataset) for e in examples})
    # Data sets with more runs say more, but not in proportion: their runs are alike.
    raw = [
        (LONG_WEIGHT if e.record.max_steps >= LONG else 1.0)
        / per_run[e.run_id]
        / math.sqrt(runs[e.dataset])
        for e in examples
    ]
    return np.array(raw) / np.sum(raw)


def fit(examples: Sequence[Example], strength: float = STRENGTH) -> PreflightRule:
    """The rule without thresholds: it never calls a run GO or NO_GO."""
    names = part_names()
    columns = np.array([[_or_nan(getattr(e.parts, name)) for name in names] for e in examples])
    known = ~np.isnan(columns).all(axis=0)
    means = np.zeros(len(names))
    means[known] = np.nanmean(columns[:, known], axis=0)
    x = np.where(np.isnan(columns), means, columns)
    y = np.array([float(e.good) for e in examples])
    w = weights_of(examples)
    prior = np.array([PRIOR[name] for name in names])

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        margins = values[0] + x @ values[1:]
        probs = 1.0 / (1.0 + np.exp(-margins))
        losses = np.logaddexp(0.0, -margins) * y + np.logaddexp(0.0, margins) * (1.0 - y)
        slope = w * (probs - y)
        away = values[1:] - prior
        gradient = np.concatenate([[slope.sum()], slope @ x + strength * away])
        return float(w @ losses + 0.5 * strength * away @ away), gradient

    start = np.concatenate([[0.0], prior])
    bounds = [(None, None)] + [(0.0, None)] * len(names)
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return PreflightRule(
        intercept=float(found[0]),
        weights=dict(zip(names, found[1:].tolist(), strict=True)),
        missing=dict(zip(names, means.tolist(), strict=True)),
        sound=dict(zip(names, _weighted(x[y > 0], w[y > 0]).tolist(), strict=True)),
        good=(),
        go=2.0,
        go_rate=GO_RATE,
        runs=len({e.run_id for e in examples}),
        data_sets=len({e.dataset for e in examples}),
    )


def _weighted(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(n_parts,) weighted means of the columns."""
    means: np.ndarray = (w[:, None] * x).sum(axis=0) / w.sum()
    return means


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def held_out_probs(examples: Sequence[Example], strength: float = STRENGTH) -> np.ndarray:
    """(n,) P(good) of each example, by weights fitted without its data set."""
    probs = np.full(len(examples), np.nan)
    for dataset in sorted({e.dataset for e in examples}):
        rule = fit([e for e in examples if e.dataset != dataset], strength)
        for index, example in enumerate(examples):
            if example.dataset == dataset:
                probs[index] = rule.prob_good(example.parts)
    return probs


def go_threshold(probs: np.ndarray, good: np.ndarray, rate: float = GO_RATE) -> float:
    """The lowest P(good) from which on an upper bound of the share that ends poor is below `rate`.

    The bound is Clopper and Pearson's. Thresholds are tried from the highest on, and the first that
    fails ends the search (fixed-sequence testing: Angelopoulos et al. 2021, learn then test). 2
    where none holds.
    """
    order = np.argsort(-probs, kind="stable")
    threshold = 2.0
    least = math.ceil(math.log(1.0 - _CONFIDENCE) / math.log(1.0 - rate))
    for count in range(least, probs.size + 1):
        poor = int((~good[order[:count]]).sum())
        upper = beta.ppf(_CONFIDENCE, poor + 1, count - poor) if poor < count else 1.0
        if upper > rate:
            if count > least:
                break
            continue
        threshold = float(probs[order[count - 1]])
    return threshold


def calibrated(examples: Sequence[Example], strength: float = STRENGTH) -> PreflightRule:
    """The rule with its thresholds.

    They rest on examples judged without their data set, of runs of real length alone: short ones
    end lower than such runs do, and earlier.
    """
    probs = held_out_probs(examples, strength)
    good = np.array([example.good for example in examples])
    long = np.array([example.record.max_steps >= LONG for example in examples])
    probs, good = probs[long], good[long]
    scores = np.sort(probs[good]).round(6).tolist()
    return replace(
        fit(examples, strength), good=tuple(scores), go=round(go_threshold(probs, good), 6)
    )
