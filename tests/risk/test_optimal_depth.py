"""Optimal depth against brute force over every integer depth."""

import numpy as np
import pytest

from hf_ftrisk.risk import RiskPrior, TailEnergy, fit_risk_curve
from hf_ftrisk.risk.optimal_depth import (
    CheckedCharge,
    candidate_depths,
    minimize,
    power_law_optimum,
    stopping_learning_rate,
    tail_energy_optimum,
    tail_power_optimum,
)
from tests.risk.planted import DEPTHS, HORIZON, linear_schedule, measured

CASES = 1500


def schedule(random: np.random.Generator, steps: int) -> np.ndarray:
    """A random schedule of a common kind: linear, cosine, constant, restarts; often warmed up."""
    at = np.arange(steps) / steps
    kind = random.integers(4)
    if kind == 0:
        rates = 1 - at
    elif kind == 1:
        rates = 0.5 * (1 + np.cos(np.pi * at))
    elif kind == 2:
        rates = np.ones(steps)
    else:
        rates = 0.5 * (1 + np.cos(np.pi * ((at * random.integers(2, 5)) % 1.0)))
    warm = random.choice([0.0, 0.06, 0.3])
    if warm:
        rates = rates * np.minimum(at / warm, 1.0)
    return rates * 10.0 ** random.uniform(-6, 0) + 1e-12


def test_power_law_optimum_is_never_worse_than_brute_force():
    random = np.random.default_rng(0)
    for _ in range(CASES):
        steps = int(random.integers(10, 3000))
        k, alpha = 10.0 ** random.uniform(-4, 4), random.uniform(0.05, 3)
        price = 10.0 ** random.uniform(-8, 1)

        def cost(c, k=k, alpha=alpha, price=price):
            return k * c**-alpha + price * c

        depth = np.arange(1, steps + 1, dtype=float)
        best = float(power_law_optimum(k, alpha, price, steps))
        assert 0 <= best <= steps
        assert cost(best) <= cost(depth).min() * (1 + 1e-12)


def test_tail_energy_optimum_is_brute_force_for_every_schedule():
    random = np.random.default_rng(1)
    for _ in range(CASES):
        steps = int(random.integers(2, 1500))
        energy = TailEnergy.from_learning_rates(schedule(random, steps))
        k, price = 10.0 ** random.uniform(-4, 4), 10.0 ** random.uniform(-6, 1)
        depth = np.arange(steps + 1, dtype=float)
        total = k * energy.share + price * depth
        best = int(tail_energy_optimum(k, energy, price))
        assert total[best] <= total.min() * (1 + 1e-9)


def test_tail_power_optimum_is_brute_force_for_every_schedule():
    random = np.random.default_rng(2)
    for _ in range(500):
        steps = int(random.integers(2, 6000))
        energy = TailEnergy.from_learning_rates(schedule(random, steps))
        k, price = 10.0 ** random.uniform(-4, 4, 4), 10.0 ** random.uniform(-6, 1)
        b = np.append(np.exp(random.normal(0, 0.8, 3)), 1.0)
        depth = np.arange(steps + 1, dtype=float)
        optima = tail_power_optimum(k, b, energy, price)
        for best, one_k, one_b in zip(optima, k, b, strict=True):
            total = one_k * energy.share**one_b + price * depth
            assert total[int(best)] <= total.min() + 1e-12 * one_k


def test_a_long_run_is_searched_to_the_step():
    steps = 300_000
    energy = TailEnergy.from_learning_rates(linear_schedule(steps))
    depth = np.arange(steps + 1, dtype=float)
    for b, price in ((0.5, 3e-6), (1.7, 2e-6), (3.0, 1e-7)):
        best = tail_power_optimum(np.ones(1), np.array([b]), energy, price)[0]
        assert best == (energy.share**b + price * depth).argmin()


def test_a_flat_sum_ends_the_search_early_at_no_loss():
    # The risk falls exactly as the charge rises: every depth is as good.
    steps = 1_000_000

    def risk(c):
        return 1.0 - c / steps

    asked = []

    def charge(c):
        asked.append(c)
        return c / steps

    best = minimize(risk, charge, candidate_depths(10.0, steps))
    assert risk(best) + charge(best) == pytest.approx(1.0)
    assert len(asked) < 100_000


