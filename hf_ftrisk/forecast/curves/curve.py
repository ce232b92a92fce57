"""Bayesian extrapolation of one evaluation curve to the end of the run.

In the coordinate z of the metric (`space.MetricSpace`), turned so that greater is better, a curve
is

    z(s) = a + b h(s) + c D(s) + W(E(s)) + noise

with the drift clock D and the noise clock E of the planned schedule (`schedule.Clocks`), a shape h
that saturates, takes off late or follows the annealing of the learning rate, a slow slope c
(overfitting, or gain that has not saturated), a Brownian path W for the wandering that the
optimiser's noise adds, and evaluation noise. Given the shape and the scales everything is
Gaussian, so evidence and prediction are exact; they are averaged over a fixed grid by evidence
times prior weight. The weights are fitted on completed runs (`prior.load_prior`). Last value (all
wandering, no noise) and mean of all values (all noise, no wandering) are both on the grid, so the
data choose between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

_LOG_2PI = float(np.log(2.0 * np.pi))
_JITTER = 1e-8

ShapeKind = Literal["saturating", "takeoff", "annealing"]
Pair = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Times:
    """Clock readings at n moments of a run, each (n,) and in [0, 1].

    Args:
        drift: share of the summed learning rate that has passed.
        noise: share of the summed squared learning rate that has passed.
        cooled: one minus the learning rate over its peak; 0 during warm-up.
    """

    drift: np.ndarray
    noise: np.ndarray
    cooled: np.ndarray

    def __len__(self) -> int:
        return int(self.drift.size)

    def then(self, later: Times) -> Times:
        """These moments followed by later ones."""
        return Times(
            np.concatenate([self.drift, later.drift]),
            np.concatenate([self.noise, later.noise]),
            np.concatenate([self.cooled, later.cooled]),
        )


@dataclass(frozen=True)
class Grid:
    """Values that the shape and the scales of a curve may take, in units of z.

    Args:
        shapes: (kind, place, width): saturating h = D / (D + place); take-off: a sigmoid of D
            around `place`; annealing: the cooled share of the learning rate.
        gains: (mean, sd) of b.
        slopes: (mean, sd) of c, over a whole run.
        walks: sd of W at the end of the run.
        noises: sd of one evaluation.
    """

    shapes: tuple[tuple[ShapeKind, float, float], ...] = (
        ("saturating", 0.01, 0.0),
        ("saturating", 0.03, 0.0),
        ("saturating", 0.1, 0.0),
        ("saturating", 0.3, 0.0),
        ("saturating", 1.0, 0.0),
        ("annealing", 0.0, 0.0),
        ("takeoff", 0.1, 0.03),
        ("takeoff", 0.2, 0.05),
        ("takeoff", 0.35, 0.06),
        ("takeoff", 0.5, 0.07),
        ("takeoff", 0.75, 0.08),
    )
    gains: tuple[Pair, ...] = ((0.0, 0.04), (0.3, 0.3), (0.9, 0.6), (2.5, 1.5), (6.0, 3.0))
    slopes: tuple[Pair, ...] = ((0.0, 0.03), (0.0, 0.3), (0.5, 0.5), (-0.5, 0.5), (-1.5, 1.0))
    walks: tuple[float, ...] = (0.02, 0.1, 0.3, 1.0)
    noises: tuple[float, ...] = (0.01, 0.04, 0.12, 0.35)

    @property
    def factors(self) -> dict[str, int]:
        """Number of values of each factor."""
        return {
            "shapes": len(self.shapes),
            "gains": len(self.gains),
            "slopes": len(self.slopes),
            "walks": len(self.walks),
            "noises": len(self.noises),
        }

    def components(self) -> dict[str, np.ndarray]:
        """Factor name -> (n_components,) index, over the full product of the factors."""
        axes = np.meshgrid(*(np.arange(n) for n in self.factors.values()), indexing="ij")
        return {name: a.reshape(-1) for name, a in zip(self.factors, axes, strict=True)}

    def shape_values(self, times: Times) -> np.ndarray:
        """h at n moments, (n_shapes, n)."""
        rows = []
        for kind, place, width in self.shapes:
            if kind == "saturating":
                rows.append(times.drift / (times.drift + place))
            elif kind == "takeoff":
                reach = np.clip((times.drift - place) / width, -50.0, 50.0)
                rows.append(1.0 / (1.0 + np.exp(-reach)))
            else:
                rows.append(times.cooled)
        return np.array(rows)


@dataclass(frozen=True, eq=False)
class Mixture:
    """Mixture of Gaussians over the curve at the asked moments.

    Args:
        log_evidence: (n_components,) log density of the evaluations seen.
        means: (n_components, n_points).
        covariances: (n_components, n_points, n_points).
    """

    log_evidence: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def sample(
        self, log_prior: np.ndarray, n: int, rng: np.random.Generator, extra_sd: float = 0.0
    ) -> np.ndarray:
        """Draw paths, (n, n_points), components in proportion to prior times evidence.

        Args:
            log_prior: (n_components,) log prior weights.
            n: number of paths.
            rng: source of randomness.
            extra_sd: further sd at each point, in units of z.
        """
        log_weight = log_prior + self.log_evidence
        weight = np.exp(log_weight - log_weight.max())
        edges = np.cumsum(weight) / weight.sum()
        at = (np.arange(n) + rng.random(n)) / n
        drawn, component = np.unique(
            np.minimum(np.searchsorted(edges, at), edges.size - 1), return_inverse=True
        )
        points = self.means.shape[1]
        wider = (extra_sd**2 + _JITTER) * np.eye(points)
        root = np.linalg.cholesky(self.covariances[drawn] + wider)
        noise = rng.standard_normal((n, points))
        paths = self.means[drawn][component] + np.einsum("npq,nq->np", root[component], noise)
        return np.asarray(paths)


@dataclass(frozen=True)
class Start:
    """Belief about the level a at the start of the run, in units of z."""

    mean: float
    sd: float


def condition(
    grid: Grid,
    components: Mapping[str, np.ndarray],
    z: np.ndarray,
    seen: Times,
    asked: Times,
    start: Start,
) -> Mixture:
    """Evidence of the evaluations and prediction of later ones, for each component.

    Args:
        grid: values of the factors.
        components: factor name -> (n_components,) indices into the grid.
        z: (n,) evaluations, greater is better, n >= 1.
        seen: clocks at the evaluations.
        asked: clocks at the moments asked for; the prediction includes evaluation noise.
        start: belief about the level at the start.
    """
    n = z.size
    times = seen.then(asked)
    gain_mean, gain_sd = np.array(grid.gains).T
    slope_mean, slope_sd = np.array(grid.slopes).T
    shape = grid.shape_values(times)[components["shapes"]]
    gain, slope = components["gains"], components["slopes"]
    walk = np.array(grid.walks)[components["walks"]]
    noise = np.array(grid.noises)[components["noises"]]
    mean = start.mean + gain_mean[gain][:, None] * shape + slope_mean[slope][:, None] * times.drift
    # Low-rank factors of the kernel: kernel = sum over the columns of `basis` + walk + noise.
    scaled_shape = gain_sd[gain][:, None] * shape
    kernel = scaled_shape[:, :, None] * scaled_shape[:, None, :]
    kernel += start.sd**2
    kernel += (slope_sd[slope] ** 2)[:, None, None] * np.outer(times.drift, times.drift)
    kernel += (walk**2)[:, None, None] * np.minimum.outer(times.noise, times.noise)
    diagonal = np.arange(len(times))
    kernel[:, diagonal, diagonal] += (noise**2)[:, None] + _JITTER
    root = np.linalg.cholesky(kernel[:, :n, :n])
    right = np.concatenate([(z - mean[:, :n])[:, :, None], kernel[:, :n, n:]], axis=2)
    solved = np.linalg.solve(root, right)
    white, cross = solved[:, :, 0], solved[:, :, 1:]
    log_det = 2.0 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    evidence = -0.5 * (np.einsum("kn,kn->k", white, white) + log_det + n * _LOG_2PI)
    means = mean[:, n:] + np.einsum("knm,kn->km", cross, white)
    covariances = kernel[:, n:, n:] - np.einsum("knm,knp->kmp", cross, cross)
    return Mixture(evidence, means, covariances)
