"""fit_risk_curve: what it answers, and what it refuses."""

import numpy as np
import pytest

from hf_ftrisk.risk import RiskPrior, fit_risk_curve
from tests.risk.planted import DEPTHS, HORIZON, linear_schedule, measured


def test_many_runs_recover_the_planted_exponent():
    errors = []
    for seed in range(20):
        truth = 0.01 + 30 * DEPTHS**-0.6
        fit = fit_risk_curve(DEPTHS, measured(truth, 1500, seed), counts=1500)
        assert fit.alpha is not None
        errors.append(abs(fit.alpha / 0.6 - 1))
    assert np.median(errors) < 0.05


@pytest.mark.parametrize("runs", [3, 8, 30, 100, 1500])
def test_a_constant_risk_has_no_exponent(runs):
    for seed in range(40):
        fit = fit_risk_curve(
            DEPTHS,
            measured(np.full(8, 2.0), runs, seed),
            counts=runs,
            learning_rates=linear_schedule(),
        )
        assert fit.alpha is None
        assert fit.K is None
        assert not fit.identified["alpha"]
        assert "Bayes factor" in fit.reasons["alpha"]


def test_few_runs_leave_the_exponent_unidentified_with_a_reason():
    risks = measured(0.5 + 30 * DEPTHS**-0.6, 3, seed=1)
    fit = fit_risk_curve(DEPTHS, risks, counts=3)
    assert fit.alpha is None
    assert fit.reasons["alpha"]
    low, high = fit.interval("alpha")
    assert low < 0.6 < high


def test_a_single_depth_comes_back_as_measured():
    fit = fit_risk_curve([50], [0.3], counts=[7])
    assert fit.total(50) == pytest.approx(0.3, rel=0.02)
    assert not fit.identified["alpha"]


def test_two_depths_split_the_risk_but_never_name_an_exponent():
    fit = fit_risk_curve([10, 100], [9.0, 1.0], counts=1500)
    assert fit.total(10) == pytest.approx(9.0, rel=0.1)
    assert fit.total(100) == pytest.approx(1.0, rel=0.1)
    assert fit.alpha is None
    assert "2 depths measured" in fit.reasons["alpha"]


def test_a_rising_risk_is_fitted_flat_and_noted():
    fit = fit_risk_curve(DEPTHS, np.linspace(1.0, 4.0, 8), counts=100)
    assert fit.alpha is None
    assert fit.optimization(DEPTHS[0]) < 0.2 * fit.intrinsic
    assert len(fit.notes) == 1
    assert "rises from 1 at 20 steps to 4" in fit.notes[0]


def test_a_noisy_flat_risk_is_not_called_rising():
    assert fit_risk_curve(DEPTHS, np.linspace(1.0, 1.3, 8), counts=8).notes == ()


def test_zero_everywhere_means_nothing_left_but_the_floor():
    fit = fit_risk_curve(DEPTHS, np.zeros(8), counts=5, floor=0.02, horizon=HORIZON, tolerance=0.1)
    assert fit.intrinsic == 0.02
    assert fit.total(100.0) == 0.02
    assert fit.interval("intrinsic") == (0.02, 0.02)
    assert fit.optimal_depth() == 0.0
    assert not any(fit.identified.values())
    assert "every measured risk is zero" in fit.notes[0]


