"""What is believed before anything is measured."""

import json
import math

import numpy as np
import pytest
from scipy.special import expit

from hf_ftrisk.risk import RiskPrior, fit_risk_curve
from tests.risk.planted import DEPTHS, HORIZON, linear_schedule, measured


def test_default_ranges_are_the_documented_ones():
    prior = RiskPrior()
    reach = 1.6449
    share = expit(prior.share_mean + reach * prior.share_sd * np.array([-1, 1]))
    assert share == pytest.approx([0.0014, 0.9986], abs=1e-4)
    alpha = np.exp(prior.alpha_log_mean + reach * prior.alpha_log_sd * np.array([-1, 1]))
    assert alpha == pytest.approx([0.16, 3.1], abs=0.03)
    tail = np.exp(prior.tail_log_mean + reach * prior.tail_log_sd * np.array([-1, 1]))
    assert tail == pytest.approx([0.27, 3.7], abs=0.03)


def test_samples_follow_the_prior():
    prior = RiskPrior(share_mean=1.0, share_sd=0.5, level_runs=6, level=2.0)
    drawn = prior.sample(200_000, "tail_power", np.random.default_rng(0))
    odds = np.log(drawn["share"] / (1 - drawn["share"]))
    assert (odds.mean(), odds.std()) == pytest.approx((1.0, 0.5), abs=0.01)
    assert np.log(drawn["exponent"]).std() == pytest.approx(0.8, abs=0.01)
    # Inverse gamma with shape 3 and rate 6: the mean is 3.
    assert drawn["level"].mean() == pytest.approx(3.0, rel=0.05)
    assert np.all(RiskPrior().sample(5, "power", np.random.default_rng(0), 7.0)["level"] == 7.0)


def test_weights_of_missing_forms_are_shared_out():
    prior = RiskPrior(form_weights={"power": 0.2, "tail": 0.6, "horizon": 0.2})
    assert prior.weights(("power", "horizon")) == {"power": 0.5, "horizon": 0.5}
    assert prior.weights(("tail_power",)) == {"tail_power": 1.0}


def test_a_form_without_weight_is_never_drawn():
    prior = RiskPrior(form_weights={"tail": 1.0})
    risks = measured(0.1 + (1 - DEPTHS / HORIZON) ** 3, 100, seed=0)
    fit = fit_risk_curve(DEPTHS, risks, 100, learning_rates=linear_schedule(), prior=prior)
    assert fit.weights["tail"] == pytest.approx(1.0)
    assert fit.alpha is None
    assert "weight of 0" in fit.reasons["alpha"]
    assert "no weight is left for tail_power" in fit.reasons["b"]
    with pytest.raises(ValueError, match="no posterior draw"):
        fit.interval("b")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"share_sd": 0.0}, "share_sd"),
        ({"alpha_log_sd": math.nan}, "alpha_log_sd"),
        ({"tail_log_sd": -1.0}, "tail_log_sd"),
        ({"level_runs": -1.0}, "level_runs"),
        ({"level_runs": 3.0}, "needs a level above 0, got None"),
        ({"form_weights": {"spline": 1.0}}, r"unknown forms \['spline'\]"),
        ({"form_weights": {"power": 0.0}}, "not all zero"),
        ({"form_weights": {"power": -1.0, "tail": 2.0}}, "not negative"),
    ],
)
def test_priors_that_cannot_be_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        RiskPrior(**arguments)


def test_a_known_level_steadies_few_runs():
    risks = measured(np.full(2, 4.0), 2, seed=1)
    free = fit_risk_curve([20, 40], risks, counts=2).band(20.0)
    known = fit_risk_curve([20, 40], risks, counts=2, prior=RiskPrior(level_runs=50, level=4.0))
    low, high = known.band(20.0)
    assert free[0] < low < 4.0 < high < free[1]


def test_a_known_level_speaks_even_when_every_risk_is_zero():
    fit = fit_risk_curve([20, 40], [0.0, 0.0], counts=3, prior=RiskPrior(level_runs=5, level=1.0))
    assert 0 < fit.level < 1.0


def tasks(n: int, alpha: float = 0.6):
    return [
        fit_risk_curve(
            DEPTHS,
            measured(0.1 + 30 * DEPTHS**-alpha, 1500, seed),
            counts=1500,
            learning_rates=linear_schedule(),
        )
        for seed in range(n)
    ]


def test_reference_tasks_move_the_prior_towards_them():
    given = tasks(9)
    learned = RiskPrior.from_tasks(given)
    assert learned.alpha_log_mean == pytest.approx(
        0.1 * math.log(0.7) + 0.9 * math.log(0.6), abs=0.1
    )
    # Each task once, the default (log odds 0) as the tenth.
    odds = [np.log(task.draws.amplitude / task.draws.intrinsic) for task in given]
    assert learned.share_mean == pytest.approx(0.9 * np.mean(odds))
    spread = np.mean([RiskPrior().share_sd ** 2, *(o.var() for o in odds)])
    between = np.var([0.0, *(o.mean() for o in odds)])
    assert learned.share_sd == pytest.approx(np.sqrt(spread + between))
    assert learned.form_weights["power"] > 0.5
    assert sum(learned.form_weights.values()) == pytest.approx(1.0)


def test_one_task_alone_leaves_the_prior_wide():
    learned, base = RiskPrior.from_tasks(tasks(1)), RiskPrior()
    assert learned.alpha_log_sd > 0.6 * base.alpha_log_sd
    assert learned.share_sd > 0.6 * base.share_sd


def test_tasks_that_differ_make_a_wide_prior():
    like = RiskPrior.from_tasks(tasks(4, 0.6) + tasks(4, 0.7))
    unlike = RiskPrior.from_tasks(tasks(4, 0.3) + tasks(4, 2.0))
    assert unlike.alpha_log_sd > 1.5 * like.alpha_log_sd


def test_a_stored_task_teaches_what_the_task_does():
    from hf_ftrisk.risk import RiskDecomposition

    fits = tasks(3)
    stored = [RiskDecomposition.from_dict(json.loads(json.dumps(fit.to_dict()))) for fit in fits]
    one, other = RiskPrior.from_tasks(fits), RiskPrior.from_tasks(stored)
    assert other.alpha_log_mean == pytest.approx(one.alpha_log_mean, abs=0.02)
    assert other.share_sd == pytest.approx(one.share_sd, rel=0.02)


def test_a_prior_survives_json():
    prior = RiskPrior.from_tasks(tasks(2))
    assert RiskPrior.from_dict(json.loads(json.dumps(prior.to_dict()))) == prior


def test_no_task_or_one_without_any_variance_is_refused():
    with pytest.raises(ValueError, match="at least one reference task"):
        RiskPrior.from_tasks([])
    dead = fit_risk_curve(DEPTHS, np.zeros(8), counts=5)
    with pytest.raises(ValueError, match="nothing varies"):
        RiskPrior.from_tasks([dead])
