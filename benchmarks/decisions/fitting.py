"""Fit of the rule: weights that cannot be negative, thresholds with finite-sample bounds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import binom

from benchmarks.decisions.cases import Case
from benchmarks.in_parallel import in_parallel
from hf_ftrisk.policy.parts.parts import part_names
from hf_ftrisk.policy.parts.rule import PartsRule

# Runs of real length count more than the short ones of the reference library.
LONG, LONG_WEIGHT = 500, 4.0
# Weights, in log odds for a unit of the part, that the penalty draws toward: 0 but for what is rare
# among the recordings. A rate at which a single step wrecks the model is known to make a poor run.
PRIOR = {"heat": 3.0, "stability": 6.0}
# Of other tasks: an encoder-decoder from scratch learns at rates that throw a pretrained model.
OTHERS_PRIOR: Mapping[str, float] = {}
# Ridge penalty on the weight of a standard deviation of a part; the pairs' weights sum to 1.
STRENGTH = 0.01
GO_RATE = 0.1
# Confidence of the bound on the share of GOs that end poor.
_CONFIDENCE = 0.9
# Wrong settings that the search for a threshold can bear from its start on.
_SPARE = 2


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


def fit(
    examples: Sequence[Case], strength: float = STRENGTH, prior: Mapping[str, float] = PRIOR
) -> PartsRule:
    """The rule without thresholds: it never calls a run GO or NO_GO."""
    return _fit(examples, _part_columns(examples), strength, prior)


def _part_columns(examples: Sequence[Case]) -> np.ndarray:
    """(n, n_parts) parts, NaN where not measured."""
    unmeasured = dict.fromkeys(part_names(), math.nan)
    return np.array([e.parts.values(unmeasured) for e in examples])


def _fit(
    examples: Sequence[Case], columns: np.ndarray, strength: float, prior: Mapping[str, float]
) -> PartsRule:
    """`fit` to examples whose parts (n, n_parts) are read already."""
    names = part_names()
    measured = ~np.isnan(columns).all(axis=0)
    means = np.zeros(len(names))
    means[measured] = np.nanmean(columns[:, measured], axis=0)
    x = np.where(np.isnan(columns), means, columns)
    y = np.array([float(e.good) for e in examples])
    w = weights_of(examples)
    toward = np.array([prior.get(name, 0.0) for name in names])
    intercept, weights = _fit_weights(x, y, w, toward, strength)
    return PartsRule(
        intercept=intercept,
        weights=dict(zip(names, weights.tolist(), strict=True)),
        missing=dict(zip(names, means.tolist(), strict=True)),
        sound=dict(zip(names, _weighted(x[y > 0], w[y > 0]).tolist(), strict=True)),
        good=(),
        good_settings=(),
        go=2.0,
        go_rate=GO_RATE,
        runs=len({e.run_id for e in examples}),
        data_sets=len({e.dataset for e in examples}),
    )


def _fit_weights(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, prior: np.ndarray, strength: float
) -> tuple[float, np.ndarray]:
    """Intercept and (n_parts,) weights, none below 0, of a penalized logistic regression.

    Args:
        x: (n, n_parts) parts.
        y: (n,) 1 where the goal was met, else 0.
        w: (n,) weights that sum to 1.
        prior: (n_parts,) weights that the penalty draws toward.
        strength: of the penalty on weights of standardized parts.
    """
    spread = np.sqrt(w @ (x - w @ x) ** 2)
    scale = np.where(spread > 0.0, spread, 1.0)
    z = x / scale

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        margins = values[0] + z @ values[1:]
        losses = np.logaddexp(0.0, -margins) * y + np.logaddexp(0.0, margins) * (1.0 - y)
        slope = w * (expit(margins) - y)
        away = values[1:] - prior * scale
        gradient = np.concatenate([[slope.sum()], slope @ z + strength * away])
        return float(w @ losses + 0.5 * strength * away @ away), gradient

    bounds = [(None, None)] + [(0.0, None)] * x.shape[1]
    start = np.concatenate([[0.0], prior * scale])
    solution = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return float(solution[0]), solution[1:] / scale


def _weighted(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(n_parts,) weighted means of the columns."""
    means: np.ndarray = (w[:, None] * x).sum(axis=0) / w.sum()
    return means


