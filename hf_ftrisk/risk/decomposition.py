"""RiskDecomposition: intrinsic limit, optimisation variance, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_ftrisk.risk import regimes, stopping
from hf_ftrisk.risk.decay import ALPHA_FORMS, Decay, Floats, Form
from hf_ftrisk.risk.posterior import Draws
from hf_ftrisk.risk.regimes import NamedRegime, Regime

_FORMAT_VERSION = 1
_STORED_DRAWS = 128
_CURVE_DRAWS = 500


@dataclass(frozen=True, eq=False)
class RiskDecomposition:
    """Bayes risk L(c) = L_int + V_opt(c) of forecasting a run's end from its first c steps.

    Made by `fit_risk_curve`. Curves are averaged over the forms of the decay by their posterior
    weights. Point estimates are posterior means under a squared error relative to each draw's own
    level: they add up, and one variance measured on few runs comes back as it was measured.

    Args:
        decay: anchor, horizon and schedule the forms are evaluated with.
        forms: forms that were fitted.
        form_weights: (n_forms,) posterior weight of each.
        draws: equally likely parameter sets from the posterior.
        intrinsic: L_int, the risk no depth of probing removes; squared units of R.
        K: scale of the power laws (``"power"`` and ``"horizon"`` by their weights): V_opt one step
            into the run; None when unidentified.
        alpha: exponent of the power laws; None when unidentified.
        identified: parameter name -> whether the data determine it.
        reasons: parameter name -> why it is unidentified; identified ones are absent.
        log_bayes_decay: log Bayes factor of a decaying risk against a constant one.
        floor: lower bound of L_int the fit was given, 0 for none.
        tolerance: delta of the regimes, units of R; None when none was given.
        regime_probabilities: posterior probability of each regime; empty without a tolerance.
        notes: what a reader should know about the data, such as a risk that rises.
    """

    decay: Decay
    forms: tuple[Form, ...]
    form_weights: Floats
    draws: Draws
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

    # --- forms ---------------------------------------------------------------------------------

    @property
    def weights(self) -> dict[Form, float]:
        """Posterior weight of each fitted form; they sum to 1."""
        return {form: float(w) for form, w in zip(self.forms, self.form_weights, strict=True)}

    @property
    def form(self) -> Form:
        """The form with the greatest weight."""
        return self.forms[int(np.argmax(self.form_weights))]

    def parameters(self, form: Form) -> dict[str, float]:
        """Posterior medians of one form: ``K``, and ``alpha`` or ``b`` where the form has it.

        Raises:
            ValueError: a form that was not fitted, or whose weight is too small for any draw.
        """
        mine = self._of_forms((form,))
        amplitude, exponent = self.draws.amplitude[mine], self.draws.exponent[mine]
        medians = {"K": float(np.median(amplitude / self.decay.unit(form, exponent)))}
        if form != "tail":
            medians["alpha" if form in ALPHA_FORMS else "b"] = float(np.median(exponent))
        return medians

    def _of_forms(self, forms: tuple[Form, ...]) -> np.ndarray:
        wanted = [i for i, form in enumerate(self.forms) if form in forms]
        mine = np.flatnonzero(np.isin(self.draws.form, wanted))
        if mine.size == 0:
            raise ValueError(
                f"no posterior draw has one of the forms {list(forms)}; "
                f"fitted weights: {self.weights}"
            )
        return mine

    # --- curves --------------------------------------------------------------------------------

    @property
    def _point_weights(self) -> Floats:
        level = self.draws.intrinsic + self.draws.amplitude
        weight = 1.0 / level if np.all(level > 0) else np.ones_like(level)
        return np.asarray(weight / weight.sum())

    def _optimization_draws(self, depth: Floats, kept: slice = slice(None)) -> Floats:
        """V_opt (n_draws, n_depths) of every draw."""
        form, amplitude = self.draws.form[kept], self.draws.amplitude[kept]
        exponent = self.draws.exponent[kept]
        curves = np.empty((form.size, depth.size))
        for i, name in enumerate(self.forms):
            mine = np.flatnonzero(form == i)
            if mine.size:
                shape = self.decay.shape(name, depth, exponent[mine, None])
                with np.errstate(invalid="ignore"):
                    curves[mine] = np.where(
                        amplitude[mine, None] > 0, amplitude[mine, None] * shape, 0.0
                    )
        return curves

    def optimization(self, c: ArrayLike) -> Any:
        """V_opt(c): the part of the risk at depth c that more probing would remove.

        Args:
            c: depth in optimiser steps, a number or an array of any shape.

        Returns:
            Squared units of R: a float for a number, else an array of the same shape. At c = 0 the
            power laws are infinite.

        Raises:
            ValueError: a depth below zero or not finite.
        """
        depth = _depths(c)
        value = self._point_weights @ self._optimization_draws(depth.ravel())
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
        curves = self._optimization_draws(depth.ravel())
        if part == "total":
            curves = curves + self.draws.intrinsic[:, None]
        low, high = np.quantile(curves, _tails(level), axis=0)
        if depth.ndim == 0:
            return float(low[0]), float(high[0])
        return low.reshape(depth.shape), high.reshape(depth.shape)

    def interval(self, name: str, level: float = 0.9) -> tuple[float, float]:
        """Credible interval (low, high) of a parameter, identified or not.

        Args:
            name: ``"intrinsic"``, ``"K"``, ``"alpha"`` (power laws) or ``"b"`` (tail energy).
            level: probability inside, in (0, 1).

        Raises:
            ValueError: another name, a level outside (0, 1), or a parameter of forms without
                weight.
        """
        low, high = np.quantile(parameter_draws(self, name), _tails(level))
        return float(low), float(high)

    # --- optimal depth -------------------------------------------------------------------------

    @property
    def level(self) -> float:
        """Risk at the shallowest measured depth: L(0) as far as it can be measured."""
        return float(self.total(self.decay.anchor))

    def step_price(
        self,
        price: float | None = None,
        *,
        price_per_hour: float | None = None,
        seconds_per_step: float | None = None,
        value: float | None = None,
    ) -> float:
        """gamma lambda, the risk one step has to remove to pay for itself; see `optimal_depth`."""
        money = {
            "price_per_hour": price_per_hour,
            "seconds_per_step": seconds_per_step,
            "value": value,
        }
        if price is not None:
            if any(v is not None for v in money.values()):
                raise ValueError(f"give either price or money, got price={price!r} and {money}")
            return stopping.check_positive("price", price, "squared units of R per step")
        if any(v is not None for v in money.values()):
            if price_per_hour is None or seconds_per_step is None or value is None:
                raise ValueError(f"a price from money needs all three of {money}")
            return stopping.price_from_money(self.level, price_per_hour, seconds_per_step, value)
        return self.level / self._horizon()

    def optimal_depth(
        self,
        price: float | None = None,
        *,
        cost: stopping.Cost | None = None,
        price_per_hour: float | None = None,
        seconds_per_step: float | None = None,
        value: float | None = None,
    ) -> float:
        """Depth c* that minimises L(c) + gamma C(c), optimiser steps in [0, T].

        Args:
            price: for the linear cost, gamma lambda: squared units of R per step. Default
                L(0) / T: a whole run's compute is worth removing the whole risk. With `cost`,
                gamma: squared units of R per unit of cost; default L(0) / (C(T) - C(0)).
            cost: any non-decreasing C(c) instead of the linear one.
            price_per_hour: with the two below, the price from money instead.
            seconds_per_step: measured time of one optimiser step.
            value: what avoiding one wasted run is worth, in the currency of `price_per_hour`.

        Raises:
            ValueError: a price that is not above zero, a cost that falls, money given in part, or
                no horizon where one is needed.
        """
        if float(self.draws.amplitude.max()) <= 0:
            return 0.0
        kept = self._thin()
        weight = self._point_weights[kept] / self._point_weights[kept].sum()
        if cost is None:
            step = self.step_price(
                price,
                price_per_hour=price_per_hour,
                seconds_per_step=seconds_per_step,
                value=value,
            )
            charge: stopping.Cost = lambda depth: step * depth  # noqa: E731  (one expression)
            limit = self._search_limit(step)
        else:
            charge = self._charge(price, cost)
            limit = self._horizon()
        return stopping.minimise(
            lambda depth: weight @ self._optimization_draws(depth, kept),
            charge,
            stopping.candidate_depths(self.decay, limit),
        )

    def optimal_depth_interval(
        self,
        price: float | None = None,
        *,
        level: float = 0.9,
        cost: stopping.Cost | None = None,
        price_per_hour: float | None = None,
        seconds_per_step: float | None = None,
        value: float | None = None,
    ) -> tuple[float, float]:
        """Credible interval (low, high) of c*: each draw's own optimum; see `optimal_depth`."""
        kept = self._thin()
        if cost is None:
            step = self.step_price(
                price,
                price_per_hour=price_per_hour,
                seconds_per_step=seconds_per_step,
                value=value,
            )
        else:
            charge = self._charge(price, cost)
        form = self.draws.form[kept]
        amplitude, exponent = self.draws.amplitude[kept], self.draws.exponent[kept]
        optima = np.empty(form.size)
        for i, name in enumerate(self.forms):
            mine = form == i
            if not mine.any():
                continue
            if cost is None:
                optima[mine] = stopping.draw_optima(
                    name, self.decay, amplitude[mine], exponent[mine], step
                )
            else:
                optima[mine] = stopping.grid_optima(
                    name, self.decay, amplitude[mine], exponent[mine], charge
                )
        low, high = np.quantile(optima, _tails(level))
        return float(low), float(high)

    def stopping_learning_rate(self, price: float | None = None) -> float | None:
        """Learning rate below which probing no longer pays, under the tail energy.

        None when no schedule was given or the tail energy has no weight.
        """
        if self.decay.energy is None or "tail" not in self.forms:
            return None
        if not np.any(self.draws.form == self.forms.index("tail")):
            return None
        k = self.parameters("tail")["K"]
        return stopping.stopping_learning_rate(k, self.decay.energy, self.step_price(price))

    def _thin(self) -> slice:
        return slice(None, None, max(1, self.draws.form.size // _CURVE_DRAWS))

    def _horizon(self) -> float:
        if self.decay.horizon is None:
            raise ValueError(
                "the length of the run is not known: give a price, or fit with horizon= or "
                "learning_rates="
            )
        return self.decay.horizon

    def _search_limit(self, step: float) -> float:
        if self.decay.horizon is not None:
            return self.decay.horizon
        # Without a horizon only the power law is fitted: no draw's optimum lies deeper than this.
        optima = stopping.draw_optima(
            "power", self.decay, self.draws.amplitude, self.draws.exponent, step
        )
        return float(max(optima.max() * 2.0, self.decay.anchor))

    def _charge(self, price: float | None, cost: stopping.Cost) -> stopping.Cost:
        first, last = float(cost(0.0)), float(cost(self._horizon()))
        if price is None:
            if not last > first:
                raise ValueError(
                    f"the cost does not rise from depth 0 ({first:g}) to the end ({last:g})"
                )
            gamma = self.level / (last - first)
        else:
            gamma = stopping.check_positive("price", price, "squared units of R per unit of cost")
        return lambda depth: gamma * float(cost(depth))

    # --- regime --------------------------------------------------------------------------------

    @property
    def regime(self) -> Regime:
        """The regime whose probability reaches 0.8, else ``"unidentified"``; see `regimes`."""
        return regimes.name_regime(self.regime_probabilities)

    @property
    def regime_reason(self) -> str:
        """Why the regime is what it is, one sentence."""
        if self.tolerance is None:
            return "no tolerance was given, so no error is small or large"
        shown = ", ".join(f"{name} {p:.2f}" for name, p in self.regime_probabilities.items())
        return f"with a tolerance of {self.tolerance:g}: {shown}"

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
        """
        depth = _depths(self.decay.anchor if cheapest_depth is None else cheapest_depth)
        cheapest = self.draws.intrinsic + self._optimization_draws(depth.reshape(1))[:, 0]
        return regimes.regime_probabilities(self.draws.intrinsic, cheapest, tolerance, static_risk)

    # --- storage -------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready summary with 128 of the draws, five digits each.

        `from_dict` restores every point estimate, weight and probability; curves, bands, intervals
        and optimal depths come from the stored draws, so they move a little.
        """
        n = self.draws.form.size
        kept = ((np.arange(min(n, _STORED_DRAWS)) + 0.5) * n / min(n, _STORED_DRAWS)).astype(int)
        return {
            "format_version": _FORMAT_VERSION,
            "decay": self.decay.to_dict(),
            "weights": self.weights,
            "draws": {
                "form": self.draws.form[kept].tolist(),
                "intrinsic": _round(self.draws.intrinsic[kept]),
                "amplitude": _round(self.draws.amplitude[kept]),
                "exponent": _round(self.draws.exponent[kept]),
            },
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
        version = data.get("format_version")
        if version != _FORMAT_VERSION:
            raise ValueError(
                f"decomposition has format_version {version!r}, this release reads "
                f"{_FORMAT_VERSION}"
            )
        draws = data["draws"]
        return cls(
            decay=Decay.from_dict(data["decay"]),
            forms=tuple(data["weights"]),
            form_weights=np.array(list(data["weights"].values()), dtype=np.float64),
            draws=Draws(
                form=np.asarray(draws["form"], dtype=np.int64),
                intrinsic=np.asarray(draws["intrinsic"], dtype=np.float64),
                amplitude=np.asarray(draws["amplitude"], dtype=np.float64),
                exponent=np.asarray(draws["exponent"], dtype=np.float64),
            ),
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


def parameter_draws(decomposition: RiskDecomposition, name: str) -> Floats:
    """Posterior draws of one parameter, from the forms that have it.

    Raises:
        ValueError: unknown name, or no draw of a form that has it.
    """
    return _parameter_draws(decomposition.draws, decomposition.forms, decomposition.decay, name)


def _parameter_draws(draws: Draws, forms: tuple[Form, ...], decay: Decay, name: str) -> Floats:
    if name == "intrinsic":
        return draws.intrinsic
    homes: dict[str, tuple[Form, ...]] = {
        "K": ALPHA_FORMS,
        "alpha": ALPHA_FORMS,
        "b": ("tail_power",),
    }
    if name not in homes:
        raise ValueError(f"unknown parameter {name!r}: expected 'intrinsic', 'K', 'alpha' or 'b'")
    found: list[Floats] = []
    for i, form in enumerate(forms):
        mine = draws.form == i
        if form not in homes[name] or not mine.any():
            continue
        exponent = draws.exponent[mine]
        found.append(
            draws.amplitude[mine] / decay.unit(form, exponent) if name == "K" else exponent
        )
    if not found:
        raise ValueError(f"no posterior draw has a form with the parameter {name!r}")
    return np.concatenate(found)


def _depths(c: ArrayLike) -> Floats:
    depth = np.asarray(c, dtype=np.float64)
    if not np.all(np.isfinite(depth)) or np.any(depth < 0):
        raise ValueError(f"depths must be finite and not below 0 optimiser steps, got {c!r}")
    return depth


def _tails(level: float) -> tuple[float, float]:
    if not 0.0 < level < 1.0:
        raise ValueError(f"the level of an interval lies in (0, 1), got {level!r}")
    return (1.0 - level) / 2.0, (1.0 + level) / 2.0


def _round(values: Floats) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
