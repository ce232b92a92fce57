"""RiskDecomposition: intrinsic limit, optimization variance, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_ftrisk.jsonfile import check_format
from hf_ftrisk.risk import optimal_depth as search
from hf_ftrisk.risk import regimes
from hf_ftrisk.risk.curves import CurveDraws
from hf_ftrisk.risk.decay import ALPHA_FORMS, Floats, Form
from hf_ftrisk.risk.optimal_depth import Budget
from hf_ftrisk.risk.regimes import NamedRegime, Regime

_FORMAT_VERSION = 1
_STORED_DRAWS = 256
_SEARCH_DRAWS = 500
# Depths compared first. Branch and bound finds the same optimum from fewer, and each of them costs
# every draw's curve.
_FIRST_DEPTHS = 33


@dataclass(frozen=True, eq=False)
class RiskDecomposition:
    """Bayes risk L(c) = L_int + V_opt(c) of forecasting a run's end from its first c steps.

    Made by `fit_risk_curve`. Curves are averaged over the forms of the decay by their posterior
    weights; point estimates are the weighted means of `CurveDraws.weights`.

    Args:
        draws: equally likely curves from the posterior.
        weights: posterior weight of each fitted form; they sum to 1.
        intrinsic: L_int, the risk no depth of probing removes; squared units of R.
        K: scale of the power laws (``"power"`` and ``"horizon"`` by their weights): V_opt one step
            into the run; None when unidentified.
        alpha: exponent of the power laws; None when unidentified.
        identified: parameter name -> whether the data determine it.
        reasons: parameter name, or ``"regime"`` -> why it is unidentified; identified ones are
            absent.
        log_bayes_decay: log Bayes factor of a decaying risk against a constant one.
        floor: lower bound of L_int the fit was given, 0 for none.
        tolerance: delta of the regimes, units of R; None when none was given.
        regime_probabilities: posterior probability of each regime; empty without a tolerance and
            with fewer than three runs.
        notes: what a reader should know about the data, such as a risk that rises.
    """

    draws: CurveDraws
    weights: Mapping[Form, float]
    intrinsic: float
    K: float | None
    alpha: float | None
    identified: Mapping[str, bool]
    reasons: Mapping[str, str]
    log_bayes_decay: float
    floor: float = 0.0
    tolerance: float | None = None
    regime_probabilities: Mapping[NamedRegime, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    # --- forms and parameters ------------------------------------------------------------------

    @property
    def form(self) -> Form:
        """The form with the greatest weight."""
        return max(self.weights, key=lambda form: self.weights[form])

    @property
    def horizon(self) -> float | None:
        """Length T of the full run in optimizer steps, None if unknown."""
        return self.draws.decay.horizon

    @property
    def shallowest(self) -> float:
        """Shallowest depth that was measured, optimizer steps."""
        return self.draws.decay.anchor

    @property
    def level(self) -> float:
        """Risk at the shallowest measured depth: L(0) as far as it can be measured."""
        return float(self.total(self.shallowest))

    def parameters(self, form: Form) -> dict[str, float]:
        """Posterior medians of one form: ``K``, and ``alpha`` or ``b`` where the form has it.

        Identified or not; see `identified`.

        Raises:
            ValueError: a form that was not fitted, or whose weight is too small for any draw.
        """
        index = self.draws.forms.index(form) if form in self.draws.forms else -1
        mine = self.draws.form == index
        if not mine.any():
            raise ValueError(f"no draw has the form {form!r}; fitted weights: {dict(self.weights)}")
        medians = {"K": float(np.median(self.draws.scale(index)))}
        if form != "tail":
            name = "alpha" if form in ALPHA_FORMS else "b"
            medians[name] = float(np.median(self.draws.exponent[mine]))
        return medians

    def interval(self, name: str, level: float = 0.9) -> tuple[float, float]:
        """Credible interval (low, high) of a parameter, identified or not.

        Args:
            name: ``"intrinsic"``, ``"K"``, ``"alpha"`` (power laws) or ``"b"`` (tail energy).
            level: probability inside, in (0, 1).

        Raises:
            ValueError: another name, a level outside (0, 1), or a parameter of forms without
                weight.
        """
        low, high = np.quantile(self.draws.parameter(name), _tails(level))
        return float(low), float(high)

    # --- curves --------------------------------------------------------------------------------

    def optimization(self, c: ArrayLike) -> Any:
        """V_opt(c): the part of the risk at depth c that more probing would remove.

        Args:
            c: depth in optimizer steps, a number or an array of any shape.

        Returns:
            Squared units of R: a float for a number, else an array of the same shape.

        Raises:
            ValueError: a depth below zero or not finite.
        """
        depth = _depths(c)
        value = self.draws.mean_optimization(depth.ravel())
        return float(value[0]) if depth.ndim == 0 else value.reshape(depth.shape)

    def total(self, c: ArrayLike) -> Any:
        """L(c) = intrinsic + optimization(c), squared units of R; see `optimization`."""
        return self.intrinsic + self.optimization(c)

    def band(self, c: ArrayLike, level: float = 0.9, part: str = "total") -> tuple[Any, Any]:
        """Pointwise credible band (low, high) of L(c), or of V_opt(c) with part="optimization".

        Raises:
            ValueError: a depth below zero, a level outside (0, 1), or another part.
        """
        if part not in ("total", "optimization"):
            raise ValueError(f"part must be 'total' or 'optimization', got {part!r}")
        depth = _depths(c)
        curves = self.draws.optimization(depth.ravel())
        if part == "total":
            curves = curves + self.draws.intrinsic[:, None]
        low, high = np.quantile(curves, _tails(level), axis=0)
        if depth.ndim == 0:
            return float(low[0]), float(high[0])
        return low.reshape(depth.shape), high.reshape(depth.shape)

    # --- optimal depth -------------------------------------------------------------------------

    def optimal_depth(
        self,
        price: float | None = None,
        *,
        cost: Callable[[float], float] | None = None,
        price_per_hour: float | None = None,
        seconds_per_step: float | None = None,
        value: float | None = None,
    ) -> float:
        """Depth c* that minimizes L(c) + gamma C(c), optimizer steps in [0, T].

        L is the curve averaged over the posterior. See `Budget` for the arguments; without any,
        the whole run's compute is worth removing the whole risk.

        Raises:
            ValueError: arguments that `Budget` refuses, a cost that falls with depth, or no
                horizon where one is needed.
        """
        budget = Budget(price, cost, price_per_hour, seconds_per_step, value)
        if not self.level > 0:
            return 0.0
        return search.minimize(
            self.draws.mean_optimization,
            budget.charge(self.level, self.horizon),
            search.candidate_depths(self.shallowest, self._search_limit(budget), _FIRST_DEPTHS),
        )

    def optimal_depth_interval(
        self,
        price: float | None = None,
        *,
        level: float = 0.9,
        cost: Callable[[float], float] | None = None,
        price_per_hour: float | None = None,
        seconds_per_step: float | None = None,
        value: float | None = None,
    ) -> tuple[float, float]:
        """Credible interval (low, high) of c*: each posterior curve's own optimum."""
        budget = Budget(price, cost, price_per_hour, seconds_per_step, value)
        tails = _tails(level)
        if not self.level > 0:
            return 0.0, 0.0
        draws = self.draws.thinned(_SEARCH_DRAWS)
        if cost is None:
            optima = draws.optima(budget.step_price(self.level, self.horizon))
        else:
            charge = budget.charge(self.level, self.horizon)
            optima = draws.optima_under(charge, self._search_limit(budget))
        low, high = np.quantile(optima, tails)
        return float(low), float(high)

    def stopping_learning_rate(
        self,
        price: float | None = None,
        *,
        price_per_hour: float | None = None,
        seconds_per_step: float | None = None,
        value: float | None = None,
    ) -> float | None:
        """Learning rate below which a further step of probing no longer pays.

        The rule of the tail energy: stop when eta_c^2 falls to gamma lambda S(0) / K. None when no
        schedule was given or the tail energy has no weight; infinite when there is nothing to
        remove.
        """
        energy = self.draws.decay.energy
        budget = Budget(price, None, price_per_hour, seconds_per_step, value)
        if energy is None or "tail" not in self.draws.forms:
            return None
        k = self.draws.scale(self.draws.forms.index("tail"))
        if k.size == 0:
            return None
        if not self.level > 0:
            return math.inf
        step = budget.step_price(self.level, self.horizon)
        return search.stopping_learning_rate(float(np.median(k)), energy, step)

    def _search_limit(self, budget: Budget) -> float:
        if self.horizon is not None:
            return self.horizon
        if budget.cost is not None:
            raise ValueError("a cost function needs the length of the run: fit with horizon=")
        # Without a horizon only the power law is fitted, and no draw's optimum lies deeper.
        deepest = self.draws.optima(budget.step_price(self.level, None)).max()
        return max(2.0 * float(deepest), self.shallowest)

    # --- regime --------------------------------------------------------------------------------

    @property
    def regime(self) -> Regime:
        """The regime whose probability reaches 0.8, else ``"unidentified"``; see `regimes`."""
        return regimes.name_regime(self.regime_probabilities)

    @property
    def regime_reason(self) -> str:
        """What the regime rests on, one sentence."""
        if "regime" in self.reasons:
            return self.reasons["regime"]
        if self.tolerance is None:
            return "no tolerance was given: nothing says which error is small"
        probabilities = ", ".join(
            f"{name} {p:.2f}" for name, p in self.regime_probabilities.items()
        )
        return f"probabilities with a tolerance of {self.tolerance:g}: {probabilities}"

    def regime_probabilities_at(
        self,
        tolerance: float,
        cheapest_depth: float | None = None,
        static_risk: float | None = None,
    ) -> dict[NamedRegime, float]:
        """Posterior probability of each regime for another tolerance.

        Args:
            tolerance: delta, units of R.
            cheapest_depth: depth of the cheapest probe; None: the shallowest measured one.
            static_risk: mean squared error of the forecast from static signals alone, if known.

        Raises:
            ValueError: a tolerance that is not above zero, a depth below zero.
        """
        depth = _depths(self.shallowest if cheapest_depth is None else cheapest_depth)
        cheapest = self.draws.intrinsic + self.draws.optimization(depth.reshape(1))[:, 0]
        return regimes.regime_probabilities(self.draws.intrinsic, cheapest, tolerance, static_risk)

    # --- storage -------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready summary with 256 of the draws, five digits each.

        `from_dict` restores point estimates, weights and probabilities as they are. Curves, bands,
        intervals and optimal depths then come from the stored draws and move a little:
        docs/evidence/risk.md says how much.
        """
        return {
            "format_version": _FORMAT_VERSION,
            "draws": self.draws.thinned(_STORED_DRAWS).to_dict(),
            "weights": dict(self.weights),
            "intrinsic": self.intrinsic,
            "K": self.K,
            "alpha": self.alpha,
            "identified": dict(self.identified),
            "reasons": dict(self.reasons),
            "log_bayes_decay": self.log_bayes_decay,
            "floor": self.floor,
            "tolerance": self.tolerance,
            "regime": self.regime,
            "regime_probabilities": dict(self.regime_probabilities),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RiskDecomposition:
        """Decomposition from `to_dict`'s form.

        Raises:
            ValueError: another format version.
        """
        check_format("risk decomposition", data.get("format_version"), _FORMAT_VERSION)
        return cls(
            draws=CurveDraws.from_dict(data["draws"]),
            weights=dict(data["weights"]),
            intrinsic=data["intrinsic"],
            K=data["K"],
            alpha=data["alpha"],
            identified=dict(data["identified"]),
            reasons=dict(data["reasons"]),
            log_bayes_decay=data["log_bayes_decay"],
            floor=data["floor"],
            tolerance=data["tolerance"],
            regime_probabilities=dict(data["regime_probabilities"]),
            notes=tuple(data["notes"]),
        )

    def __repr__(self) -> str:
        alpha = "unidentified" if self.alpha is None else f"{self.alpha:.3g}"
        return (
            f"RiskDecomposition(intrinsic={self.intrinsic:.4g}, alpha={alpha}, "
            f"form={self.form!r}, regime={self.regime!r})"
        )


def _depths(c: ArrayLike) -> Floats:
    depth = np.asarray(c, dtype=np.float64)
    if not np.all(np.isfinite(depth)) or np.any(depth < 0):
        raise ValueError(f"depths must be finite and not below 0 optimizer steps, got {c!r}")
    return depth


def _tails(level: float) -> tuple[float, float]:
    if not 0.0 < level < 1.0:
        raise ValueError(f"the level of an interval lies in (0, 1), got {level!r}")
    return (1.0 - level) / 2.0, (1.0 + level) / 2.0
