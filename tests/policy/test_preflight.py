"""The verdict of several short probes, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hf_ftrisk import Forecast, Goal, RunRecord
from hf_ftrisk.policy import PatienceRule, StoppingRule, judge_preflight
from hf_ftrisk.verdict import Verdict

GOAL = Goal("eval_accuracy", target=0.5)


class Unused:
    """A pre-flight hands its forecasts over: the rule's own forecaster is not asked."""

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        raise AssertionError("asked")


def rule(*scores: float, rate: float = 0.25, **settings) -> StoppingRule:
    return StoppingRule(GOAL, Unused(), rate, scores=scores, **settings)


# k = floor(0.25 * 8) = 2: the threshold is 0.2, at 5 % of the run 0.2 x 0.05^(1/4).
THRESHOLD = 0.2 * 0.05**0.25
CALIBRATED = rule(0.4, 0.1, 0.3, 0.2, 0.5, 0.6, 0.7)
UNCALIBRATED = rule(0.4)


def forecast(prob_good: float) -> Forecast:
    """100 outcomes, this share of them at 0.9, the rest at 0.1."""
    good = round(100 * prob_good)
    return Forecast(np.sort([0.9] * good + [0.1] * (100 - good)), step=4, source="test")


def probe(*losses: float, **fields) -> RunRecord:
    entries = [{"step": k + 1, "loss": loss} for k, loss in enumerate(losses)]
    return RunRecord.from_log_history(entries, max_steps=100, status="running", **fields)


SOUND, LOST = probe(0.7, 0.6, 0.5), probe(0.7, float("nan"), float("nan"), float("nan"))


def judged(probs, probes=None, *, by=CALIBRATED, goal=GOAL, baseline=None):
    probes = [SOUND] * len(probs) if probes is None else probes
    forecasts = [forecast(p) for p in probs]
    return judge_preflight(forecasts, probes, goal, rule=by, baseline=baseline)


@pytest.mark.parametrize(
    ("probs", "verdict"),
    [
        ([0.9, 0.9, 0.6], Verdict.GO),  # mean 0.8
        ([0.9, 0.9, 0.57], Verdict.UNDECIDED),
        ([0.1, 0.1, 0.1], Verdict.UNDECIDED),  # just above the threshold of 0.0946
        ([0.2, 0.04, 0.04], Verdict.NO_GO),  # mean 0.0933
    ],
)
def test_the_mean_over_the_probes_decides(probs, verdict):
    ruling = judged(probs)
    assert ruling.verdict is verdict
    assert ruling.prob_good == pytest.approx(np.mean(probs))
    assert ruling.threshold == pytest.approx(THRESHOLD)
    assert f"mean over 3 probes (from {min(probs):.3f} to {max(probs):.3f})" in ruling.reason


def test_without_enough_completed_runs_nothing_but_a_failure_is_a_no_go():
    ruling = judged([0.0, 0.0, 0.0], by=UNCALIBRATED)
    assert ruling.verdict is Verdict.UNDECIDED
    assert f"needs {UNCALIBRATED.missing_runs} more" in ruling.reason


def test_probes_that_all_failed_are_a_certain_no_go():
    ruling = judge_preflight([], [LOST, LOST], GOAL, rule=UNCALIBRATED, baseline=None)
    assert ruling.verdict is Verdict.NO_GO
    assert ruling.certain
    assert "2 of 2 probes failed" in ruling.reason


def test_a_failed_probe_without_a_forecast_counts_as_poor():
    ruling = judged([1.0, 1.0], [SOUND, SOUND, LOST])
    assert ruling.prob_good == pytest.approx(2 / 3)
    assert ruling.verdict is Verdict.UNDECIDED
    assert "1 of 3 probes failed" in ruling.reason


def test_a_goal_without_threshold_judges_nothing():
    bare = Goal("eval_accuracy")
    ruling = judged([1.0], goal=bare)
    assert ruling.verdict is Verdict.UNDECIDED
    assert "neither a target nor a known trivial baseline" in ruling.reason
    assert judged([1.0], goal=bare, baseline=0.5).verdict is Verdict.GO


def test_sound_probes_without_a_forecast_are_undecided():
    ruling = judge_preflight([], [SOUND], GOAL, rule=CALIBRATED, baseline=None)
    assert ruling.verdict is Verdict.UNDECIDED
    assert ruling.reason == "No probe gave a forecast."


class Says:
    """A judge with one opinion."""

    def __init__(self, prob_good: float) -> None:
        self.forecast = forecast(prob_good)

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        return self.forecast


@pytest.mark.parametrize(
    ("known", "without", "verdict"),
    [
        (0.01, 0.01, Verdict.NO_GO),
        (0.01, 0.3, Verdict.UNDECIDED),
        (0.6, 0.01, Verdict.UNDECIDED),
        (0.9, 0.01, Verdict.GO),
    ],
)
def test_a_no_go_by_packaged_runs_takes_forecasts_with_and_without_the_history(
    known, without, verdict
):
    ruling = judged([known] * 3, by=replace(CALIBRATED, judged_by=Says(without)))
    assert ruling.verdict is verdict
    assert f"{without:.3f} if the history is left out" in ruling.reason


@pytest.mark.parametrize(
    ("says", "probs", "verdict"),
    [
        (0.1, [0.1, 0.1], Verdict.NO_GO),
        (0.6, [0.6, 0.6], Verdict.UNDECIDED),
        (0.9, [0.9, 0.9], Verdict.GO),
    ],
)
def test_a_rule_of_another_kind_says_no_where_it_would_end_every_probe(says, probs, verdict):
    evaluated = replace(SOUND, eval_step=[1.0], evals={"eval_accuracy": [0.4]})
    other = PatienceRule(GOAL, Says(says), evaluations=1)
    ruling = judged(probs, [evaluated] * 2, by=other)
    assert ruling.verdict is verdict
    ended = 2 if verdict is Verdict.NO_GO else 0
    assert f"the rule would end {ended} of 2 probes" in ruling.reason


@pytest.mark.parametrize("forecasts", [[], [forecast(0.0)]])
def test_forecasts_without_a_probe_are_refused(forecasts):
    with pytest.raises(ValueError, match=f"got none, and {len(forecasts)} forecasts"):
        judge_preflight(forecasts, [], GOAL, rule=CALIBRATED, baseline=None)


@pytest.mark.parametrize("firsts", [[0.01], [0.3, 0.01]], ids=["alone", "one of two"])
def test_probes_that_began_far_below_their_baseline_are_not_judged_by_packaged_runs(firsts):
    packaged = rule(*[0.5] * 20, borrowed=True)
    probes = [
        RunRecord(max_steps=100, eval_step=[10], evals={"eval_accuracy": [first]})
        for first in firsts
    ]
    poor = [0.04] * len(probes)
    ruling = judged(poor, probes, by=packaged, baseline=0.2)  # the records do not know it
    assert ruling.verdict is Verdict.UNDECIDED
    assert "this one began far below its trivial baseline of 0.2" in ruling.reason
    assert judged(poor, probes, by=packaged, baseline=0.01).verdict is Verdict.NO_GO
