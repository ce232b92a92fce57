"""Posterior of a risk curve by quadrature, and deterministic draws from it.

Each measured risk is a variance estimate: risk_i ~ L(c_i) chi2_nu_i / nu_i, independent over the
depths. Writing L(c) = level (1 - f + f phi(c)) with the reducible share f at the shallowest depth,
the level integrates out in closed form (it is inverse-gamma given the rest), so that two dimensions
are left for quadrature: the log odds of f and the log of the exponent. The grid follows the
posterior: rows of equal exponent, each with its own window of f, both narrowed until the mass
fills them. No random numbers are involved anywhere.

When the same runs are looked at at every depth, their estimates err together. The shape of the
curve is then known rather better than from independent estimates, and is left as it is; but the
level is known no better than from one depth, so its posterior given the shape counts the mean of
the degrees of freedom instead of their sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, gammainc, gammaincinv, gammaln

from hf_ftrisk.risk.curves import CurveDraws
from hf_ftrisk.risk.decay import Decay, Floats, Form
from hf_ftrisk.risk.prior import RiskPrior

N_DRAWS = 2000
_ROWS = 33
_CELLS = 41
_PRIOR_REACH = 4.5  # standard deviations of the prior the grid spans
_NEGLIGIBLE = 16.0  # log posterior below the peak that no longer matters: exp(-16) ~ 1e-7
_ROUNDS = 4
# Degrees of freedom tried when the number of runs is not known, equally likely.
_UNKNOWN_DOF = 2.0 ** np.arange(0, 11)
# Plastic-number sequence: evenly spread points in three dimensions (Roberts 2018).
_LATTICE = 1.0 / 1.2207440846057596 ** np.arange(1, 4)


@dataclass(frozen=True, eq=False)
class Measurements:
    """The measurements in the form the likelihood needs.

    Args:
        depths: (n,) increasing depths, optimizer steps.
        risks: (n,) estimates of L at them, squared units of R.
        dof: (n,) degrees of freedom of each, None when the number of runs is not known.
        floor: lower bound of L_int, 0 for none.
        same_runs: the same runs stand behind every depth, so that the level is known no better
            than from one of them; needs `dof`.
    """

    depths: Floats
    risks: Floats
    dof: Floats | None
    floor: float = 0.0
    same_runs: bool = False

    @property
    def level_share(self) -> float:
        """Share of the degrees of freedom, summed over the depths, that the level may count."""
        return 1.0 / self.risks.size if self.same_runs else 1.0

    @property
    def level_dof(self) -> float:
        """Degrees of freedom behind the level; infinite when they are left to the scatter."""
        return math.inf if self.dof is None else float(self.dof.sum()) * self.level_share


@dataclass(frozen=True, eq=False)
class _Grid:
    """Cells of one form's posterior: rows of equal exponent, columns of equal odds position."""

    form: Form
    log_exponent: Floats  # (rows,)
    row_width: float  # 0 for a form without exponent
    low: Floats  # (rows,) window of the log odds of f
    width: Floats  # (rows,) width of a cell in that window
    log_mass: Floats  # (rows, cells)

    @property
    def log_evidence(self) -> float:
        return float(_log_sum_exp(self.log_mass))


@dataclass(frozen=True, eq=False)
class Posterior:
    """Posterior over the available forms.

    Args:
        weights: posterior weight of each form.
        draws: equally likely curves over all forms, ordered by form, exponent and share.
        log_bayes_decay: log Bayes factor of a decaying curve against a constant one.
    """

    weights: dict[Form, float]
    draws: CurveDraws
    log_bayes_decay: float


def _log_sum_exp(values: Floats, axis: int | None = None) -> Floats:
    """Log of the summed exponentials, along an axis or of all: scipy's, at a tenth of its cost."""
    top = values.max(axis=axis, keepdims=True)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        total = np.log(np.exp(values - shift).sum(axis=axis, keepdims=True)) + shift
    return np.asarray(total.reshape(()) if axis is None else total.squeeze(axis))


def _log_normal_density(x: Floats, mean: float, sd: float) -> Floats:
    return np.asarray(-0.5 * ((x - mean) / sd) ** 2 - np.log(sd * np.sqrt(2 * np.pi)))


def _log_truncation(shape: Floats | float, bound: Floats) -> Floats:
    """log P(X <= bound) for X ~ Gamma(shape), safe where the probability underflows."""
    inside = gammainc(shape, bound)
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = shape * np.log(bound) - bound - gammaln(np.asarray(shape) + 1)
        tail -= np.log1p(-np.minimum(bound / (np.asarray(shape) + 1), 0.999))
        return np.asarray(np.where(inside > 1e-280, np.log(inside), tail))


def _curve(share: Floats, shape: Floats) -> Floats:
    """g = L(c) / level at every depth: share (...), shape (..., n) -> (..., n)."""
    f = share[..., None]
    return np.asarray((1.0 - f) + f * shape)


