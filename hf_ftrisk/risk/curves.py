"""CurveDraws: equally likely risk curves, and what is read off each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hf_ftrisk.risk import optimal_depth as search
from hf_ftrisk.risk.decay import ALPHA_FORMS, Decay, Floats, Form

# Parameter -> the forms that have it; L_int belongs to all.
HOMES: dict[str, tuple[Form, ...]] = {
    "K": ALPHA_FORMS,
    "alpha": ALPHA_FORMS,
    "b": ("tail_power",),
}


_BLOCK = 1000  # depths at once


@dataclass(frozen=True, eq=False)
class CurveDraws:
    """Equally likely curves L(c) = L_int + V_opt(c) from a posterior.

    Args:
        decay: anchor, horizon and schedule the forms are evaluated with.
        forms: forms the draws may have.
        form: (n,) index of each draw into `forms`.
        intrinsic: (n,) L_int, squared units of R.
        amplitude: (n,) V_opt at the anchor.
        exponent: (n,) alpha or b; 1 for the tail energy, which has none.
    """

    decay: Decay
    forms: tuple[Form, ...]
    form: np.ndarray
    intrinsic: Floats
    amplitude: Floats
    exponent: Floats

    @property
    def size(self) -> int:
        """Number of draws."""
        return int(self.form.size)

    @property
    def level(self) -> Floats:
        """(n,) risk at the anchor."""
        return self.intrinsic + self.amplitude

    @property
    def weights(self) -> Floats:
        """(n,) weights for point estimates, summing to 1: the reciprocal of each draw's level.

        The mean under them minimizes the expected squared error relative to the level. It is
        linear, so L_int and V_opt still add up; and a single variance comes back as measured, where
        the plain mean of its skewed posterior is too high.
        """
        level = self.level
        weight = 1.0 / level if np.all(level > 0) else np.ones_like(level)
        return np.asarray(weight / weight.sum())

    def mean_optimization(self, depth: Floats) -> Floats:
        """Weighted mean (n_depths,) of V_opt over the draws, in blocks that fit in memory."""
        blocks = np.array_split(depth, max(1, depth.size // _BLOCK))
        return np.concatenate([self.weights @ self.optimization(block) for block in blocks])

    def optimization(self, depth: Floats) -> Floats:
        """V_opt (n, n_depths) of every draw at `depth` (n_depths,)."""
        curves = np.empty((self.size, depth.size))
        for i, name in enumerate(self.forms):
            mine = np.flatnonzero(self.form == i)
            if mine.size:
                shape = self.decay.shape(name, depth, self.exponent[mine, None])
                curves[mine] = self.amplitude[mine, None] * shape
        return curves

    def has(self, name: str) -> bool:
        """Whether any draw has a form with the parameter."""
        homes = [i for i, form in enumerate(self.forms) if form in HOMES[name]]
        return bool(np.isin(self.form, homes).any())

    def parameter(self, name: str) -> Floats:
        """Draws of one parameter, from the forms that have it.

        Args:
            name: ``"intrinsic"``, ``"K"``, ``"alpha"`` (power laws) or ``"b"`` (tail energy).

        Raises:
            ValueError: unknown name, or no draw of a form that has it.
        """
        if name == "intrinsic":
            return self.intrinsic
        if name not in HOMES:
            raise ValueError(
                f"unknown parameter {name!r}: expected 'intrinsic', 'K', 'alpha' or 'b'"
            )
        values_by_form = [
            self.scale(i) if name == "K" else self.exponent[self.form == i]
            for i, form in enumerate(self.forms)
            if form in HOMES[name]
        ]
        draws = np.concatenate(values_by_form) if values_by_form else np.empty(0)
        if draws.size == 0:
            raise ValueError(f"no posterior draw has a form with the parameter {name!r}")
        return draws

    def scale(self, index: int) -> Floats:
        """K of the draws of one form, by its index."""
        mine = self.form == index
        unit = self.decay.unit(self.forms[index], self.exponent[mine])
        return np.asarray(self.amplitude[mine] / unit)

    def optima(self, price: float) -> Floats:
        """(n,) optimal depth of each draw's own curve under a linear cost."""
        best = np.empty(self.size)
        for i, name in enumerate(self.forms):
            mine = self.form == i
            if not mine.any():
                continue
            if name in ALPHA_FORMS:
                best[mine] = search.power_law_optimum(
                    self.scale(i), self.exponent[mine], price, self.decay.horizon
                )
                continue
            assert self.decay.energy is not None
            best[mine] = search.tail_power_optimum(
                self.scale(i), self.exponent[mine], self.decay.energy, price
            )
        return best

    def optima_under(self, charge: search.Charge, limit: float) -> Floats:
        """(n,) optimal depth of each draw's own curve for any charge, at most `limit`."""
        best = np.empty(self.size)
        start = search.candidate_depths(self.decay.anchor, limit)
        charged = search.CheckedCharge(charge)
        for i, name in enumerate(self.forms):
            mine = np.flatnonzero(self.form == i)
            if mine.size == 0:
                continue
            amplitude, exponent = self.amplitude[mine], self.exponent[mine]

            def risk(
                curve: np.ndarray,
                depth: Floats,
                name: Form = name,
                amplitude: Floats = amplitude,
                exponent: Floats = exponent,
            ) -> Floats:
                shape = self.decay.shape(name, depth, exponent[curve])
                return np.asarray(amplitude[curve] * shape)

            best[mine] = search.minimize_each(risk, charged, start, mine.size)
        return best

    def thinned(self, n: int) -> CurveDraws:
        """At most n of the draws, evenly through their order (form, exponent, share)."""
        if self.size <= n:
            return self
        indices = ((np.arange(n) + 0.5) * self.size / n).astype(int)
        return replace(
            self,
            form=self.form[indices],
            intrinsic=self.intrinsic[indices],
            amplitude=self.amplitude[indices],
            exponent=self.exponent[indices],
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict, five digits a number."""
        return {
            "decay": self.decay.to_dict(),
            "forms": list(self.forms),
            "form": self.form.tolist(),
            "intrinsic": _round(self.intrinsic),
            "amplitude": _round(self.amplitude),
            "exponent": _round(self.exponent),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CurveDraws:
        """Draws from `to_dict`'s form."""
        return cls(
            decay=Decay.from_dict(data["decay"]),
            forms=tuple(data["forms"]),
            form=np.asarray(data["form"], dtype=np.int64),
            intrinsic=np.asarray(data["intrinsic"], dtype=np.float64),
            amplitude=np.asarray(data["amplitude"], dtype=np.float64),
            exponent=np.asarray(data["exponent"], dtype=np.float64),
        )


def _round(values: Floats) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
