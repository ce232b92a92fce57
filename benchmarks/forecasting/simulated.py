"""Simulated curves of a metric: the prior that the network of `hf_ftrisk.forecast.network` learned.

In units of z (log of a loss, logit of a rate), over a run of length 1. No constant was fitted to a
run; in which order the two forms came: docs/evidence/forecasting-choices.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Curve:
    """One simulated run.

    Args:
        at: (n,) steps of the evaluations, as shares of the run; the last is 1.
        z: (n,) evaluations, greater is better.
        rate: (n,) learning rate over its peak.
    """

    at: np.ndarray
    z: np.ndarray
    rate: np.ndarray


def simulated(rng: np.random.Generator, *, plain: bool) -> Curve:
    """A curve: rise, overfitting, and noise that falls with the learning rate.

    Args:
        rng: what draws it.
        plain: without what cooling down brings, and without steps of a score on few rows.
    """
    n = int(np.exp(rng.uniform(np.log(3.0), np.log(80.0))))
    at = (np.arange(n) + 1.0) / n
    rate = _rate(at, rng)
    z = rng.normal(0.0, 1.2) + _height(rng) * _rise(at, rng)
    if rng.random() < 0.35:
        onset, loss = rng.beta(1.2, 1.5), np.exp(rng.normal(-0.9, 0.9))
        z = z - loss * np.maximum(at - onset, 0.0) ** rng.uniform(0.7, 1.5)
    if not plain and rng.random() < 0.3:
        z = z + np.exp(rng.normal(-2.5, 1.0)) * (1.0 - rate)
    z = z + _noise(rate, rng)
    if not plain and rng.random() < 0.2:
        step = np.exp(rng.uniform(np.log(0.005), np.log(0.1)))
        z = np.round(z / step) * step
    return Curve(at, z, rate)


def _height(rng: np.random.Generator) -> float:
    """What a rise comes to: mostly some, sometimes nothing, rarely a fall."""
    kind, height = rng.random(), float(np.exp(rng.normal(-0.3, 1.1)))
    if kind < 0.12:
        return 0.0
    return -height if kind < 0.18 else height


def _rise(at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """From 0 towards 1, (n,): a power law, an exponential, or a late take-off."""
    kind = rng.random()
    if kind < 0.45:
        time = np.exp(rng.uniform(np.log(0.005), np.log(0.6)))
        return np.asarray(1.0 - (1.0 + at / time) ** -np.exp(rng.normal(-0.3, 0.6)))
    if kind < 0.8:
        return np.asarray(1.0 - np.exp(-at / np.exp(rng.uniform(np.log(0.02), 0.0))))
    width = np.exp(rng.uniform(np.log(0.01), np.log(0.2)))
    return np.asarray(1.0 / (1.0 + np.exp(-(at - rng.beta(1.0, 2.5)) / width)))


def _rate(at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Learning rate over its peak (n,): linear to 0, cosine, or constant."""
    kind = rng.random()
    if kind < 0.6:
        return np.asarray(np.clip((1.0 - at) / (0.9 if rng.random() < 0.5 else 1.0), 0.0, 1.0))
    if kind < 0.85:
        return np.asarray(0.5 * (1.0 + np.cos(np.pi * at)))
    return np.ones_like(at)


def _noise(rate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scatter (n,) of the evaluations: heavy-tailed, part of it with the rate, and single dips."""
    sd, part = np.exp(rng.normal(-3.1, 1.1)), rng.uniform()
    noise = rng.standard_t(4, rate.size) * sd * (part * rate + 1.0 - part)
    memory = rng.uniform(0.0, 0.7)
    if memory > 0.35:
        for i in range(1, rate.size):
            noise[i] = memory * noise[i - 1] + np.sqrt(1.0 - memory**2) * noise[i]
    if rng.random() < 0.15:
        is_dip = rng.random(rate.size) < 0.06
        noise = noise - is_dip * np.abs(rng.normal(0.0, 0.6, rate.size)) * (rate + 0.2)
    return np.asarray(noise)