def held_out_probs(
    examples: Sequence[Case], strength: float = STRENGTH, prior: Mapping[str, float] = PRIOR
) -> np.ndarray:
    """(n,) P(good) of each example, by weights fitted without its data set."""
    probs = np.full(len(examples), np.nan)
    columns, datasets = _part_columns(examples), np.array([e.dataset for e in examples])
    for dataset in np.unique(datasets).tolist():
        known, new = np.flatnonzero(datasets != dataset), np.flatnonzero(datasets == dataset)
        rule = _fit([examples[i] for i in known.tolist()], columns[known], strength, prior)
        probs[new] = [rule.prob_good(examples[i].parts) for i in new.tolist()]
    return probs


def go_threshold(
    probs: np.ndarray, good: np.ndarray, settings: Sequence[str], rate: float = GO_RATE
) -> float:
    """The lowest P(good) from which on an upper bound of the share that ends poor is below `rate`.

    Goals and seeds of one setting stand or fall together, so one pair of each setting is drawn
    among those that were called GO, and the drawn ones' share is bounded by the binomial
    distribution. Thresholds are tried downward from the one where so many settings are called that
    `_SPARE` wrong ones are still within the bound, so that a single one at the top does not end the
    search, and the first that fails ends it (fixed-sequence testing: Angelopoulos et al. 2021,
    learn then test). 2 where none holds.

    Args:
        probs: (n,) P(good) of pairs of a run and a goal.
        good: (n,) whether the goal was met.
        settings: (n,) the setting of each.
        rate: share of settings called GO that may be wrong, in (0, 1).
    """
    threshold = 2.0
    order = np.random.default_rng(0).permutation(len(probs))
    drawn: dict[str, int] = {}
    start = fewest_settings(rate)
    for index in np.argsort(-probs, kind="stable").tolist():
        first = drawn.get(settings[index])
        if first is None or order[index] < order[first]:
            drawn[settings[index]] = index
        if len(drawn) < start:
            continue
        wrong = sum(not good[chosen] for chosen in drawn.values())
        if binom.cdf(wrong, len(drawn), rate) > 1.0 - _CONFIDENCE:
            break
        threshold = float(probs[index])
    return threshold


def fewest_settings(rate: float) -> int:
    """Fewest settings of which `_SPARE` may be wrong, for a bound on their share below `rate`."""
    count = _SPARE + 1
    while binom.cdf(_SPARE, count, rate) > 1.0 - _CONFIDENCE:
        count += 1
    return count


def calibrated_without(
    examples: Sequence[Case], datasets: Sequence[str], prior: Mapping[str, float] = PRIOR
) -> Mapping[str, PartsRule]:
    """Data set -> `calibrated` on the examples of the others, all processors at work."""
    rules = in_parallel(partial(_calibrated_without, examples, prior), datasets)
    return dict(zip(datasets, rules, strict=True))


def _calibrated_without(
    examples: Sequence[Case], prior: Mapping[str, float], dataset: str
) -> PartsRule:
    others = [example for example in examples if example.dataset != dataset]
    return calibrated(others, prior=prior)


def calibrated(
    examples: Sequence[Case], strength: float = STRENGTH, prior: Mapping[str, float] = PRIOR
) -> PartsRule:
    """The rule with its thresholds.

    They rest on examples judged without their data set, of runs of real length alone: short ones
    end lower than such runs do, and earlier.
    """
    probs = held_out_probs(examples, strength, prior)
    good = np.array([example.good for example in examples])
    long = np.array([example.steps >= LONG for example in examples])
    probs, good = probs[long], good[long]
    settings = [example.setting for example, is_long in zip(examples, long, strict=True) if is_long]
    return replace(
        fit(examples, strength, prior),
        good=tuple(probs[good].round(6).tolist()),
        good_settings=tuple(name for name, met in zip(settings, good, strict=True) if met),
        go=round(go_threshold(probs, good, settings), 6),
    )
