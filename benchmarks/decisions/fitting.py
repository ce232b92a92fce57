"""Fit of the rule: weights that cannot be negative, thresholds with finite-sample bounds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import rel_entr

from benchmarks.decisions.cases import Case
from hf_ftrisk.policy.parts.parts import part_names
from hf_ftrisk.policy.parts.rule import PartsRule

# What a unit of a part is taken to be worth before any pair is seen, in log odds: each part alone,
# at its worst, makes a good outcome unlikely.
PRIOR = {
    "signal": 2.0,
    "reach": 1.0,
    "rows": 1.0,
    "movement": 1.0,
    "simulated": 0.5,
    "heat": 3.0,
    "learning": 3.0,
    "separation": 1.0,
    "progress": 1.0,
    "stability": 6.0,
    "forecast": 0.5,
}
# Runs of real length count more than the short ones of the reference library.
LONG, LONG_WEIGHT = 500, 4.0
# Weight of the prior, as a share of all pairs' weight.
STRENGTH = 0.1
GO_RATE = 0.1
# Confidence of the bound on the share of GOs that end poor.
_CONFIDENCE = 0.8


def weights_of(examples: Sequence[Case]) -> np.ndarray:
    """(n,) weights: every data set counts alike, and every run of a data set."""
    per_run = Counter(example.run_id for example in examples)
    runs = Counter(dataset for _, dataset in {(e.run_id, e.dataset) for e in examples})
    # Data sets with more runs say more, but not in proportion: their runs are alike.
    raw = [
        (LONG_WEIGHT if e.steps >= LONG else 1.0) / per_run[e.run_id] / math.sqrt(runs[e.dataset])
        for e in examples
    ]
    return np.array(raw) / np.sum(raw)


def fit(examples: Sequence[Case], strength: float = STRENGTH) -> PartsRule:
    """The rule without thresholds: it never calls a run GO or NO_GO."""
    names = part_names()
    columns = np.array([[_or_nan(getattr(e.parts, name)) for name in names] for e in examples])
    measured = ~np.isnan(columns).all(axis=0)
    means = np.zeros(len(names))
    means[measured] = np.nanmean(columns[:, measured], axis=0)
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
    solution = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return PartsRule(
        intercept=float(solution[0]),
        weights=dict(zip(names, solution[1:].tolist(), strict=True)),
        missing=dict(zip(names, means.tolist(), strict=True)),
        sound=dict(zip(names, _weighted(x[y > 0], w[y > 0]).tolist(), strict=True)),
        good=(),
        good_settings=(),
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


def held_out_probs(examples: Sequence[Case], strength: float = STRENGTH) -> np.ndarray:
    """(n,) P(good) of each example, by weights fitted without its data set."""
    probs = np.full(len(examples), np.nan)
    for dataset in sorted({e.dataset for e in examples}):
        rule = fit([e for e in examples if e.dataset != dataset], strength)
        for index, example in enumerate(examples):
            if example.dataset == dataset:
                probs[index] = rule.prob_good(example.parts)
    return probs


def go_threshold(
    probs: np.ndarray, good: np.ndarray, settings: Sequence[str], rate: float = GO_RATE
) -> float:
    """The lowest P(good) from which on an upper bound of the share that ends poor is below `rate`.

    Goals and seeds of one setting stand or fall together, so settings are counted, each with the
    share of its pairs that were called GO and not met. The bound on the mean of such shares is
    Hoeffding's (1963). Thresholds are tried from the highest on, and the first that fails ends the
    search (fixed-sequence testing: Angelopoulos et al. 2021, learn then test). 2 where none holds.

    Args:
        probs: (n,) P(good) of pairs of a run and a goal.
        good: (n,) whether the goal was met.
        settings: (n,) the setting of each.
        rate: share of settings called GO that may be wrong, in (0, 1).
    """
    threshold = 2.0
    called: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    least = math.ceil(math.log(1.0 - _CONFIDENCE) / math.log(1.0 - rate))
    for index in np.argsort(-probs, kind="stable").tolist():
        called[settings[index]] += 1
        wrong[settings[index]] += not good[index]
        if len(called) < least:
            continue
        share = sum(wrong[name] / called[name] for name in called) / len(called)
        if share >= rate or len(called) * _divergence(share, rate) < -math.log(1.0 - _CONFIDENCE):
            break
        threshold = float(probs[index])
    return threshold


def _divergence(p: float, q: float) -> float:
    """Kullback-Leibler divergence of coins that fall on one side with chance p, q, in nats."""
    return float(rel_entr(p, q) + rel_entr(1.0 - p, 1.0 - q))


def calibrated(examples: Sequence[Case], strength: float = STRENGTH) -> PartsRule:
    """The rule with its thresholds.

    They rest on examples judged without their data set, of runs of real length alone: short ones
    end lower than such runs do, and earlier.
    """
    probs = held_out_probs(examples, strength)
    good = np.array([example.good for example in examples])
    long = np.array([example.steps >= LONG for example in examples])
    probs, good = probs[long], good[long]
    settings = [example.setting for example, is_long in zip(examples, long, strict=True) if is_long]
    return replace(
        fit(examples, strength),
        good=tuple(probs[good].round(6).tolist()),
        good_settings=tuple(name for name, met in zip(settings, good, strict=True) if met),
        go=round(go_threshold(probs, good, settings), 6),
    )