def test_averaged_curves_and_any_cost_are_within_one_step_of_brute_force():
    random = np.random.default_rng(3)
    for case in range(1200):
        steps = int(random.integers(50, 1000))
        rates = schedule(random, steps)
        depth = np.arange(steps + 1, dtype=float)
        mix = random.dirichlet([1, 1, 1])
        energy = TailEnergy.from_learning_rates(rates)
        alpha, b = random.uniform(0.1, 2), random.uniform(0.3, 3)

        def risk(c, mix=mix, energy=energy, alpha=alpha, b=b):
            return mix[0] * (1 + c) ** -alpha + mix[1] * energy.at(c) + mix[2] * energy.at(c) ** b

        # Convex, concave, and with jumps (an evaluation every so often, a new epoch).
        kind, scale = case % 3, 10.0 ** random.uniform(-3, 1) / steps
        jump = steps // 7 + 1

        def charge(c, kind=kind, scale=scale, steps=steps, jump=jump):
            if kind == 0:
                return scale * c * (1 + c / steps)
            if kind == 1:
                return scale * np.sqrt(c * steps)
            return scale * (c + jump * np.floor(c / jump))

        total = risk(depth) + np.array([charge(c) for c in depth])
        best = minimize(risk, charge, candidate_depths(20.0, steps))
        lowest = float(risk(np.array([best]))[0] + charge(best))
        floor = max(int(best) - 1, 0)
        one_step = float(risk(np.array([floor]))[0] - risk(np.array([floor + 2.0]))[0])
        assert lowest <= total.min() + max(one_step, charge(1.0) - charge(0.0)) + 1e-12


def test_fitted_optimal_depth_is_brute_force_on_its_own_curve():
    # Averages over all four forms, over unlike curves, counts, and prices.
    random = np.random.default_rng(6)
    depth = np.arange(HORIZON + 1, dtype=float)
    left = 1.0 - DEPTHS / HORIZON
    for case in range(30):
        runs = int(random.choice([3, 30, 300]))
        decay = (
            (DEPTHS / 20) ** -random.uniform(0.2, 2) if case % 2 else left ** random.uniform(1, 6)
        )
        risks = measured(random.uniform(0, 1) + decay, runs, seed=case)
        fit = fit_risk_curve(DEPTHS, risks, counts=runs, learning_rates=linear_schedule())
        curve = fit.total(depth)
        for price in 10.0 ** random.uniform(-5, 0, 12):
            best = fit.optimal_depth(price)
            assert best == int(best)
            brute = float((curve + price * depth).min())
            assert curve[int(best)] + price * best <= brute + 1e-9 * curve[0]


@pytest.mark.parametrize("form", ["power", "horizon", "tail", "tail_power"])
def test_every_draw_of_every_form_gets_its_own_optimum(form):
    prior = RiskPrior(form_weights={form: 1.0})
    depth = np.arange(HORIZON + 1, dtype=float)
    risks = measured(0.2 + (1.0 - DEPTHS / HORIZON) ** 2, 30, seed=1)
    fit = fit_risk_curve(DEPTHS, risks, 30, learning_rates=linear_schedule(), prior=prior)
    draws = fit.draws.thinned(500)
    curves = draws.optimization(depth)
    for price in (1e-4, 1e-3, 1e-2):
        total = curves + price * depth
        closed = draws.optima(price)
        asked = draws.optima_under(lambda c, price=price: price * c, HORIZON)
        assert np.all(total[np.arange(500), asked.astype(int)] <= total.min(axis=1) + 1e-12)
        for best, curve in zip(closed, total, strict=True):
            # The power laws' closed form is no whole step: one step's worth of slack.
            assert np.interp(best, depth, curve) <= curve.min() + price


def test_default_price_is_the_risk_over_the_run():
    risks = measured(0.01 + 30 * DEPTHS**-0.6, 1500, seed=2)
    fit = fit_risk_curve(DEPTHS, risks, counts=1500, horizon=HORIZON)
    assert fit.optimal_depth() == fit.optimal_depth(fit.level / HORIZON)


def test_money_for_a_whole_run_is_the_default_price():
    risks = measured(0.01 + 30 * DEPTHS**-0.6, 1500, seed=2)
    fit = fit_risk_curve(DEPTHS, risks, counts=1500, horizon=HORIZON)
    hours = HORIZON * 0.9 / 3600
    same = fit.optimal_depth(price_per_hour=4.0, seconds_per_step=0.9, value=4.0 * hours)
    assert same == pytest.approx(fit.optimal_depth(), abs=1.0)
    dear = fit.optimal_depth(price_per_hour=40.0, seconds_per_step=0.9, value=4.0 * hours)
    assert dear < 0.5 * same