def test_some_zeros_pull_the_risk_down():
    with_zeros = fit_risk_curve(DEPTHS, [4, 3, 2, 1, 1, 0, 0, 0], counts=10)
    without = fit_risk_curve(DEPTHS, [4, 3, 2, 1, 1, 1, 1, 1], counts=10)
    assert 0 < with_zeros.intrinsic < 0.5 * without.intrinsic


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"depths": [0, 1, 2]}, r"depths must be.*above 0; got \[0\.0\] at positions \[0\]"),
        ({"depths": [1, np.inf, 2]}, r"inf.*\[1\]"),
        ({"risks": [1.0, np.nan, 2.0]}, r"risks must be finite.*nan.*\[1\]"),
        ({"risks": [1.0, -0.5, 2.0]}, r"-0\.5"),
        ({"risks": [1.0, 2.0]}, r"\(3,\) and \(2,\)"),
        ({"depths": [], "risks": []}, "not empty"),
        ({"counts": [5, 1, 5]}, r"at least 2.*\[1\.0\]"),
        ({"counts": [5, 5]}, r"\(2,\), expected \(3,\)"),
        ({"horizon": 250}, "depth 300 lies beyond the end of the run at 250"),
        ({"horizon": np.nan}, "horizon"),
        ({"horizon": 400, "learning_rates": np.ones(500)}, "400.*500"),
        ({"floor": -1.0}, "floor"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"counts": None, "same_runs": True}, "same_runs=True needs counts"),
    ],
)
def test_input_that_cannot_be_is_refused_by_name(arguments, words):
    given = {"depths": [100, 200, 300], "risks": [3.0, 2.0, 1.0], "counts": 5, **arguments}
    with pytest.raises(ValueError, match=words):
        fit_risk_curve(**given)


def test_the_same_input_gives_the_same_answer_in_any_order():
    risks = measured(0.1 + 30 * DEPTHS**-0.6, 30, seed=3)
    one = fit_risk_curve(DEPTHS, risks, counts=np.arange(10, 18), horizon=HORIZON)
    back = fit_risk_curve(DEPTHS[::-1], risks[::-1], counts=np.arange(17, 9, -1), horizon=HORIZON)
    assert one.to_dict() == back.to_dict()


def test_the_unit_of_the_metric_scales_risk_and_nothing_else():
    risks = measured(0.1 + 30 * DEPTHS**-0.6, 100, seed=4)
    share = fit_risk_curve(DEPTHS, risks * 1e-4, counts=100, floor=1e-6, horizon=HORIZON)
    points = fit_risk_curve(DEPTHS, risks, counts=100, floor=1e-2, horizon=HORIZON)
    assert points.intrinsic == pytest.approx(share.intrinsic * 1e4, rel=1e-6)
    assert points.total(200.0) == pytest.approx(share.total(200.0) * 1e4, rel=1e-6)
    assert points.weights == pytest.approx(share.weights)
    assert points.interval("alpha") == pytest.approx(share.interval("alpha"))


def test_the_floor_bounds_the_intrinsic_limit():
    risks = measured(1.0 + 30 * DEPTHS**-0.6, 30, seed=5)
    free = fit_risk_curve(DEPTHS, risks, counts=30)
    bound = fit_risk_curve(DEPTHS, risks, counts=30, floor=1.0)
    assert free.interval("intrinsic")[0] < 1.0
    assert bound.draws.intrinsic.min() >= 1.0
    assert bound.intrinsic >= 1.0
    assert np.isfinite(bound.log_bayes_decay)


def test_a_floor_far_above_the_data_wins():
    fit = fit_risk_curve(DEPTHS, np.full(8, 1e-3), counts=1500, floor=5.0)
    assert fit.intrinsic == pytest.approx(5.0, rel=0.01)


def test_unknown_counts_are_averaged_over():
    risks = measured(0.1 + 30 * DEPTHS**-0.6, 100, seed=6)
    unknown = fit_risk_curve(DEPTHS, risks)
    known = fit_risk_curve(DEPTHS, risks, counts=100)
    assert unknown.total(100.0) == pytest.approx(known.total(100.0), rel=0.1)
    low, high = unknown.interval("alpha")
    assert low < 0.6 < high