def _level_given(
    measurements: Measurements, prior: RiskPrior, g: Floats, share: Floats
) -> tuple[Floats, Floats, Floats]:
    """Log likelihood with the level integrated out, and the level's inverse-gamma parameters.

    Returns:
        (log likelihood, shape, rate), each with a leading axis over the degrees of freedom tried:
        one entry when the counts are known.
    """
    log_g: Floats = np.asarray(np.log(g))
    if measurements.dof is not None:
        half: Floats = np.asarray(measurements.dof / 2.0)
        shape = np.array([prior.level_shape + half.sum()])
        rate = (prior.level_rate + np.einsum("...i,i->...", 1.0 / g, half * measurements.risks))[
            None
        ]
        loglik: Floats = np.asarray(-np.einsum("...i,i->...", log_g, half)[None])
        constant = np.zeros(1)
    else:
        positive = measurements.risks[measurements.risks > 0]
        half = np.asarray(_UNKNOWN_DOF / 2.0)
        n = measurements.risks.size
        shape = prior.level_shape + half * n
        each = tuple([-1] + [1] * share.ndim)
        rate = prior.level_rate + half.reshape(each) * np.einsum(
            "...i,i->...", 1.0 / g, measurements.risks
        )
        loglik = np.asarray(-half.reshape(each) * log_g.sum(axis=-1))
        each_risk = half * np.log(half) - gammaln(half)
        constant = n * each_risk + (half - 1) * np.log(positive).sum() - np.log(half.size)
    wide = shape.reshape([-1] + [1] * share.ndim)
    loglik = loglik + constant.reshape(wide.shape) + gammaln(wide) - wide * np.log(rate)
    if measurements.same_runs:
        shape, rate = (
            prior.level_shape + measurements.level_share * (shape - prior.level_shape),
            prior.level_rate + measurements.level_share * (rate - prior.level_rate),
        )
        wide = shape.reshape(wide.shape)
    if measurements.floor > 0:
        loglik = loglik + _log_truncation(wide, rate * (1.0 - share) / measurements.floor)
    return np.asarray(loglik), shape, np.asarray(rate)


def _log_likelihood(
    measurements: Measurements, prior: RiskPrior, g: Floats, share: Floats
) -> Floats:
    loglik = _level_given(measurements, prior, g, share)[0]
    return np.asarray(loglik[0] if loglik.shape[0] == 1 else _log_sum_exp(loglik, axis=0))


def _centers(n: int) -> Floats:
    return (np.arange(n) + 0.5) / n


def _narrow(log_mass: Floats, low: Floats, width: Floats) -> tuple[Floats, Floats]:
    """Window (low, high) per row around the cells that hold mass, one cell wider on each side."""
    n = log_mass.shape[-1]
    heavy = log_mass > log_mass.max(axis=-1, keepdims=True) - _NEGLIGIBLE
    first = heavy.argmax(axis=-1) - 1
    last = n - heavy[..., ::-1].argmax(axis=-1) + 1
    return low + np.maximum(first, 0) * width, low + np.minimum(last, n) * width


def _share_grid(
    measurements: Measurements, prior: RiskPrior, shape: Floats
) -> tuple[Floats, Floats, Floats]:
    """Quadrature over the log odds of f for each row: shape (rows, n) -> low, width, log mass."""
    rows = shape.shape[0]
    low = np.full(rows, prior.share_mean - _PRIOR_REACH * prior.share_sd)
    high = np.full(rows, prior.share_mean + _PRIOR_REACH * prior.share_sd)
    for round_ in range(_ROUNDS):
        width = (high - low) / _CELLS
        odds = low[:, None] + (high - low)[:, None] * _centers(_CELLS)
        share = np.asarray(expit(odds))
        log_mass = _log_likelihood(measurements, prior, _curve(share, shape[:, None, :]), share)
        log_mass = log_mass + _log_normal_density(odds, prior.share_mean, prior.share_sd)
        log_mass = log_mass + np.log(width)[:, None]
        new_low, new_high = _narrow(log_mass, low, width)
        if round_ == _ROUNDS - 1 or np.all(new_high - new_low > 0.6 * (high - low)):
            break
        low, high = new_low, new_high
    return low, width, log_mass


def _form_grid(measurements: Measurements, prior: RiskPrior, decay: Decay, form: Form) -> _Grid:
    if form == "tail":
        shape = decay.shape(form, measurements.depths, 1.0)[None]
        low, width, log_mass = _share_grid(measurements, prior, shape)
        return _Grid(form, np.zeros(1), 0.0, low, width, log_mass)
    mean, sd = prior.exponent(form)
    start, end = mean - _PRIOR_REACH * sd, mean + _PRIOR_REACH * sd
    for round_ in range(_ROUNDS):
        row_width = (end - start) / _ROWS
        log_exponent = start + (end - start) * _centers(_ROWS)
        shape = decay.shape(form, measurements.depths, np.exp(log_exponent)[:, None])
        low, width, log_mass = _share_grid(measurements, prior, shape)
        row_mass = _log_normal_density(log_exponent, mean, sd) + np.log(row_width)
        log_mass = log_mass + row_mass[:, None]
        narrowed = _narrow(
            _log_sum_exp(log_mass, axis=1)[None], np.array([start]), np.array([row_width])
        )
        new_start, new_end = float(narrowed[0][0]), float(narrowed[1][0])
        if round_ == _ROUNDS - 1 or new_end - new_start > 0.6 * (end - start):
            break
        start, end = new_start, new_end
    return _Grid(form, log_exponent, row_width, low, width, log_mass)


