"""What a stored decomposition loses, and how long a fit takes."""

from __future__ import annotations

import json
import time

import numpy as np

from benchmarks.recovery.planted import DEPTHS, HORIZON, independent, linear_schedule
from hf_ftrisk.risk import RiskDecomposition, fit_risk_curve


def fits(repeats: int, runs: int = 30) -> list[RiskDecomposition]:
    """Fits with every form: half of the planted curves are power laws, half tail energies."""
    random, fitted = np.random.default_rng(3), []
    for i in range(repeats):
        remaining = 1.0 - DEPTHS / HORIZON
        decay = (DEPTHS / DEPTHS[0]) ** -0.7 if i % 2 else remaining**3
        risks = independent(0.1 + decay, runs, random)
        fitted.append(fit_risk_curve(DEPTHS, risks, counts=runs, learning_rates=linear_schedule()))
    return fitted


def storage_error(repeats: int) -> dict[str, float]:
    """Stored against original: relative changes, 95th percentile over fits; bytes, largest."""
    moved: dict[str, list[float]] = {"total": [], "interval": [], "c*": [], "c* interval": []}
    size = 0
    for fit in fits(repeats):
        text = json.dumps(fit.to_dict())
        size = max(size, len(text))
        stored = RiskDecomposition.from_dict(json.loads(text))
        at = np.geomspace(DEPTHS[0], HORIZON, 50)
        moved["total"].append(float(np.abs(stored.total(at) / fit.total(at) - 1).max()))
        ends = np.array(stored.interval("intrinsic")) / np.array(fit.interval("intrinsic"))
        moved["interval"].append(float(np.abs(np.log(ends)).max()))
        moved["c*"].append(abs(stored.optimal_depth() - fit.optimal_depth()) / HORIZON)
        shift = np.subtract(stored.optimal_depth_interval(), fit.optimal_depth_interval())
        moved["c* interval"].append(float(np.abs(shift).max()) / HORIZON)
    return {**{n: float(np.quantile(v, 0.95)) for n, v in moved.items()}, "bytes": float(size)}


def fit_seconds(repeats: int, horizon: int) -> tuple[float, float]:
    """Median and slowest processor time of a fit with every form and a schedule of `horizon`."""
    random, spent = np.random.default_rng(4), []
    depths = DEPTHS * horizon / HORIZON
    rates = linear_schedule(horizon)
    for _ in range(repeats):
        risks = independent(0.1 + (depths / depths[0]) ** -0.7, 30, random)
        start = time.process_time()
        fit_risk_curve(depths, risks, counts=30, learning_rates=rates)
        spent.append(time.process_time() - start)
    return float(np.median(spent)), float(max(spent))
