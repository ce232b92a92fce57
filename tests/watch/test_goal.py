"""The goal of a watched run follows the scale on which the run reports its metric."""

from __future__ import annotations

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.watch.goal import WatchedGoal
from hf_ftrisk.watch.trace import Trace


def trace_of(*evaluations: dict[str, float], **plan: float) -> Trace:
    trace = Trace(RunRecord(max_steps=100, baselines=plan))
    for number, metrics in enumerate(evaluations):
        trace.add_eval(10 * number, metrics)
    return trace


def test_a_target_in_percent_of_a_run_that_reports_fractions_becomes_a_fraction():
    goal = WatchedGoal(Goal("eval_accuracy", 85.0), trace_of({"eval_accuracy": 0.3}))
    assert goal.follow()
    assert goal.current.target == 0.85
    assert len(goal.notes) == 1
    assert not goal.follow()


def test_completed_runs_show_the_scale_before_the_first_value():
    run = RunRecord(max_steps=100, eval_step=range(1, 6), evals={"eval_accuracy": [0.9] * 5})
    goal = WatchedGoal(Goal("eval_accuracy", 85.0), trace_of(), [run])
    assert goal.current.target == 0.85


def test_the_baseline_follows_the_scale_into_the_plan():
    trace = trace_of({"eval_accuracy": 0.3}, eval_accuracy=50.0)
    WatchedGoal(Goal("eval_accuracy", 85.0), trace).follow()
    assert trace.plan.baselines == {"eval_accuracy": 0.5}


def test_the_untrained_model_is_the_baseline_where_labels_tell_none():
    trace = trace_of({"eval_loss": 2.5})
    WatchedGoal(Goal("eval_loss"), trace).learn_baseline()
    assert trace.plan.baselines == {"eval_loss": 2.5}


def test_a_metric_that_is_reported_is_chosen_only_where_the_goal_is_not():
    reported = WatchedGoal(Goal("eval_f1"), trace_of({"eval_f1": 0.3, "eval_loss": 1.0}))
    assert reported.choose(["eval_f1", "eval_loss"]) is None
    other = WatchedGoal(Goal("eval_f1"), trace_of({"eval_accuracy": 0.3}))
    assert other.choose(["eval_accuracy"]) == Goal("eval_accuracy") == other.current
    assert other.notes[0].startswith("eval_f1 is not reported")
