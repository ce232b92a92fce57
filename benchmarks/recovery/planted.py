"""Planted risk curves with chi-square noise: bias, coverage, identifiability, regimes, c*."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hf_ftrisk.risk import Decay, RiskPrior, TailEnergy, fit_risk_curve
from hf_ftrisk.risk.decay import FORMS

RUNS = (3, 8, 30, 100, 1500)
HORIZON = 1000
DEPTHS = np.geomspace(20, 900, 8)
ALPHAS = (0.3, 0.6, 1.0, 1.5)
RATIOS = (1 / 3, 3.0, 30.0)  # V_opt / L_int at the shallowest depth
NAMED = ("noise-dominant", "static-sufficient", "dynamic-critical")


def linear_schedule(steps: int = HORIZON) -> np.ndarray:
    """Learning rates (T,) that fall linearly to zero, as the Trainer's default."""
    return 1.0 - np.arange(steps) / steps


def independent(risk: np.ndarray, runs: int, random: np.random.Generator) -> np.ndarray:
    """Sample variances of `runs` fresh runs at each depth."""
    return risk * random.chisquare(runs - 1, risk.shape) / (runs - 1)


def replayed(risk: np.ndarray, runs: int, random: np.random.Generator) -> np.ndarray:
    """Mean squared errors of the same runs - 1 forecasts at every depth.

    The errors of a right forecast are a martingale: what is left at one depth is what is left at
    the next plus what the steps between decide.
    """
    spread = np.sqrt(np.append(-np.diff(risk), risk[-1]))
    decided = random.normal(size=(runs - 1, risk.size)) * spread
    errors = np.cumsum(decided[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((errors**2).mean(axis=0))


def grid(repeats: int) -> list[dict[str, Any]]:
    """Power laws over a grid of (L_int, K, alpha), fitted as power laws: one row for each n."""
    rows = []
    for runs in RUNS:
        random = np.random.default_rng(runs)
        errors: dict[str, list[float]] = defaultdict(list)
        for alpha in ALPHAS:
            for ratio in RATIOS:
                amplitude = ratio * (DEPTHS / DEPTHS[0]) ** -alpha
                k = ratio * DEPTHS[0] ** alpha
                for _ in range(repeats):
                    fit = fit_risk_curve(
                        DEPTHS, independent(1.0 + amplitude, runs, random), counts=runs
                    )
                    errors["intrinsic"].append(np.log(fit.intrinsic))
                    errors["level"].append(np.log(fit.level / (1.0 + ratio)))
                    median = fit.parameters("power")["alpha"]
                    errors["alpha"].append(np.log(median / alpha))
                    errors["open"].append(fit.alpha is None)
                    if fit.alpha is not None:
                        errors["error"].append(abs(fit.alpha / alpha - 1))
                    for name, true in (("intrinsic", 1.0), ("K", k), ("alpha", alpha)):
                        low, high = fit.interval(name)
                        errors[f"in {name}"].append(low <= true <= high)
        rows.append({"runs": runs, "fits": len(errors["open"]), **_summary(errors)})
    return rows


def _summary(errors: Mapping[str, list[float]]) -> dict[str, float]:
    out = {f"bias {n}": float(np.expm1(np.median(errors[n]))) for n in ("intrinsic", "level")}
    out["bias alpha"] = float(np.expm1(np.median(errors["alpha"])))
    out["unidentified"] = float(np.mean(errors["open"]))
    out["alpha error"] = float(np.median(errors["error"])) if errors["error"] else float("nan")
    for name in ("intrinsic", "K", "alpha"):
        out[f"in {name}"] = float(np.mean(errors[f"in {name}"]))
    return out


def clear_exponent(repeats: int, runs: int = 1500) -> list[dict[str, float]]:
    """Exponents where L_int is a fiftieth of V_opt at the deepest depth: median relative errors.

    An unidentified alpha counts as an infinite error. Beside the fit: a prior with a narrower
    share, maximum likelihood, and maximum likelihood that is told L_int.
    """
    rows = []
    for alpha in ALPHAS:
        random = np.random.default_rng(7)
        decay = (DEPTHS / DEPTHS[0]) ** -alpha
        intrinsic = float(decay[-1] / 50)
        errors: dict[str, list[float]] = defaultdict(list)
        for _ in range(repeats):
            risks = independent(decay + intrinsic, runs, random)
            fit = fit_risk_curve(DEPTHS, risks, counts=runs)
            errors["fit"].append(np.inf if fit.alpha is None else abs(fit.alpha / alpha - 1))
            narrow = fit_risk_curve(DEPTHS, risks, counts=runs, prior=RiskPrior(share_sd=2.5))
            wrong = np.inf if narrow.alpha is None else abs(narrow.alpha / alpha - 1)
            errors["narrow prior"].append(wrong)
            errors["likelihood"].append(abs(most_likely_exponent(risks) / alpha - 1))
            likeliest = most_likely_exponent(risks, intrinsic=intrinsic)
            errors["told L_int"].append(abs(likeliest / alpha - 1))
        rows.append({"alpha": alpha, **{name: float(np.median(v)) for name, v in errors.items()}})
    return rows


_ALPHA_GRID = np.geomspace(0.02, 8, 400)
_ODDS_GRID = np.linspace(-12, 12, 241)


def most_likely_exponent(risks: np.ndarray, intrinsic: float | None = None) -> float:
    """Maximum-likelihood alpha of a power law with equally sure risks: what has no prior.

    Args:
        risks: (n_depths,) measured at DEPTHS.
        intrinsic: the true L_int, None if it is fitted too.
    """
    shape = (DEPTHS / DEPTHS[0]) ** -_ALPHA_GRID[:, None]
    if intrinsic is None:
        share = 1.0 / (1.0 + np.exp(-_ODDS_GRID))[:, None, None]
        curve = 1.0 - share + share * shape
        # The level at its own best, given the shape: the mean of risk / shape.
        curve = curve * (risks / curve).mean(axis=-1, keepdims=True)
    else:
        amplitude = np.geomspace(0.8, 1.25, 121)[:, None, None]
        curve = intrinsic + amplitude * shape
    deviance = (np.log(curve) + risks / curve).sum(axis=-1)
    return float(_ALPHA_GRID[deviance.min(axis=0).argmin()])


def nothing_decays(repeats: int) -> dict[int, tuple[int, int]]:
    """K = 0: how often alpha comes back as a number, of how many fits, for each n."""
    counts = {}
    for runs in RUNS:
        random = np.random.default_rng(runs)
        numbers = 0
        for i in range(repeats):
            fit = fit_risk_curve(
                DEPTHS,
                independent(np.ones(DEPTHS.size), runs, random),
                counts=runs,
                # Half of them as power laws alone, half with every form.
                learning_rates=linear_schedule() if i % 2 else None,
            )
            numbers += fit.alpha is not None or fit.K is not None
        counts[runs] = (numbers, repeats)
    return counts


@dataclass
class Calibration:
    """Simulation-based calibration at one n: truths drawn from the prior, fitted, compared.

    Args:
        runs: n.
        same_runs: the same runs stand behind every depth, and the fit is told so.
        inside: quantity -> whether its 90 % interval held the truth, fit by fit.
        regimes: (predicted probability, true or not) of every regime of every fit.
        regret: fit by fit, what the estimated c* costs above the best depth, as a share of L(0).
        numbers: how often alpha was a number.
    """

    runs: int
    same_runs: bool
    inside: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    regimes: list[tuple[float, bool]] = field(default_factory=list)
    regret: list[float] = field(default_factory=list)
    numbers: int = 0

    def coverage(self, name: str) -> float:
        """Share of the 90 % intervals that held the truth."""
        return float(np.mean(self.inside[name]))


def calibrate(
    runs: int,
    repeats: int,
    *,
    same_runs: bool = False,
    told: bool = True,
    optima: bool = True,
    seed: int = 5,
) -> Calibration:
    """Draw truths from the default prior, every form equally often, and fit with every form.

    Args:
        runs: n.
        repeats: number of truths.
        same_runs: measure as `replayed` instead of `independent`.
        told: pass `same_runs` on to the fit.
        optima: compare the optimal depths too, which takes most of the time.
        seed: of the random numbers.
    """
    random, prior = np.random.default_rng(seed), RiskPrior()
    rates = linear_schedule()
    decay = Decay(float(DEPTHS[0]), float(HORIZON), TailEnergy.from_learning_rates(rates))
    out = Calibration(runs, same_runs)
    steps = np.arange(HORIZON + 1, dtype=float)
    for i in range(repeats):
        form = FORMS[i % len(FORMS)]
        truth = prior.sample(1, form, random)
        share, exponent = float(truth["share"][0]), float(truth["exponent"][0])
        risk = 1.0 - share + share * decay.shape(form, DEPTHS, exponent)
        measure = replayed if same_runs else independent
        fit = fit_risk_curve(
            DEPTHS,
            measure(risk, runs, random),
            counts=runs,
            learning_rates=rates,
            same_runs=same_runs and told,
        )
        truths = {"intrinsic": 1.0 - share, "V_opt": share, "L": float(risk[4])}
        middle = fit.draws.intrinsic + fit.draws.optimization(DEPTHS[4:5])[:, 0]
        draws = {"intrinsic": fit.draws.intrinsic, "V_opt": fit.draws.amplitude, "L": middle}
        names = {"power": ("K", "alpha"), "horizon": ("K", "alpha"), "tail_power": ("b",)}
        for name in names.get(form, ()):
            if fit.draws.has(name):
                unit = float(decay.unit(form, exponent))
                truths[name] = share / unit if name == "K" else exponent
                draws[name] = fit.draws.parameter(name)
        if optima:
            price = 10.0 ** random.uniform(-1.5, 0.5) / HORIZON
            curve = share * decay.shape(form, steps, exponent) + price * steps
            truths["c*"] = float(curve.argmin())
            draws["c*"] = fit.draws.thinned(500).optima(price)
            chosen = fit.optimal_depth(price)
            paid = float(share * decay.shape(form, chosen, exponent)) + price * chosen
            out.regret.append(paid - float(curve.min()))
        for name, values in draws.items():
            low, high = np.quantile(values, (0.05, 0.95))
            # A step of slack: the closed forms of c* are not whole steps.
            slack = 1.0 if name == "c*" else 0.0
            out.inside[name].append(bool(low - slack <= truths[name] <= high + slack))
        tolerance = float(np.exp(random.uniform(-1.5, 0.5)))
        true = _regime(1.0 - share, 1.0, tolerance)
        for name, p in fit.regime_probabilities_at(tolerance).items():
            out.regimes.append((p, name == true))
        out.numbers += fit.alpha is not None
    return out


def _regime(intrinsic: float, level: float, tolerance: float) -> str:
    if intrinsic > tolerance**2:
        return NAMED[0]
    return NAMED[1] if level <= tolerance**2 else NAMED[2]


def reliability(
    pairs: list[tuple[float, bool]], bins: int = 5
) -> list[tuple[float, float, int] | None]:
    """(mean predicted probability, share that was true, number) in equal bins of probability."""
    predicted = np.array([p for p, _ in pairs])
    true = np.array([t for _, t in pairs], dtype=float)
    at = np.minimum((predicted * bins).astype(int), bins - 1)
    inside = [at == b for b in range(bins)]
    return [
        (float(predicted[i].mean()), float(true[i].mean()), int(i.sum())) if i.any() else None
        for i in inside
    ]
