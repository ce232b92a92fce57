"""What is concluded from few probes: wide and unidentified, never overconfident."""

import numpy as np
import pytest

from hf_ftrisk.goal import Goal
from hf_ftrisk.probing.evidence import known_baseline, summarize, told_by_the_data
from hf_ftrisk.probing.workload import Facts
from hf_ftrisk.record import RunRecord
from hf_ftrisk.risk import fit_risk_curve
from tests.risk.planted import linear_schedule

STEPS = 1000
GOAL = Goal("eval_accuracy", target=0.85)


def probe(seed: int, depths: list[int]) -> RunRecord:
    """A smooth rise of the accuracy, as the first part of a run of 1,000 steps."""
    at = np.array(depths, dtype=float)
    noise = np.random.default_rng(seed).normal(0, 0.01, at.size)
    return RunRecord(
        max_steps=STEPS,
        train_step=at,
        train_loss=np.exp(-at / 300),
        learning_rate=linear_schedule(STEPS)[depths],
        eval_step=at,
        evals={"eval_accuracy": 0.8 - 0.3 * np.exp(-at / 100) + noise},
        seed=seed,
    )


def evidence(n_probes: int, depths: list[int]):
    return summarize(
        [probe(seed, depths) for seed in range(n_probes)],
        GOAL,
        Facts(max_steps=STEPS, schedule=linear_schedule(STEPS)),
        history=[],
        baseline=0.5,
    )


def test_one_smooth_probe_does_not_make_a_sure_risk_curve():
    estimated = evidence(1, list(range(10, 110, 10)))
    risk = estimated.decomposition
    assert risk is not None
    assert risk.alpha is None
    assert not risk.identified["intrinsic"]
    # The variance of a single run: even ten looks at it leave the level open by orders of size.
    low, high = risk.band(50.0)
    assert high > 100 * low
    assert risk.regime == "unidentified"
    assert "three runs" in risk.regime_reason
    assert any("single probe" in note for note in estimated.notes)


def test_looking_more_often_at_the_same_three_probes_tells_no_more_about_the_level():
    few = evidence(3, [10, 100]).decomposition
    often = evidence(3, list(range(10, 110, 5))).decomposition
    for risk in (few, often):
        low, high = risk.band(100.0)
        assert high > 10 * low
        assert risk.alpha is None


def test_two_depths_name_no_exponent():
    estimated = evidence(3, [20, 40])
    assert "2 depths" in estimated.decomposition.reasons["alpha"]
    assert not estimated.decomposition.identified["b"]


def test_one_depth_has_no_curve_and_says_so():
    estimated = evidence(3, [40])
    assert estimated.decomposition is None
    assert estimated.optimal_depth is None
    assert estimated.risk_curve == ((40.0, pytest.approx(estimated.risk_curve[0][1]), 3.0),)
    assert "one depth" in estimated.notes[0]


def test_the_risk_is_the_mean_predictive_variance_of_the_probes():
    estimated = evidence(3, [20, 40])
    for depth, risk, probes in estimated.risk_curve:
        variances = [forecast.std**2 for forecast in estimated.by_depth[int(depth)]]
        assert probes == 3
        assert risk == pytest.approx(np.mean(variances))


def test_looks_within_the_first_of_the_learning_rate_give_no_split_of_the_risk():
    steps = 200
    schedule = np.concatenate([np.linspace(0, 1e-3, 50), np.linspace(1e-3, 0, 150)])
    facts = Facts(steps, schedule)
    records = [
        RunRecord.from_log_history(
            [{"step": 2, "eval_accuracy": 0.5}, {"step": 4, "eval_accuracy": 0.52}],
            max_steps=steps,
            schedule=schedule,
            seed=seed,
        )
        for seed in range(3)
    ]
    evidence = summarize(records, Goal("eval_accuracy"), facts, history=None, baseline=0.5)
    assert evidence.decomposition is None
    assert evidence.optimal_depth is None
    assert len(evidence.risk_curve) == 2
    assert any("0.1 % of the run's summed learning rate" in note for note in evidence.notes)


def curve(depths, risks, n_runs: int):
    return fit_risk_curve(
        depths, risks, counts=[n_runs] * len(depths), same_runs=True, horizon=100, tolerance=0.03
    )


def test_a_regime_the_data_speak_for_is_kept():
    """The risk of many runs falls to a level far above the tolerance, and stays there."""
    depths = [5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 95.0]
    flat = curve(depths, [0.05, 0.03, 0.021, 0.02, 0.02, 0.02, 0.02], 200)
    assert flat.regime == "noise-dominant"
    assert told_by_the_data(flat) is flat


def test_a_regime_is_dropped_where_its_prior_said_as_much():
    shallow = curve([3.0, 6.0], [0.06, 0.05], 4)
    assert shallow.regime == "noise-dominant"
    told = told_by_the_data(shallow)
    assert told.regime == "unidentified"
    assert "do not show which part" in told.regime_reason
    assert told.intrinsic == shallow.intrinsic


def test_what_is_known_at_the_shallowest_look_needs_no_split():
    sure = curve([3.0, 6.0, 12.0], [1e-5, 1e-5, 1e-5], 30)
    assert sure.regime == "static-sufficient"
    assert told_by_the_data(sure) is sure


def test_a_majority_that_only_the_signals_know_is_the_baseline_of_an_accuracy():
    facts, signals = Facts(max_steps=STEPS), {"eval_majority_share": 0.7}
    assert known_baseline(GOAL, facts, signals, untrained=0.34) == 0.7
    assert known_baseline(Goal("eval_f1"), facts, signals, untrained=0.34) == 0.34


def test_labels_of_the_evaluation_set_come_before_the_signals():
    facts = Facts(max_steps=STEPS, labels=np.array([0, 1, 1, 1]))
    assert known_baseline(GOAL, facts, {"eval_majority_share": 0.7}, untrained=None) == 0.75


def test_signals_of_one_of_several_evaluation_sets_are_no_baseline():
    facts = Facts(max_steps=STEPS, one_eval_set=False)
    assert known_baseline(GOAL, facts, {"eval_majority_share": 0.7}, untrained=0.34) == 0.34
