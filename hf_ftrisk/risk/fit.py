"""fit_risk_curve: from measured risks at a few depths to a `RiskDecomposition`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtrc

from hf_ftrisk.record.columns import MAX_RATES
from hf_ftrisk.risk.curves import HOMES, CurveDraws
from hf_ftrisk.risk.decay import ALPHA_FORMS, TAIL_FORMS, Decay, Floats, Form, TailEnergy
from hf_ftrisk.risk.decomposition import RiskDecomposition
from hf_ftrisk.risk.posterior import Measurements, Posterior, compute_posterior
from hf_ftrisk.risk.prior import RiskPrior
from hf_ftrisk.risk.regimes import NamedRegime, check_tolerance, regime_probabilities

# The rule of `identified`, stated in docs/concepts/risk.md.
BAYES_FACTOR = 100.0  # evidence of a decay that K, alpha and b need
MIN_WEIGHT = 0.1  # posterior weight the family of forms with the parameter needs
WIDEST = {"intrinsic": 4.0, "K": 10.0, "alpha": 3.0, "b": 3.0}  # high / low of the 90 % interval
MIN_DEPTHS = 3
MIN_DOF = 2.0  # degrees of freedom of the level that a regime needs: three runs at one depth


def fit_risk_curve(
    depths: ArrayLike,
    risks: ArrayLike,
    counts: ArrayLike | None = None,
    horizon: float | None = None,
    floor: float | None = None,
    prior: RiskPrior | None = None,
    *,
    learning_rates: ArrayLike | None = None,
    tolerance: float | None = None,
    same_runs: bool = False,
) -> RiskDecomposition:
    """Split measured risks L(c) into the intrinsic limit and what probing removes.

    Fits L(c) = L_int + V_opt(c) (arXiv 2606.17649, Prop. 4.1 and 5.1) with every available form of
    V_opt and averages them by their evidence; see `hf_ftrisk.risk.decay`. The fit is Bayesian,
    contains no random numbers and takes milliseconds.

    Args:
        depths: (n,) optimizer steps > 0, in any order.
        risks: (n,) estimates of L at these depths, squared units of R. Zero is allowed.
        counts: (n,) runs behind each estimate, at least 2: an estimate from m runs scatters like
            L chi2_(m-1) / (m-1). None: not known, averaged over 2 to 1025 runs.
        horizon: length T of the full run in optimizer steps; enables the finite-horizon form.
        floor: known lower bound of L_int: the noise of a final evaluation on examples that no
            probe was evaluated on. See `rate_floor` and `mean_floor`.
        prior: None for the documented weak default.
        learning_rates: (T,) learning rate of every step of the full run, or, of a run of more than
            `MAX_RATES` steps, (MAX_RATES,) of equal parts; enables the tail energy.
        tolerance: delta of the regimes, units of R; None leaves the regime unidentified. So do
            fewer than three runs: the variance of two is open by orders of magnitude.
        same_runs: whether the same runs stand behind every depth, as in `replay_risk` and
            `probe_risk`: their estimates then err together, and more depths do not make the level
            of the risk any surer. Needs `counts`.

    Raises:
        ValueError: shapes that differ, nothing measured, a depth that is not above 0 or lies
            beyond the horizon, a risk that is negative or not finite, a count below 2, or another
            argument out of range. The message names the values.
    """
    c, risk, dof = _measurements(depths, risks, counts)
    if same_runs and dof is None:
        raise ValueError(
            "same_runs=True needs counts: noise that all depths share does not show as scatter"
        )
    decay = _decay(c, horizon, learning_rates)
    bound = _floor(floor)
    if tolerance is not None:
        check_tolerance(tolerance)
    prior = RiskPrior() if prior is None else prior
    if not risk.any() and prior.level_runs == 0:
        return _nothing_varies(decay, bound, tolerance, prior)
    measurements = Measurements(c, risk, dof, bound, same_runs)
    return _assemble(measurements, tolerance, compute_posterior(measurements, prior, decay))


def _measurements(
    depths: ArrayLike, risks: ArrayLike, counts: ArrayLike | None
) -> tuple[Floats, Floats, Floats | None]:
    c = np.atleast_1d(np.asarray(depths, dtype=np.float64))
    risk = np.atleast_1d(np.asarray(risks, dtype=np.float64))
    if c.ndim != 1 or c.shape != risk.shape or c.size == 0:
        raise ValueError(
            f"depths and risks must be equally long and not empty, got {c.shape} and {risk.shape}"
        )
    _refuse("depths", c, ~np.isfinite(c) | (c <= 0), "finite optimizer steps above 0")
    _refuse("risks", risk, ~np.isfinite(risk) | (risk < 0), "finite and not negative")
    order = np.argsort(c, kind="stable")
    if counts is None:
        return c[order], risk[order], None
    runs = np.asarray(counts, dtype=np.float64)
    if runs.ndim == 0:
        runs = np.full(c.shape, float(runs))
    if runs.shape != c.shape:
        raise ValueError(f"counts have shape {runs.shape}, expected {c.shape}, one for each depth")
    _refuse("counts", runs, ~np.isfinite(runs) | (runs < 2), "at least 2: one run has no variance")
    return c[order], risk[order], runs[order] - 1.0


def _refuse(name: str, values: Floats, bad: np.ndarray, expected: str) -> None:
    at = np.flatnonzero(bad)
    if at.size:
        raise ValueError(
            f"{name} must be {expected}; got {values[at[:5]].tolist()} at positions "
            f"{at[:5].tolist()}"
        )


def _decay(c: Floats, horizon: float | None, learning_rates: ArrayLike | None) -> Decay:
    energy = None
    if learning_rates is not None:
        thinned = horizon is not None and horizon > np.size(learning_rates) == MAX_RATES
        energy = TailEnergy.from_learning_rates(learning_rates, horizon if thinned else None)
    if horizon is not None:
        if not (math.isfinite(horizon) and horizon > 0):
            raise ValueError(f"horizon must be a finite number above 0, got {horizon!r}")
        if energy is not None and energy.horizon != horizon:
            raise ValueError(
                f"horizon {horizon!r} differs from the {energy.horizon:g} learning rates given: "
                "one for each step of the full run"
            )
    end = energy.horizon if energy is not None else horizon
    if end is not None and c[-1] > end:
        raise ValueError(f"depth {c[-1]:g} lies beyond the end of the run at {end:g} steps")
    return Decay(anchor=float(c[0]), horizon=None if end is None else float(end), energy=energy)


def _floor(floor: float | None) -> float:
    if floor is None:
        return 0.0
    if not (math.isfinite(floor) and floor >= 0):
        raise ValueError(f"floor must be finite and not negative, got {floor!r}")
    return float(floor)


def _nothing_varies(
    decay: Decay, floor: float, tolerance: float | None, prior: RiskPrior
) -> RiskDecomposition:
    """Every measured risk is zero: what is left is the floor, and no decay to speak of."""
    why = "every measured risk is zero"
    zero = np.zeros(1)
    draws = CurveDraws(
        decay, decay.forms, np.zeros(1, dtype=np.int64), zero + floor, zero, zero + 1.0
    )
    names = _names(decay.forms)
    return RiskDecomposition(
        draws=draws,
        weights=prior.weights(decay.forms),
        intrinsic=floor,
        K=None,
        alpha=None,
        identified=dict.fromkeys(names, False),
        reasons=dict.fromkeys(names, why),
        log_bayes_decay=0.0,
        floor=floor,
        tolerance=tolerance,
        regime_probabilities=_regimes(draws, tolerance),
        notes=(f"{why}: more runs, or runs that differ, are needed to see any variance",),
    )


def _assemble(
    measurements: Measurements, tolerance: float | None, posterior: Posterior
) -> RiskDecomposition:
    draws = posterior.draws
    reasons = unidentified(posterior, n_depths=int(np.unique(measurements.depths).size))
    identified = {name: name not in reasons for name in _names(draws.forms)}
    if measurements.level_dof < MIN_DOF:
        reasons["regime"] = "fewer than three runs: their variance says too little"
    middle = {
        name: float(np.median(draws.parameter(name))) for name in ("K", "alpha") if identified[name]
    }
    return RiskDecomposition(
        draws=draws,
        weights=posterior.weights,
        intrinsic=float(draws.weights @ draws.intrinsic),
        K=middle.get("K"),
        alpha=middle.get("alpha"),
        identified=identified,
        reasons=reasons,
        log_bayes_decay=posterior.log_bayes_decay,
        floor=measurements.floor,
        tolerance=tolerance,
        regime_probabilities={} if "regime" in reasons else _regimes(draws, tolerance),
        notes=_notes(measurements),
    )


def _names(forms: tuple[Form, ...]) -> list[str]:
    return ["intrinsic"] + [name for name, homes in HOMES.items() if set(homes) & set(forms)]


def _regimes(draws: CurveDraws, tolerance: float | None) -> dict[NamedRegime, float]:
    if tolerance is None:
        return {}
    return regime_probabilities(draws.intrinsic, draws.level, tolerance)


def unidentified(posterior: Posterior, n_depths: int) -> dict[str, str]:
    """Parameter -> why the data do not determine it; see docs/concepts/risk.md for the rule."""
    reasons = {name: _why_open(posterior, name, n_depths) for name in _names(posterior.draws.forms)}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _why_open(posterior: Posterior, name: str, n_depths: int) -> str | None:
    """Why the data do not determine one parameter; None when they do."""
    if name != "intrinsic":
        if n_depths < MIN_DEPTHS:
            return f"{n_depths} depths measured, {MIN_DEPTHS} needed"
        if posterior.log_bayes_decay < math.log(BAYES_FACTOR):
            return (
                "the evidence of any decay is too weak: Bayes factor "
                f"{math.exp(posterior.log_bayes_decay):.2g}, {BAYES_FACTOR:g} needed"
            )
        # The tail energy itself is the power b = 1 of it.
        family = ALPHA_FORMS if name in ("K", "alpha") else TAIL_FORMS
        weight = sum(posterior.weights.get(form, 0.0) for form in family)
        if weight < MIN_WEIGHT:
            return f"the forms it belongs to carry a weight of {weight:.2g}, {MIN_WEIGHT:g} needed"
        if not posterior.draws.has(name):
            return f"no weight is left for {', '.join(HOMES[name])}"
    low, high = np.quantile(posterior.draws.parameter(name), (0.05, 0.95))
    if high <= WIDEST[name] * low:
        return None
    return f"its 90 % interval is {low:.3g} to {high:.3g}, wider than a factor of {WIDEST[name]:g}"


def _notes(measurements: Measurements) -> tuple[str, ...]:
    """What the data show that no curve of this kind can follow."""
    c, risk, dof = measurements.depths, measurements.risks, measurements.dof
    if c.size < 2 or dof is None or not (risk[0] > 0 and risk[-1] > 0):
        return ()
    # The ratio of two variance estimates of one variance has an F distribution.
    chance = float(fdtrc(dof[-1], dof[0], float(risk[-1]) / float(risk[0])))
    if chance >= 0.01:
        return ()
    return (
        f"the risk rises from {risk[0]:.4g} at {c[0]:g} steps to {risk[-1]:.4g} at {c[-1]:g} "
        f"(chance {chance:.2g} for a constant one): a Bayes risk never rises, so the forecasts "
        "behind it are worse than they could be; the fit is flat there",
    )
