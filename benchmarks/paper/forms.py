"""Which form of the decay holds at depths it was not fitted to.

Every form is fitted alone, by maximum likelihood on one grid, so that the forms are compared and
not their priors: L(c) = level (1 - f + f phi(c)) with the reducible share f, and phi the form. The
broken line is straight in log L against log c on either side of one depth, and has no L_int.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, gammaln

from benchmarks.paper.risks import Replay
from hf_ftrisk.risk.decay import Decay, TailEnergy
from hf_ftrisk.risk.estimators import effective_count

FORMS = (
    "constant",
    "power",
    "finite horizon",
    "tail energy",
    "tail energy ^ b",
    "exponential",
    "broken line",
)
_SHARES = expit(np.linspace(-5.0, 9.0, 36))
_ALPHAS = np.geomspace(0.1, 8.0, 24)
_POWERS = np.geomspace(0.15, 8.0, 24)
_SLOPES = np.concatenate([[0.0], np.geomspace(0.05, 12.0, 14)])


@dataclass(frozen=True)
class HeldOut:
    """One form on depths left out.

    Args:
        gain: mean log likelihood of a depth left out, less that of a constant risk.
        error: median of |log(predicted / measured)| there.
    """

    gain: float
    error: float


def curves(form: str, depths: np.ndarray, decay: Decay) -> np.ndarray:
    """(n_shapes, n_depths) relative risks that a form can have, 1 at the shallowest depth."""
    if form == "constant":
        return np.ones((1, depths.size))
    if form == "broken line":
        return _broken(depths)
    if form == "exponential":
        span = depths[-1] - depths[0]
        rates = np.geomspace(0.3, 40.0, 24) / max(span, 1e-9)
        shape = np.exp(-rates[:, None] * (depths - depths[0]))
    else:
        name, exponents = {
            "power": ("power", _ALPHAS),
            "finite horizon": ("horizon", _ALPHAS),
            "tail energy": ("tail", np.ones(1)),
            "tail energy ^ b": ("tail_power", _POWERS),
        }[form]
        shape = decay.shape(name, depths, exponents[:, None])  # type: ignore[arg-type]
    mixed = 1.0 - _SHARES[:, None, None] + _SHARES[:, None, None] * shape[None]
    return np.asarray(np.maximum(mixed.reshape(-1, depths.size), 1e-9))


def _broken(depths: np.ndarray) -> np.ndarray:
    x = np.log(depths / depths[0])
    knots = x[1:-1] if x.size > 2 else x[-1:]
    rows = [
        -first * np.minimum(x, knot) - second * np.maximum(x - knot, 0.0)
        for knot in knots
        for first in _SLOPES
        for second in _SLOPES
    ]
    return np.exp(np.array(rows))


def fitted(shapes: np.ndarray, risks: np.ndarray, dof: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(n_depths,) risk of the likeliest of some shapes, given the depths of a mask."""
    shape, risk, weight = shapes[:, given], risks[given], dof[given]
    level = (weight * risk / shape).sum(axis=1) / weight.sum()
    curve = level[:, None] * shape
    score = -0.5 * (weight * (np.log(curve) + risk / curve)).sum(axis=1)
    best = int(score.argmax())
    return np.asarray(level[best] * shapes[best])


def log_density(risks: np.ndarray, curve: np.ndarray, dof: np.ndarray) -> np.ndarray:
    """Log density of measured risks, curve * chi2 / dof, at each depth."""
    half = dof / 2.0
    return np.asarray(
        half * np.log(half / curve)
        - gammaln(half)
        + (half - 1) * np.log(risks)
        - half * risks / curve
    )


def compared(replay: Replay, predictor: str) -> Mapping[str, Mapping[str, HeldOut]]:
    """ "between" and "beyond" -> form -> how it does at depths left out.

    Between: every depth but the first and the last in turn, given the others. Beyond: the deeper
    half of the depths, given the shallower.
    """
    depths, risks = replay.depths, replay.risk(predictor)
    squares = replay.errors[predictor] ** 2
    dof = np.array([effective_count(column) - 1.0 for column in squares.T])
    task = replay.task
    energy = TailEnergy.from_learning_rates(
        task.rates, task.horizon if task.rates.size != task.horizon else None
    )
    decay = Decay(float(depths[0]), float(task.horizon), energy)
    n = depths.size
    between = [np.arange(n) != i for i in range(1, n - 1)]
    first = max(2, (n + 1) // 2)
    ways = {"between": between, "beyond": [np.arange(n) < first]}
    shapes = {form: curves(form, depths, decay) for form in FORMS}
    return {
        way: {form: _held_out(shapes[form], risks, dof, masks) for form in FORMS}
        for way, masks in ways.items()
    }


def _held_out(
    shapes: np.ndarray, risks: np.ndarray, dof: np.ndarray, masks: Sequence[np.ndarray]
) -> HeldOut:
    gains, errors = [], []
    flat = np.ones((1, risks.size))
    for mask in masks:
        curve, constant = (fitted(s, risks, dof, mask) for s in (shapes, flat))
        new = ~mask
        better = log_density(risks, curve, dof) - log_density(risks, constant, dof)
        gains += better[new].tolist()
        errors += np.abs(np.log(curve[new] / risks[new])).tolist()
    return HeldOut(float(np.mean(gains)), float(np.median(errors)))
