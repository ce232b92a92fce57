"""What is believed about a risk curve before it is measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from hf_ftrisk.risk.decay import ALPHA_FORMS, FORMS, Floats, Form

if TYPE_CHECKING:
    from hf_ftrisk.risk.decomposition import RiskDecomposition


@dataclass(frozen=True)
class RiskPrior:
    """Prior over the parameters of L(c) = L_int + V_opt(c).

    The three parameters are the level L(c_1) at the shallowest measured depth, the reducible share
    V_opt(c_1) / L(c_1), and the exponent of the decay. In them the default needs no unit of R: the
    level is scale-free (density 1/L), so multiplying all risks by a constant multiplies L_int and K
    by it and changes nothing else.

    Args:
        share_mean: mean of the log odds of the reducible share; 0: half of the risk is reducible.
        share_sd: their standard deviation. The default 4 puts 90 % of the prior on shares from
            0.14 % to 99.86 %: real tasks lie that far apart (docs/concepts/risk.md).
        alpha_log_mean: mean of log alpha. The default median is 0.7: learning rates that fall as
            c^-rho with rho in (1/2, 1] give alpha = 2 rho - 1 in (0, 1].
        alpha_log_sd: its standard deviation; the default puts 90 % of the prior on 0.16 to 3.1.
        tail_log_mean: mean of log b, the exponent of the tail energy; 0: the tail energy itself.
        tail_log_sd: its standard deviation; the default puts 90 % of the prior on 0.27 to 3.7.
        level_runs: how many runs' worth of evidence stand behind `level`; 0 for none.
        level: expected risk at the shallowest depth, squared units of R; needed when `level_runs`
            is above 0.
        form_weights: prior weight of each form; forms that are not available drop out.

    Raises:
        ValueError: a spread that is not above zero, or weights that are negative or all zero.
    """

    share_mean: float = 0.0
    share_sd: float = 4.0
    alpha_log_mean: float = math.log(0.7)
    alpha_log_sd: float = 0.9
    tail_log_mean: float = 0.0
    tail_log_sd: float = 0.8
    level_runs: float = 0.0
    level: float | None = None
    form_weights: Mapping[Form, float] = field(
        default_factory=lambda: dict.fromkeys(FORMS, 1.0 / len(FORMS))
    )

    def __post_init__(self) -> None:
        for name in ("share_sd", "alpha_log_sd", "tail_log_sd"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a finite number above 0, got {value!r}")
        if not (math.isfinite(self.level_runs) and self.level_runs >= 0):
            raise ValueError(f"level_runs must be finite and not negative, got {self.level_runs!r}")
        if self.level_runs > 0 and not (
            self.level is not None and math.isfinite(self.level) and self.level > 0
        ):
            raise ValueError(
                f"level_runs={self.level_runs!r} needs a level above 0, got {self.level!r}"
            )
        unknown = sorted(set(self.form_weights) - set(FORMS))
        if unknown:
            raise ValueError(f"form_weights names unknown forms {unknown}; known: {list(FORMS)}")
        weights = list(self.form_weights.values())
        if not all(math.isfinite(w) and w >= 0 for w in weights) or not sum(weights) > 0:
            raise ValueError(
                f"form_weights must be finite, not negative and not all zero, got {weights}"
            )

    @property
    def level_shape(self) -> float:
        """Shape of the inverse-gamma prior of the level; 0 for the scale-free one."""
        return self.level_runs / 2.0

    @property
    def level_rate(self) -> float:
        """Rate of the inverse-gamma prior of the level, squared units of R."""
        return 0.0 if self.level is None else self.level_shape * self.level

    def exponent(self, form: Form) -> tuple[float, float]:
        """Mean and standard deviation of the log exponent of a form."""
        if form in ("power", "horizon"):
            return self.alpha_log_mean, self.alpha_log_sd
        return self.tail_log_mean, self.tail_log_sd

    def weights(self, forms: tuple[Form, ...]) -> dict[Form, float]:
        """Prior weights of the available forms, summing to 1; even when none had any."""
        weight_by_form = {form: float(self.form_weights.get(form, 0.0)) for form in forms}
        total = sum(weight_by_form.values())
        if total <= 0:
            return dict.fromkeys(forms, 1.0 / len(forms))
        return {form: weight / total for form, weight in weight_by_form.items()}

    def sample(
        self, n: int, form: Form, random: np.random.Generator, level: float = 1.0
    ) -> dict[str, Floats]:
        """Draw n parameter sets: arrays ``level``, ``share`` and ``exponent`` of shape (n,).

        The scale-free level has no draws of its own and is set to `level`.
        """
        mean, sd = self.exponent(form)
        levels = np.full(n, level)
        if self.level_runs > 0:
            levels = self.level_rate / random.gamma(self.level_shape, size=n)
        return {
            "level": levels,
            "share": np.asarray(expit(random.normal(self.share_mean, self.share_sd, n))),
            "exponent": np.exp(random.normal(mean, sd, n)),
        }

    @classmethod
    def from_tasks(
        cls, decompositions: Iterable[RiskDecomposition], base: RiskPrior | None = None
    ) -> RiskPrior:
        """Prior learned from the risk curves of reference tasks.

        Every task counts once with its whole posterior (what it leaves open stays open), and `base`
        counts as one task more, so that few tasks never make a narrow prior. The level is not
        learned: other tasks have other units. The reducible share belongs to the shallowest
            measured
        depth, so measure the tasks from about the depth the new one will be measured from.

        Args:
            decompositions: fitted risk curves, one for each task.
            base: what the tasks update; None for the default prior.

        Raises:
            ValueError: no task, or a task in which nothing varies.
        """
        base = cls() if base is None else base
        tasks = list(decompositions)
        if not tasks:
            raise ValueError("a prior needs at least one reference task, got none")
        shares, alphas, tails = [], [], []
        weights = {form: base.form_weights.get(form, 0.0) for form in FORMS}
        for task in tasks:
            draws = task.draws
            if not np.all(draws.amplitude > 0):
                raise ValueError(f"nothing varies in {task!r}: it says nothing about other tasks")
            shares.append(np.log(draws.amplitude / draws.intrinsic))
            names = np.array(draws.forms)[draws.form]
            alphas.append(np.log(draws.exponent[np.isin(names, ALPHA_FORMS)]))
            tails.append(np.log(draws.exponent[names == "tail_power"]))
            for form in FORMS:
                # A form the task could not evaluate says nothing for or against it.
                weights[form] += task.weights.get(form, base.form_weights.get(form, 0.0))
        share = _pool(shares, base.share_mean, base.share_sd)
        alpha = _pool(alphas, base.alpha_log_mean, base.alpha_log_sd)
        tail = _pool(tails, base.tail_log_mean, base.tail_log_sd)
        return cls(
            share_mean=share[0],
            share_sd=share[1],
            alpha_log_mean=alpha[0],
            alpha_log_sd=alpha[1],
            tail_log_mean=tail[0],
            tail_log_sd=tail[1],
            level_runs=base.level_runs,
            level=base.level,
            form_weights={form: weight / (len(tasks) + 1) for form, weight in weights.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {**vars(self), "form_weights": dict(self.form_weights)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RiskPrior:
        """Prior from `to_dict`'s form."""
        return cls(**data)


def _pool(draws: Sequence[Floats], mean: float, sd: float) -> tuple[float, float]:
    """Mean and deviation of a mixture: each task's draws once, and the base as one task more."""
    non_empty = [d for d in draws if d.size]
    means = np.array([mean, *(float(d.mean()) for d in non_empty)])
    variances = np.array([sd * sd, *(float(d.var()) for d in non_empty)])
    return float(means.mean()), float(np.sqrt(variances.mean() + means.var()))
