"""Simulated SGD: how the variance of the end given the first c steps really decays.

One direction, theta_{k+1} = theta_k - eta_k (h theta_k + noise_k), R = theta_T plus the noise of
an evaluation. h = 0 is a flat direction, h > 0 a noisy quadratic, whose contraction forgets. Given
theta_c the best forecast is theta_c prod_{k>=c} (1 - eta_k h), and the variance left is
sum_{k>=c} eta_k^2 prod_{j>k} (1 - eta_j h)^2, all known in closed form.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.recovery.planted import DEPTHS, HORIZON, linear_schedule
from hf_ftrisk.risk import RiskPrior, fit_risk_curve
from hf_ftrisk.risk.decay import FORMS

STEPS = np.arange(HORIZON)
RHOS = (0.6, 0.75, 0.9, 1.0)
CONTRACTIONS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def schedules() -> dict[str, np.ndarray]:
    """Learning rates (T,) of the schedules in use, peak 1."""
    at = STEPS / HORIZON
    warm = np.minimum((STEPS + 1) / 100, 1.0)
    return {
        "linear": linear_schedule(),
        "cosine": 0.5 * (1.0 + np.cos(np.pi * at)),
        "constant": np.ones(HORIZON),
        "warm-up, linear": warm * np.minimum(1.0, (1.0 - at) / 0.9),
        "warm-up, cosine": warm * 0.5 * (1.0 + np.cos(np.pi * np.maximum(at - 0.1, 0.0) / 0.9)),
        "warm-up, constant": warm,
        "c^-0.75": inverse_power(0.75),
    }


def inverse_power(rho: float) -> np.ndarray:
    """Learning rates (T,) that fall as c^-rho."""
    return (STEPS + 1.0) ** -rho


def variance_left(rates: np.ndarray, contraction: float = 0.0) -> np.ndarray:
    """Var(theta_T | theta_c) (T+1,) for c = 0 .. T with unit noise.

    Args:
        rates: (T,) learning rates.
        contraction: h sum(eta): how often the direction forgets over the run.
    """
    keep = 1.0 - rates * contraction / rates.sum()
    # prod_{j>k} keep_j for every step k.
    later = np.append(np.cumprod(keep[:0:-1])[::-1], 1.0)
    return np.append(np.cumsum(((rates * later) ** 2)[::-1])[::-1], 0.0)


def measure(
    rates: np.ndarray,
    runs: int,
    random: np.random.Generator,
    *,
    contraction: float = 0.0,
    evaluation: float = 0.0,
    depths: np.ndarray = DEPTHS,
) -> tuple[np.ndarray, np.ndarray]:
    """Run SGD `runs` times and forecast the end from each depth.

    Args:
        rates: (T,) learning rates.
        runs: number of runs.
        random: source of the noise.
        contraction: as in `variance_left`.
        evaluation: variance of the evaluation's noise: the planted L_int.
        depths: (n,) depths, rounded to whole steps.

    Returns:
        (whole depths, mean squared errors of the forecasts there).
    """
    h = contraction / rates.sum()
    at = np.unique(np.round(depths).astype(int))
    keep = 1.0 - rates * h
    theta, forecasts = np.zeros(runs), {}
    for step, rate in enumerate(rates):
        if step in at:
            forecasts[step] = theta * keep[step:].prod()
        theta = keep[step] * theta - rate * random.normal(size=runs)
    end = theta + np.sqrt(evaluation) * random.normal(size=runs)
    return at.astype(float), np.array([((end - forecasts[c]) ** 2).mean() for c in at])


def exponents(runs: int = 3000) -> list[dict[str, Any]]:
    """Flat direction with eta ~ c^-rho: is the exponent 2 rho - 1, and does the fit find it?"""
    rows = []
    for rho in RHOS:
        rates = inverse_power(rho)
        left = variance_left(rates)
        depths, risks = measure(rates, runs, np.random.default_rng(11), evaluation=0.002 * left[20])
        fit = fit_risk_curve(depths, risks, counts=runs, horizon=HORIZON, same_runs=True)
        low, high = fit.interval("alpha")
        rows.append(
            {
                "rho": rho,
                "true": 2 * rho - 1,
                "alpha": fit.alpha,
                "low": low,
                "high": high,
                "horizon": fit.weights["horizon"],
            }
        )
    return rows


def schedule_fits(runs: int = 2000) -> list[dict[str, Any]]:
    """Flat direction under every schedule: weights of the forms, error of the curve."""
    rows = []
    for name, rates in schedules().items():
        left = variance_left(rates)
        depths, risks = measure(rates, runs, np.random.default_rng(12), evaluation=0.05 * left[0])
        fit = fit_risk_curve(depths, risks, counts=runs, learning_rates=rates, same_runs=True)
        at = np.arange(int(depths[0]), HORIZON)
        scale = left[int(depths[0])]
        rows.append(
            {
                "schedule": name,
                **dict(fit.weights),
                "error": float(np.abs(fit.optimization(at) - left[at]).max() / scale),
                "intrinsic": fit.intrinsic / (0.05 * left[0]),
            }
        )
    return rows


def alone(form: str) -> RiskPrior:
    """The default prior with one form only."""
    return RiskPrior(form_weights={form: 1.0})


def contraction_fits(runs: int = 2000) -> list[dict[str, Any]]:
    """Noisy quadratic under linear decay: how far each form follows a direction that forgets.

    Each form is fitted alone to the exact risks, as sure as `runs` runs make them; the error is the
    largest one of V_opt from the shallowest depth on, as a share of V_opt there. The weights are
    those of a fit with all forms.
    """
    rates = linear_schedule()
    depths = np.round(DEPTHS)
    rows = []
    for contraction in CONTRACTIONS:
        left = variance_left(rates, contraction)
        first = int(depths[0])
        at = np.arange(first, HORIZON)
        risks = left[depths.astype(int)] + 0.05 * left[first]
        row: dict[str, Any] = {"contraction": contraction}
        for form in FORMS:
            fit = fit_risk_curve(
                depths, risks, counts=runs, learning_rates=rates, prior=alone(form)
            )
            row[form] = float(np.abs(fit.optimization(at) - left[at]).max() / left[first])
        both = fit_risk_curve(depths, risks, counts=runs, learning_rates=rates)
        row["all"] = float(np.abs(both.optimization(at) - left[at]).max() / left[first])
        row["weights"] = dict(both.weights)
        row["b"] = both.parameters("tail_power")["b"] if both.weights["tail_power"] > 0.01 else None
        rows.append(row)
    return rows