def _spread(n: int) -> Floats:
    """(n, 3) evenly spread points in the unit cube."""
    return np.asarray((0.5 + np.arange(1, n + 1)[:, None] * _LATTICE) % 1.0)


def _draw_level(
    measurements: Measurements, prior: RiskPrior, g: Floats, share: Floats, u: Floats
) -> Floats:
    """Level at quantile u of its posterior given the rest; shapes (n,)."""
    loglik, shapes, rates = _level_given(measurements, prior, g, share)
    pick = np.zeros(u.size, dtype=int)
    if shapes.size > 1:
        # The first part of u picks the degrees of freedom, what is left of it the level.
        edges = np.cumsum(np.exp(loglik - _log_sum_exp(loglik, axis=0)), axis=0)
        pick = np.minimum((u[None] > edges).sum(axis=0), shapes.size - 1)
        below = np.where(pick > 0, edges[pick - 1, np.arange(u.size)], 0.0)
        inside = edges[pick, np.arange(u.size)] - below
        u = np.clip((u - below) / np.maximum(inside, 1e-12), 1e-6, 1 - 1e-6)
    shape, rate = shapes[pick], rates[pick, np.arange(u.size)]
    if measurements.floor <= 0:
        return np.asarray(rate / gammaincinv(shape, u))
    bound = rate * (1.0 - share) / measurements.floor
    within = gammainc(shape, bound)
    # Far in the lower tail the density of X grows like exp((shape / bound - 1) X) up to the bound.
    steep = np.maximum(shape - bound, 1.0)
    tail = bound * u ** (1.0 / steep)
    gamma = np.where(within > 1e-280, gammaincinv(shape, u * within), tail)
    return np.asarray(rate / np.minimum(np.where(gamma > 0, gamma, tail), bound))


def _draw(
    measurements: Measurements,
    prior: RiskPrior,
    decay: Decay,
    grids: list[_Grid],
    log_prior: Floats,
    n: int,
) -> CurveDraws:
    mass = np.concatenate([(g.log_mass + w).ravel() for g, w in zip(grids, log_prior, strict=True)])
    cumulative = np.cumsum(np.exp(mass - _log_sum_exp(mass)))
    cell = np.searchsorted(cumulative, _centers(n) * cumulative[-1])
    cell = np.minimum(cell, mass.size - 1)
    ends = np.cumsum([g.log_mass.size for g in grids])
    form = np.searchsorted(ends, cell, side="right")
    spread = _spread(n)
    share, exponent, level = np.empty(n), np.ones(n), np.empty(n)
    for k, grid in enumerate(grids):
        mine = np.flatnonzero(form == k)
        if mine.size == 0:
            continue
        row, column = np.divmod(cell[mine] - (ends[k] - grid.log_mass.size), _CELLS)
        odds = grid.low[row] + (column + spread[mine, 0]) * grid.width[row]
        share[mine] = expit(odds)
        moved = grid.log_exponent[row] + (spread[mine, 1] - 0.5) * grid.row_width
        exponent[mine] = np.exp(moved)
        shape = decay.shape(grid.form, measurements.depths, exponent[mine][:, None])
        g = _curve(share[mine], shape)
        level[mine] = _draw_level(measurements, prior, g, share[mine], spread[mine, 2])
    return CurveDraws(decay, decay.forms, form, level * (1.0 - share), level * share, exponent)


def compute_posterior(measurements: Measurements, prior: RiskPrior, decay: Decay) -> Posterior:
    """Posterior over all available forms, given at least one risk above zero."""
    forms = decay.forms
    grids = [_form_grid(measurements, prior, decay, form) for form in forms]
    weights = prior.weights(forms)
    with np.errstate(divide="ignore"):
        log_prior = np.log(np.array([weights[form] for form in forms]))
    log_joint = log_prior + np.array([grid.log_evidence for grid in grids])
    total = float(_log_sum_exp(log_joint))
    flat = _log_likelihood(measurements, prior, np.ones(measurements.depths.size), np.array(0.0))
    shares = np.exp(log_joint - total)
    return Posterior(
        weights={form: float(share) for form, share in zip(forms, shares, strict=True)},
        draws=_draw(measurements, prior, decay, grids, log_prior, N_DRAWS),
        log_bayes_decay=total - float(flat),
    )