def test_linear_cost_function_is_the_linear_price():
    risks = measured(0.01 + 30 * DEPTHS**-0.6, 1500, seed=2)
    fit = fit_risk_curve(DEPTHS, risks, counts=1500, horizon=HORIZON)
    assert fit.optimal_depth(cost=lambda c: 5.0 + 0.1 * c) == pytest.approx(
        fit.optimal_depth(), abs=1.0
    )
    low, high = fit.optimal_depth_interval()
    again = fit.optimal_depth_interval(cost=lambda c: 5.0 + 0.1 * c)
    assert again == pytest.approx((low, high), abs=1.0)


def test_closed_form_lies_in_the_posterior_interval():
    k, alpha, price = 30.0, 0.6, 0.02
    risks = measured(0.01 + k * DEPTHS**-alpha, 1500, seed=3)
    fit = fit_risk_curve(DEPTHS, risks, counts=1500)
    truth = float(power_law_optimum(k, alpha, price))
    low, high = fit.optimal_depth_interval(price)
    assert low <= truth <= high
    assert fit.optimal_depth(price) == pytest.approx(truth, rel=0.05)


def test_depth_is_clipped_to_the_run():
    risks = measured(0.01 + 30 * DEPTHS**-0.6, 1500, seed=3)
    fit = fit_risk_curve(DEPTHS, risks, counts=1500, horizon=HORIZON)
    assert fit.optimal_depth(1e-9) == HORIZON
    assert fit.optimal_depth_interval(1e-9) == (HORIZON, HORIZON)
    left = 1.0 - DEPTHS / HORIZON
    tail = fit_risk_curve(
        DEPTHS, measured(5 * left**3, 1500, 4), counts=1500, learning_rates=linear_schedule()
    )
    assert tail.optimal_depth_interval(10.0)[0] == 0.0


def test_probing_stops_at_the_named_learning_rate():
    peak, price = 2e-5, 5e-3
    rates = linear_schedule(peak=peak)
    risks = measured(0.2 + 5.0 * (1 - DEPTHS / HORIZON) ** 3, 1500, seed=5)
    fit = fit_risk_curve(DEPTHS, risks, counts=1500, learning_rates=rates)
    rate = fit.stopping_learning_rate(price)
    energy = TailEnergy.from_learning_rates(rates)
    # K = 5: eta*^2 = price S(0) / K with S(0) = peak^2 T / 3.
    assert rate == pytest.approx(peak * np.sqrt(price * HORIZON / 15), rel=0.03)
    best = tail_energy_optimum(fit.parameters("tail")["K"], energy, price)
    assert energy.learning_rate(float(best)) <= rate < energy.learning_rate(float(best) - 1)
    assert stopping_learning_rate(0.0, energy, price) == np.inf


def test_no_schedule_names_no_learning_rate():
    fit = fit_risk_curve(DEPTHS, 30 * DEPTHS**-0.6, counts=8, horizon=HORIZON)
    assert fit.stopping_learning_rate() is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"price": 0.0}, "price must be a finite number above 0"),
        ({"price": float("nan")}, "price"),
        ({"price_per_hour": 2.0}, "all three"),
        (
            {"price": 1.0, "price_per_hour": 2.0, "seconds_per_step": 1.0, "value": 3.0},
            "one way",
        ),
        ({"price_per_hour": 2.0, "seconds_per_step": -1.0, "value": 3.0}, "seconds_per_step"),
        ({"cost": lambda c: -c}, "does not rise"),
        ({"cost": lambda c: abs(c - 500) + c / 100}, "must not fall with depth"),
    ],
)
def test_costs_that_cannot_be_are_refused(arguments, words):
    fit = fit_risk_curve(DEPTHS, 30 * DEPTHS**-0.6, counts=8, horizon=HORIZON)
    with pytest.raises(ValueError, match=words):
        fit.optimal_depth(**arguments)


def test_a_default_price_needs_the_length_of_the_run():
    fit = fit_risk_curve(DEPTHS, 30 * DEPTHS**-0.6, counts=8)
    with pytest.raises(ValueError, match="horizon="):
        fit.optimal_depth()
    with pytest.raises(ValueError, match="horizon="):
        fit.optimal_depth(cost=lambda c: c, price=1.0)


def test_a_cost_that_is_no_number_is_named():
    with pytest.raises(ValueError, match="depth 3 is nan"):
        CheckedCharge(lambda c: float("nan") if c == 3 else c)(np.arange(5.0))
