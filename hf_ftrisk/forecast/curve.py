"""Bayesian extrapolation of one evaluation curve to the end of the run.

In the coordinate z of the metric (`space.MetricSpace`) a curve is

    z(s) = a + b h(D(s)) + c D(s) + W(E(s)) + noise

with the drift clock D and the noise clock E of the planned schedule (`schedule.Clocks`), a
saturating or take-off shape h, a slow slope c (overfitting, or gain that has not saturated), a
Brownian path W for the wandering that the optimiser's noise adds, and evaluation noise. Given the
shape of h and the two noise scales everything is Gaussian, so its evidence and its prediction are
exact; the shapes and scales are averaged over a fixed grid by their evidence times a prior fitted
on completed runs. Last value (all wandering, no noise) and mean of all values (all noise, no
wandering) are both special cases, so the data choose between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class CurvePrior:
    """Prior scales of the curve model, in units of z, for one kind of metric.

    Args:
        level: sd of the start level a around the first evaluation.
        gain: mean of the total improvement b (positive: better).
        gain_sd: sd of b.
        slope_sd: sd of the slow slope c over a whole run.
        walk: grid of sds of the wandering over a whole run.
        noise: grid of sds of one evaluation.
        outcome_sd: extra sd of the outcome around the last evaluation (a separate test set).
    """

    level: float = 1.5
    gain: float = 0.6
    gain_sd: float = 0.9
    slope_sd: float = 0.3
    walk: tuple[float, ...] = (0.05, 0.15, 0.4, 1.0)
    noise: tuple[float, ...] = (0.02, 0.07, 0.2, 0.6)
    outcome_sd: float = 0.02


@dataclass(frozen=True, eq=False)
class Shapes:
    """Grid of shapes h: D in [0, 1] -> share of the gain that has arrived.

    Args:
        kind: (n_shapes,) 0 for saturating, 1 for take-off.
        place: (n_shapes,) drift share at which half the gain has arrived.
        width: (n_shapes,) width of a take-off, unused otherwise.
        log_prior: (n_shapes,) log prior weights.
    """

    kind: np.ndarray
    place: np.ndarray
    width: np.ndarray
    log_prior: np.ndarray

    @classmethod
    def grid(cls, takeoff_weight: float = 0.25) -> Shapes:
        """Saturation at 1 to 100 % of the run; take-offs at 10 to 90 % of it."""
        saturating = np.geomspace(0.01, 1.0, 9)
        centers = np.array([0.1, 0.2, 0.3, 0.45, 0.6, 0.8])
        widths = np.array([0.03, 0.08])
        place = np.concatenate([saturating, np.repeat(centers, widths.size)])
        width = np.concatenate([np.ones(saturating.size), np.tile(widths, centers.size)])
        kind = np.concatenate([np.zeros(saturating.size), np.ones(centers.size * widths.size)])
        weight = np.where(
            kind == 0,
            (1 - takeoff_weight) / saturating.size,
            takeoff_weight / (centers.size * widths.size),
        )
        return cls(kind, place, width, np.log(weight))

    def value(self, drift: np.ndarray) -> np.ndarray:
        """h at drift shares (n,), as (n_shapes, n)."""
        d = np.asarray(drift, dtype=np.float64)[None, :]
        place, width = self.place[:, None], self.width[:, None]
        saturating = d / (d + place)
        takeoff = 1.0 / (1.0 + np.exp(-np.clip((d - place) / width, -50.0, 50.0)))
        return np.where(self.kind[:, None] == 0, saturating, takeoff)


@dataclass(frozen=True, eq=False)
class CurvePosterior:
    """Predictive mixture of Gaussians at the asked points.

    Args:
        weights: (n_components,) posterior weights, summing to 1.
        means: (n_components, n_points).
        covariances: (n_components, n_points, n_points).
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw paths, (n, n_points): components in proportion to their weights."""
        edges = np.cumsum(self.weights)
        at = (np.arange(n) + rng.random(n)) / n
        component = np.minimum(np.searchsorted(edges, at), self.weights.size - 1)
        points = self.means.shape[1]
        root = np.linalg.cholesky(self.covariances + 1e-10 * np.eye(points))
        noise = rng.standard_normal((n, points))
        return np.asarray(self.means[component] + np.einsum("npq,nq->np", root[component], noise))


@dataclass(frozen=True)
class CurveModel:
    """The curve model with its prior and its grid of shapes."""

    prior: CurvePrior = field(default_factory=CurvePrior)
    shapes: Shapes = field(default_factory=Shapes.grid)
    keep: int = 120

    def posterior(
        self,
        z: np.ndarray,
        drift: np.ndarray,
        noise: np.ndarray,
        future: tuple[np.ndarray, np.ndarray],
        *,
        better: float,
    ) -> CurvePosterior:
        """Predictive distribution of the noisy curve at future clock times.

        Args:
            z: (n,) evaluations so far in the metric's coordinate, n >= 1.
            drift: (n,) drift clock at the evaluations, in [0, 1].
            noise: (n,) noise clock at the evaluations, in [0, 1].
            future: drift and noise clocks, each (m,), of the points asked for.
            better: 1 when a greater z is better, else -1.
        """
        prior = self.prior
        d_all = np.concatenate([drift, future[0]])
        e_all = np.concatenate([noise, future[1]])
        n = z.size
        h = self.shapes.value(d_all)
        h0 = self.shapes.value(d_all[:1])
        gain = h - h0
        slope = d_all - d_all[0]
        mean = z[0] + better * prior.gain * gain
        shared = (
            prior.level**2
            + prior.slope_sd**2 * np.outer(slope, slope)
            + (prior.gain_sd**2) * gain[:, :, None] * gain[:, None, :]
        )
        path = np.minimum.outer(e_all, e_all) - e_all[0]
        walk, noise_sd = (
            g.reshape(-1) for g in np.meshgrid(prior.walk, prior.noise, indexing="ij")
        )
        scales = walk.size
        kernel = (
            shared[None]
            + (walk**2)[:, None, None, None] * path
            + (noise_sd**2)[:, None, None, None] * np.eye(d_all.size)
        )
        kernel = kernel.reshape(scales * h.shape[0], d_all.size, d_all.size)
        residual = np.tile(z - mean[:, :n], (scales, 1))
        root = np.linalg.cholesky(kernel[:, :n, :n])
        white = np.linalg.solve(root, residual[:, :, None])[:, :, 0]
        log_det = 2.0 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        evidence = -0.5 * ((white**2).sum(axis=1) + log_det + n * _LOG_2PI)
        log_weight = evidence + np.tile(self.shapes.log_prior, scales)
        top = np.argsort(log_weight)[::-1][: self.keep]
        weight = np.exp(log_weight[top] - log_weight[top[0]])
        cross = np.linalg.solve(root[top], kernel[top][:, :n, n:])
        means = np.tile(mean[:, n:], (scales, 1))[top] + np.einsum("knm,kn->km", cross, white[top])
        covariance = kernel[top][:, n:, n:] - np.einsum("knm,knp->kmp", cross, cross)
        extra = prior.outcome_sd**2 * np.eye(means.shape[1])
        return CurvePosterior(weight / weight.sum(), means, covariance + extra)
