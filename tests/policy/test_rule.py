"""The stopping rule and its guarantee."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hf_ftrisk import Forecast, Goal, RunRecord
from hf_ftrisk.policy import StoppingRule, look_steps
from hf_ftrisk.policy.calibration import MAX_CALIBRATION_FORECASTS, MAX_CALIBRATION_RUNS, score_of
from hf_ftrisk.policy.grid import first_evaluation
from hf_ftrisk.policy.rule import judge_outcome
from hf_ftrisk.verdict import Verdict

GOAL = Goal("eval_accuracy", target=0.5)


class LastValue:
    """Forecast: normal around the last evaluation."""

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        _, values = record.curve(goal.metric)
        center = values[-1] if values.size else 0.5
        spread = np.linspace(-2.0, 2.0, 201) * 0.1
        return Forecast(center + spread, step=record.last_step)


def walk(seed: int, drift: float = 0.0, looks: int = 10) -> RunRecord:
    """Accuracy on a random walk from 0.5: its end is good half of the time."""
    rng = np.random.default_rng(seed)
    values = 0.5 + drift + np.cumsum(rng.normal(0, 0.06, looks))
    return RunRecord(
        max_steps=looks * 10,
        eval_step=np.arange(1, looks + 1) * 10.0,
        evals={"eval_accuracy": values},
    )


def test_the_threshold_is_the_kth_smallest_score():
    rule = StoppingRule(GOAL, LastValue(), 0.25, scores=(0.4, 0.1, 0.3, 0.2, 0.5, 0.6, 0.7))
    assert rule.threshold(walk(0)) == 0.2  # k = floor(0.25 * 8) = 2


@pytest.mark.parametrize(("delta", "needed"), [(0.05, 19), (0.1, 9), (0.3, 3), (0.5, 1)])
def test_a_rule_can_stop_from_one_over_delta_good_runs_on(delta, needed):
    for n in range(needed + 2):
        rule = StoppingRule(GOAL, LastValue(), delta, scores=(0.5,) * n)
        assert rule.can_stop == (n >= needed)
        assert rule.missing_runs == max(0, needed - n)


def test_a_rule_without_enough_runs_says_how_many_are_missing():
    rule = StoppingRule.from_runs([walk(s, drift=0.2) for s in range(3)], GOAL, LastValue())
    ruling = rule.judge(walk(9).prefix(50))
    assert ruling.verdict is not Verdict.NO_GO
    assert f"{rule.missing_runs} more" in ruling.reason


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, math.nan])
def test_a_false_stop_rate_outside_the_unit_interval_is_refused(bad):
    with pytest.raises(ValueError, match="false_stop_rate"):
        StoppingRule.from_runs([], GOAL, LastValue(), bad)


def test_good_runs_are_stopped_at_most_as_often_as_allowed():
    delta, stopped, good = 0.2, 0, 0
    for trial in range(40):
        runs = [walk(1000 * trial + s) for s in range(20)]
        rule = StoppingRule.from_runs(runs, GOAL, LastValue(), delta)
        for seed in range(20, 32):
            run = walk(1000 * trial + seed)
            if run.outcome(GOAL) < 0.5:
                continue
            good += 1
            looks = look_steps(run.max_steps, run.eval_step)
            stopped += any(rule.decide(run.prefix(s)) is Verdict.NO_GO for s in looks)
    assert good > 200
    assert stopped / good <= delta + 3 * math.sqrt(delta * (1 - delta) / good)
    assert stopped / good >= delta / 3  # and the allowance is used, not left unused


class PlanFirst(LastValue):
    """As `LastValue`, but sure of a poor outcome while nothing has been evaluated after step 0."""

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        if first_evaluation(record, goal.metric) is None:
            return Forecast(np.linspace(0.0, 0.2, 50), step=record.last_step)
        return super().predict(record, goal)


def begun(run: RunRecord) -> RunRecord:
    """The run with an evaluation of the untrained model, and training losses."""
    return RunRecord(
        max_steps=run.max_steps,
        train_step=np.arange(1, run.max_steps + 1),
        train_loss=np.ones(run.max_steps),
        eval_step=np.concatenate([[0.0], run.eval_step]),
        evals={"eval_accuracy": np.concatenate([[0.1], run.evals["eval_accuracy"]])},
    )


@pytest.mark.parametrize("step", [0, 5, 8])
def test_nothing_is_stopped_before_its_first_evaluation(step: int):
    rule = StoppingRule(GOAL, PlanFirst(), 0.25, scores=(0.4,) * 8)
    ruling = rule.judge(begun(walk(0)).prefix(step))
    assert ruling.prob_good == 0.0 < ruling.threshold
    assert ruling.verdict is Verdict.UNDECIDED
    assert "no run is stopped before its first evaluation" in ruling.reason
    poor = begun(walk(0, drift=-0.4)).prefix(10)
    assert rule.judge(poor).verdict is Verdict.NO_GO


def test_the_threshold_rises_with_the_share_of_the_run_that_is_done():
    rule = StoppingRule(GOAL, LastValue(), 0.25, scores=(0.4,) * 8)
    thresholds = [rule.threshold(walk(0).prefix(step)) for step in (1, 10, 100)]
    assert thresholds == pytest.approx([0.4 * 0.05**0.25, 0.4 * 0.1**0.25, 0.4])


def test_a_run_scores_as_at_its_worst_look_an_early_one_counting_less():
    run = RunRecord(
        max_steps=100, eval_step=[10, 50, 100], evals={"eval_accuracy": [0.4, 0.48, 0.9]}
    )
    prob = {step: share_above(run, step) for step in look_steps(100, run.eval_step)}
    expected = min(p / (step / 100) ** 0.25 for step, p in prob.items() if step >= 10)
    assert score_of(run, GOAL, LastValue()) == pytest.approx(expected)
    assert expected > min(prob.values())


def share_above(run: RunRecord, step: float) -> float:
    return LastValue().predict(run.prefix(step), GOAL).prob_meets(GOAL)


def test_no_draw_that_meets_the_goal_counts_as_half_a_draw_of_a_thousand():
    hopeless = RunRecord(max_steps=100, eval_step=[90], evals={"eval_accuracy": [0.0]})
    assert LastValue().predict(hopeless, GOAL).prob_meets(GOAL) == 0.0
    assert StoppingRule(GOAL, LastValue(), 0.25, (6e-4,) * 8).decide(hopeless) is Verdict.NO_GO
    assert StoppingRule(GOAL, LastValue(), 0.25, (5e-4,) * 8).decide(hopeless) is not Verdict.NO_GO


def test_looks_that_cannot_stop_do_not_lower_the_threshold():
    runs = [begun(walk(s, drift=0.2)) for s in range(12)]
    with_plan, without = (
        StoppingRule.from_runs(runs, GOAL, forecaster, 0.2)
        for forecaster in (PlanFirst(), LastValue())
    )
    assert with_plan.scores == without.scores
    assert min(with_plan.scores) > 0


def test_an_evaluation_that_is_not_finite_is_none():
    run = RunRecord(max_steps=30, eval_step=[0, 10, 20], evals={"eval_loss": [2.0, math.nan, 1.0]})
    assert first_evaluation(run.prefix(10), "eval_loss") is None
    assert first_evaluation(run, "eval_loss") == 20
    assert first_evaluation(run, "eval_accuracy") is None


def test_looks_cover_evaluations_and_a_geometric_grid_but_not_the_end():
    looks = look_steps(100, [30, 60, 100])
    assert {30, 60} <= set(looks)
    assert looks.max() < 100
    assert looks.min() == 5
    assert np.all(np.diff(looks) > 0)


def test_a_run_is_stopped_only_when_it_is_predicted_to_be_poor():
    """Good runs that never looked anything but good put the threshold near 1."""
    rule = StoppingRule(GOAL, LastValue(), 0.25, scores=(0.99,) * 8)
    assert rule.threshold(walk(0)) == 0.5
    doubtful = RunRecord(max_steps=100, eval_step=[10], evals={"eval_accuracy": [0.51]})
    assert 0.5 < rule.judge(doubtful).prob_good < 0.99
    assert rule.decide(doubtful) is not Verdict.NO_GO
    poor = RunRecord(max_steps=100, eval_step=[10], evals={"eval_accuracy": [0.45]})
    assert rule.decide(poor) is Verdict.NO_GO


def test_calibration_is_bounded_whatever_the_history_holds():
    """Runs are drawn without regard to how they went, and enough of them stay for the rule."""

    class Counting(LastValue):
        asked = 0

        def predict(self, record: RunRecord, goal: Goal) -> Forecast:
            self.asked += 1
            return super().predict(record, goal)

    few_looks, many_looks = Counting(), Counting()
    rule = StoppingRule.from_runs([walk(s) for s in range(600)], GOAL, few_looks)
    assert 30 <= len(rule.scores) <= MAX_CALIBRATION_RUNS
    assert few_looks.asked <= MAX_CALIBRATION_FORECASTS * 1.2
    rule = StoppingRule.from_runs([walk(s, looks=200) for s in range(200)], GOAL, many_looks)
    assert rule.can_stop
    assert len(rule.scores) <= 1.6 / 0.05


def test_a_run_that_looks_good_before_its_first_evaluation_has_no_verdict():
    """A forecast from the plan alone is no GO, however sure it is."""

    class Sure(LastValue):
        def predict(self, record: RunRecord, goal: Goal) -> Forecast:
            return Forecast(np.linspace(0.8, 0.9, 50), step=record.last_step)

    rule = StoppingRule(GOAL, Sure(), 0.05, scores=(0.5,) * 30)
    run = walk(0)
    before = rule.judge(begun(run).prefix(5))
    assert before.prob_good == 1.0
    assert before.verdict is Verdict.UNDECIDED
    assert "has not been evaluated yet" in before.reason
    assert rule.judge(run).verdict is Verdict.GO


@pytest.mark.parametrize(
    ("values", "target", "verdict", "said"),
    [
        ([0.6, 0.7125], 0.5, Verdict.GO, "meets the goal of eval_accuracy>=0.5"),
        ([0.1, 0.145], 0.93, Verdict.NO_GO, "misses the goal of eval_accuracy>=0.93"),
        ([60.0, 57.3], 0.8, Verdict.NO_GO, "misses the goal of eval_accuracy>=80"),
        ([0.6, math.nan], 0.5, Verdict.NO_GO, "is NaN or infinite at the end of the run"),
        ([0.6, 0.7], None, Verdict.GO, "is better than the trivial 0.6"),
        ([0.6, 0.6], None, Verdict.NO_GO, "is no better than the trivial 0.6"),
    ],
)
def test_an_outcome_that_is_known_decides(values, target, verdict, said):
    log = [{"step": 10 * (i + 1), "eval_accuracy": value} for i, value in enumerate(values)]
    record = RunRecord.from_log_history(log, max_steps=20, baselines={"eval_accuracy": 0.6})
    ruling = judge_outcome(record, record.goal_scale(Goal("accuracy", target=target))[0])
    assert ruling is not None
    assert ruling.verdict is verdict
    assert said in ruling.reason
    assert judge_outcome(record.prefix(10), Goal("accuracy", target=0.5)) is None


def test_a_loss_that_stands_where_it_began_is_no_better_than_the_untrained_models():
    """That one was measured on a part of the rows: 3.699 where all rows give 3.697."""
    still = RunRecord(
        max_steps=100,
        eval_step=[20, 60, 100],
        evals={"eval_loss": [3.6971, 3.697, 3.697]},
        baselines={"eval_loss": 3.699},
    )
    ruling = judge_outcome(still, Goal("eval_loss"))
    assert ruling.verdict is Verdict.NO_GO
    assert "no better than the trivial 3.699: it stands where it began" in ruling.reason
    fell = replace(still, evals={"eval_loss": [3.74, 3.71, 3.697]})
    assert judge_outcome(fell, Goal("eval_loss")).verdict is Verdict.GO
