"""Forms of the optimization variance V_opt(c): how the reducible part of the risk decays.

Four forms, each known up to a factor K and at most one exponent:

========== ============================ =====================================================
name       V_opt(c)                     holds for
========== ============================ =====================================================
power      K c^-alpha                   arXiv 2606.17649, Prop. 5.1: the locally regular regime
horizon    K (c^-alpha - T^-alpha)      the same with nothing left to decide at the end T
tail       K S(c) / S(0)                noise along directions that do not contract
tail_power K (S(c) / S(0))^b            the tail energy with a free exponent
========== ============================ =====================================================

S(c) is the tail energy, the sum of the squared learning rates from step c on. The last two forms
are this package's extension, not the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Form = Literal["power", "horizon", "tail", "tail_power"]

FORMS: tuple[Form, ...] = ("power", "horizon", "tail", "tail_power")
ALPHA_FORMS: tuple[Form, ...] = ("power", "horizon")
TAIL_FORMS: tuple[Form, ...] = ("tail", "tail_power")

_MAX_KNOTS = 64
_KNOT_ERROR = 5e-4
_LARGEST_LOG = 700.0  # exp of it is still finite


@dataclass(frozen=True, eq=False)
class TailEnergy:
    """Tail energy of a learning-rate schedule, S(c) = sum of eta_k^2 over the steps k >= c.

    Args:
        depths: (m,) optimizer steps from 0 to T, increasing.
        share: (m,) S(c) / S(0) at these depths, from 1 down to 0; linear in between.
        total: S(0), squared learning rate times steps.
    """

    depths: Floats
    share: Floats
    total: float

    @classmethod
    def from_learning_rates(
        cls, learning_rates: ArrayLike, horizon: float | None = None
    ) -> TailEnergy:
        """Tail energy of the learning rates of the full run.

        Args:
            learning_rates: (T,) of every step, step 0 first, or (n,) of n equal parts of the run.
            horizon: length T of the run, optimizer steps; None: as many as there are rates.

        Raises:
            ValueError: not one-dimensional, empty, negative, not finite, or zero throughout.
        """
        rates = np.asarray(learning_rates, dtype=np.float64)
        if rates.ndim != 1 or rates.size == 0:
            raise ValueError(
                f"learning_rates must have shape (T,), one for each step, got {rates.shape}"
            )
        bad = np.flatnonzero(~np.isfinite(rates) | (rates < 0))
        if bad.size:
            raise ValueError(
                f"learning rates must be finite and not negative, got {rates[bad[:5]].tolist()} "
                f"at steps {bad[:5].tolist()}"
            )
        if not rates.any():
            raise ValueError("learning_rates are zero at every step: such a run trains nothing")
        # Scaled first: rates such as 1e-200 would vanish when squared.
        peak = float(rates.max())
        energy = np.concatenate([np.cumsum(((rates / peak) ** 2)[::-1])[::-1], [0.0]])
        width = 1.0 if horizon is None else horizon / rates.size
        return cls(
            depths=np.arange(rates.size + 1, dtype=np.float64) * width,
            share=energy / energy[0],
            total=float(energy[0]) * peak * peak * width,
        )

    @property
    def horizon(self) -> float:
        """Length T of the run, optimizer steps."""
        return float(self.depths[-1])

    def at(self, depth: ArrayLike) -> Floats:
        """S(c) / S(0) at depths c of any shape; 1 before the start and 0 after the end."""
        at = np.asarray(depth, dtype=np.float64)
        return np.asarray(np.interp(at, self.depths, self.share), dtype=np.float64)

    def learning_rate(self, depth: float) -> float:
        """Learning rate of the step that begins at `depth`; 0 from the end on."""
        if depth >= self.horizon:
            return 0.0
        i = max(int(np.searchsorted(self.depths, depth, side="right")) - 1, 0)
        slope = (self.share[i] - self.share[i + 1]) / (self.depths[i + 1] - self.depths[i])
        return float(np.sqrt(max(slope, 0.0) * self.total))

    @cached_property
    def hull(self) -> tuple[Floats, Floats]:
        """Lower convex hull of (c, S(c)/S(0)): its corners (h,) and the falls (h-1,) per step.

        Under a linear cost the best depth is always a corner: where the fall of the hull drops
        below the price. For a learning rate that never rises every step is a corner.
        """
        corner: list[int] = []
        depths, share = self.depths.tolist(), self.share.tolist()
        for i, (c, s) in enumerate(zip(depths, share, strict=True)):
            while len(corner) >= 2:
                a, b = corner[-2], corner[-1]
                rise = (share[b] - share[a]) * (c - depths[b])
                if rise < (s - share[b]) * (depths[b] - depths[a]):
                    break
                corner.pop()
            corner.append(i)
        at = self.depths[corner]
        return at, -np.diff(self.share[corner]) / np.diff(at)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: as few knots as keep S(c)/S(0) to 0.0005, at most 64."""
        indices = [0, self.depths.size - 1]
        while len(indices) < _MAX_KNOTS:
            error = np.abs(
                self.share - np.interp(self.depths, self.depths[indices], self.share[indices])
            )
            worst = int(error.argmax())
            if error[worst] < _KNOT_ERROR:
                break
            indices = sorted([*indices, worst])
        return {
            "depths": self.depths[indices].tolist(),
            "share": [float(f"{value:.5g}") for value in self.share[indices]],
            "total": self.total,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TailEnergy:
        """Tail energy from `to_dict`'s form."""
        return cls(
            depths=np.asarray(data["depths"], dtype=np.float64),
            share=np.asarray(data["share"], dtype=np.float64),
            total=float(data["total"]),
        )


@dataclass(frozen=True, eq=False)
class Decay:
    """What the forms need to be evaluated: where they are anchored, and the run's end.

    The curve is written as V_opt(c) = V_opt(c_1) phi(c) with phi(c_1) = 1 at the `anchor` c_1,
    because K itself (the variance one step into the run) is an extrapolation with another unit in
    each form.

    Args:
        anchor: depth c_1 > 0 at which the curve is anchored: the shallowest one measured.
        horizon: length T of the full run in optimizer steps, None if unknown.
        energy: tail energy of the run's schedule, None if unknown.
    """

    anchor: float
    horizon: float | None = None
    energy: TailEnergy | None = None

    @property
    def forms(self) -> tuple[Form, ...]:
        """Forms that can be evaluated: those whose inputs are known and that reach past c_1."""
        forms: list[Form] = ["power"]
        if self.horizon is not None and self.anchor < self.horizon:
            forms.append("horizon")
        if self.energy is not None and self.energy.at(self.anchor) > 0:
            forms.extend(TAIL_FORMS)
        return tuple(forms)

    def shape(self, form: Form, depth: ArrayLike, exponent: ArrayLike) -> Floats:
        """phi(c) = V_opt(c) / V_opt(c_1).

        Args:
            form: name of the form.
            depth: depths c >= 0, optimizer steps.
            exponent: alpha or b, broadcast against `depth`; ignored by ``"tail"``.

        Returns:
            Array of the broadcast shape. The power laws hold from the first step on; before it
            they stay at their value there, so that nothing is infinite at c = 0.
        """
        c = np.asarray(depth, dtype=np.float64)
        e = np.asarray(exponent, dtype=np.float64)
        if form in ALPHA_FORMS:
            c = np.maximum(c, min(1.0, self.anchor))
        if form == "power":
            return np.asarray(np.exp(np.minimum(-e * np.log(c / self.anchor), _LARGEST_LOG)))
        if form == "horizon":
            assert self.horizon is not None
            log_left = np.minimum(e * np.maximum(np.log(self.horizon / c), 0.0), _LARGEST_LOG)
            return np.asarray(np.expm1(log_left) / np.expm1(e * np.log(self.horizon / self.anchor)))
        assert self.energy is not None
        ratio = self.energy.at(c) / self.energy.at(self.anchor)
        if form == "tail":
            return np.asarray(ratio + 0.0 * e)
        return np.asarray(ratio**e)

    def unit(self, form: Form, exponent: ArrayLike) -> Floats:
        """V_opt(c_1) for K = 1, so that K = V_opt(c_1) / unit."""
        e = np.asarray(exponent, dtype=np.float64)
        if form == "power":
            return np.asarray(self.anchor**-e)
        if form == "horizon":
            assert self.horizon is not None
            return np.asarray(self.horizon**-e * np.expm1(e * np.log(self.horizon / self.anchor)))
        assert self.energy is not None
        start = self.energy.at(self.anchor)
        return np.asarray(start + 0.0 * e if form == "tail" else start**e)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "anchor": self.anchor,
            "horizon": self.horizon,
            "energy": None if self.energy is None else self.energy.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Decay:
        """Decay from `to_dict`'s form."""
        energy = data["energy"]
        return cls(
            anchor=float(data["anchor"]),
            horizon=None if data["horizon"] is None else float(data["horizon"]),
            energy=None if energy is None else TailEnergy.from_dict(energy),
        )


def tail_energy(learning_rates: Sequence[float] | Floats) -> Floats:
    """Tail energy S(c) (T+1,) of a schedule (T,), in units of squared learning rate times steps."""
    energy = TailEnergy.from_learning_rates(learning_rates)
    return energy.share * energy.total
