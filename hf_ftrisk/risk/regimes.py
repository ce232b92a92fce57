"""The three regimes of a fine-tune, with their probabilities.

The paper (arXiv 2606.17649) names the regimes in words; the cuts are this package's own. With a
tolerance delta, the number of units of R that matter:

* noise-dominant: sqrt(L_int) > delta; no depth of probing brings the error within the tolerance;
* static-sufficient: sqrt(L) <= delta already at the cheapest depth, or from static signals alone;
* dynamic-critical: otherwise; the error can be brought within the tolerance, but only by depth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

from hf_ftrisk.risk.decay import Floats

Regime = Literal["noise-dominant", "static-sufficient", "dynamic-critical", "unidentified"]
NamedRegime = Literal["noise-dominant", "static-sufficient", "dynamic-critical"]

DECISIVE = 0.8


def check_tolerance(tolerance: float) -> float:
    """The tolerance as a float; ValueError unless it is a finite number above zero."""
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise ValueError(
            f"tolerance must be a finite number above 0, in units of the metric, got {tolerance!r}"
        )
    return float(tolerance)


def regime_probabilities(
    intrinsic: Floats, cheapest: Floats, tolerance: float, static_risk: float | None = None
) -> dict[NamedRegime, float]:
    """Posterior probability of each regime.

    Args:
        intrinsic: (n_draws,) posterior draws of L_int, squared units of R.
        cheapest: (n_draws,) the same draws' L(c_min) at the cheapest depth.
        tolerance: delta, units of R.
        static_risk: mean squared error of the forecast from static signals alone, if known.

    Raises:
        ValueError: tolerance that is not above zero.
    """
    limit = check_tolerance(tolerance) ** 2
    noisy = intrinsic > limit
    is_known_early = np.asarray(cheapest) <= limit
    if static_risk is not None and static_risk <= limit:
        is_known_early = np.ones_like(is_known_early)
    static = ~noisy & is_known_early
    return {
        "noise-dominant": float(np.mean(noisy)),
        "static-sufficient": float(np.mean(static)),
        "dynamic-critical": float(np.mean(~noisy & ~static)),
    }


def name_regime(probabilities: Mapping[NamedRegime, float]) -> Regime:
    """The regime whose probability reaches 0.8; ``"unidentified"`` when none does."""
    if not probabilities:
        return "unidentified"
    best = max(probabilities, key=lambda name: probabilities[name])
    return best if probabilities[best] >= DECISIVE else "unidentified"