def test_the_schedule_that_made_the_curve_wins_the_comparison():
    left = 1.0 - DEPTHS / HORIZON
    risks = measured(0.2 + 5.0 * left**3, 1500, seed=7)
    fit = fit_risk_curve(DEPTHS, risks, counts=1500, learning_rates=linear_schedule())
    assert fit.form == "tail"
    assert fit.weights["tail"] + fit.weights["tail_power"] > 0.99
    assert sum(fit.weights.values()) == pytest.approx(1.0)
    # The power laws do not describe this curve: their exponent would mean nothing.
    assert fit.alpha is None
    assert "weight" in fit.reasons["alpha"]
    assert fit.identified["b"]
    assert fit.parameters("tail_power")["b"] == pytest.approx(1.0, abs=0.1)


def test_reference_tasks_sharpen_the_prior():
    tasks = [
        fit_risk_curve(DEPTHS, measured(0.1 + 30 * DEPTHS**-0.6, 1500, seed), counts=1500)
        for seed in range(10)
    ]
    learned = RiskPrior.from_tasks(tasks)
    assert learned.alpha_log_sd < 0.5 * RiskPrior().alpha_log_sd
    risks = measured(0.1 + 30 * DEPTHS**-0.6, 8, seed=99)
    weak = fit_risk_curve(DEPTHS, risks, counts=8).interval("alpha")
    sharp = fit_risk_curve(DEPTHS, risks, counts=8, prior=learned).interval("alpha")
    assert weak[0] < sharp[0] < 0.6 < sharp[1] < weak[1]


def test_a_fit_is_a_matter_of_milliseconds():
    # Of processor time, so that other work on the machine does not count.
    import time

    risks = measured(0.1 + 30 * DEPTHS**-0.6, 30, seed=8)
    spent = []
    for _ in range(5):
        start = time.process_time()
        fit_risk_curve(DEPTHS, risks, counts=30, learning_rates=linear_schedule())
        spent.append(time.process_time() - start)
    assert np.median(spent) < 0.05


def test_arguments_go_in_the_documented_order():
    risks = measured(0.1 + 30 * DEPTHS**-0.6, 30, seed=8)
    prior = RiskPrior(share_sd=1.0)
    one = fit_risk_curve(DEPTHS, risks, 30, HORIZON, 0.05, prior)
    other = fit_risk_curve(
        depths=DEPTHS, risks=risks, counts=30, horizon=HORIZON, floor=0.05, prior=prior
    )
    assert one.to_dict() == other.to_dict()


def test_the_same_runs_say_no_more_about_the_level_than_one_depth_does():
    # Eight looks at five runs, all the same risk: as wide as one look, not as eight.
    looks = np.full(8, 2.0)
    one = fit_risk_curve(DEPTHS[:1], looks[:1], counts=5)
    same = fit_risk_curve(DEPTHS, looks, counts=5, same_runs=True)
    fresh = fit_risk_curve(DEPTHS, looks, counts=5)
    wide, kept, narrow = (np.divide(*fit.band(DEPTHS[0])[::-1]) for fit in (one, same, fresh))
    assert kept == pytest.approx(wide, rel=0.25)
    assert narrow < 0.6 * kept
    assert same.total(DEPTHS[0]) == pytest.approx(fresh.total(DEPTHS[0]), rel=0.05)


def test_the_same_runs_leave_the_shape_as_it_is():
    risks = measured(0.1 + 30 * DEPTHS**-0.6, 100, seed=2)
    same = fit_risk_curve(DEPTHS, risks, counts=100, same_runs=True)
    fresh = fit_risk_curve(DEPTHS, risks, counts=100)
    assert same.interval("alpha") == pytest.approx(fresh.interval("alpha"))
    assert same.log_bayes_decay == fresh.log_bayes_decay


def test_an_exponent_of_forms_the_data_reject_is_no_number():
    left = 1.0 - DEPTHS / HORIZON
    # Few enough runs that the power laws keep a few percent of the weight.
    for seed in range(30):
        risks = measured(0.05 + left**3, 60, seed)
        fit = fit_risk_curve(DEPTHS, risks, counts=60, learning_rates=linear_schedule())
        if fit.weights["power"] + fit.weights["horizon"] < 0.1:
            assert fit.alpha is None
            assert fit.K is None
