"""Goals: parsing, direction, range, what counts as good, trivial baselines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk import Goal
from hf_ftrisk.goal import label_entropy, majority_rate, trivial_baseline


@pytest.mark.parametrize(
    ("metric", "greater", "kind"),
    [
        ("accuracy", True, "rate"),
        ("eval_accuracy", True, "rate"),
        ("eval_g0_f1", True, "rate"),
        ("eval_mean_token_accuracy", True, "rate"),
        ("wer", False, "loss"),
        ("eval_error_rate", False, "rate"),
        ("loss", False, "loss"),
        ("eval_validation_loss", False, "loss"),
        ("perplexity", False, "loss"),
        ("matthews_correlation", True, "correlation"),
        ("eval_pearson", True, "correlation"),
        ("rougeL", True, "rate"),
        ("rewards/margins", True, "real"),
    ],
)
def test_direction_and_range_come_from_the_name(metric, greater, kind):
    goal = Goal(metric)
    assert (goal.greater_is_better, goal.kind) == (greater, kind)
    assert goal.metric.startswith("eval_")


def test_an_unknown_metric_needs_its_direction():
    with pytest.raises(ValueError, match="greater_is_better"):
        Goal("eval_zorp")
    assert Goal("eval_zorp", greater_is_better=False).kind == "real"


@pytest.mark.parametrize(
    ("text", "metric", "target"),
    [
        ("eval_accuracy>=0.85", "eval_accuracy", 0.85),
        (" accuracy >= .85 ", "eval_accuracy", 0.85),
        ("loss<=0.7", "eval_loss", 0.7),
        ("loss < 7e-1", "eval_loss", 0.7),
        ("accuracy\u22650.85", "eval_accuracy", 0.85),
        ("loss \u2264 0.7", "eval_loss", 0.7),
        ("f1", "eval_f1", None),
        ("macro f1>=0.7", "eval_macro f1", 0.7),
        ("ndcg@10 > .4", "eval_ndcg@10", 0.4),
        ("eval_accuracy@1", "eval_accuracy@1", None),
        ("'recall@k=10' >= 0.4", "eval_recall@k=10", 0.4),
        ('"macro avg/f1-score">=0.5', "eval_macro avg/f1-score", 0.5),
        ("'top 5'>=0.5", "eval_top 5", 0.5),
    ],
)
def test_a_goal_is_parsed_from_text(text, metric, target):
    goal = Goal.parse(text)
    assert (goal.metric, goal.target) == (metric, target)


def test_the_comparison_gives_an_unknown_metric_its_direction():
    assert Goal.parse("zorp>=3").greater_is_better
    assert not Goal.parse("zorp<=3").greater_is_better
    assert Goal.parse("zorp\u22653").greater_is_better


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accuracy<=0.5", "direction"),
        ("loss>=0.5", "direction"),
        ("accuracy>=high", "not a number"),
        ("accuracy=0.5", "cannot read"),
        ("", "cannot read"),
        ("accuracy 0.85", "cannot read"),
        ("accuracy>0.85>0.9", "cannot read"),
        ("accuracy>=850", "must lie in"),
        ("accuracy>=nan", "must lie in"),
        ("loss<=-1", "must lie in"),
        ("pearson>=1.5", "must lie in"),
    ],
)
def test_a_goal_that_cannot_be_meant_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Goal.parse(text)


@pytest.mark.parametrize(
    "fields",
    [
        {"metric": " "},
        {"metric": 3},
        {"metric": "accuracy", "target": True},
        {"metric": "accuracy", "target": "0.9"},
        {"metric": "accuracy", "tolerance": 0.0},
        {"metric": "accuracy", "tolerance": math.inf},
        {"metric": "accuracy", "kind": "fraction"},
    ],
)
def test_bad_fields_are_refused(fields):
    with pytest.raises(ValueError, match="got"):
        Goal(**fields)


@given(
    st.sampled_from(
        ["accuracy", "loss", "pearson", "bleu", "wer", "macro f1", "ndcg@10", "recall@k=3", "hit 5"]
    ),
    st.floats(0.01, 0.99),
)
def test_text_and_goal_are_inverse(metric, target):
    goal = Goal(metric, target=float(f"{target:g}"))
    assert Goal.parse(str(goal)) == goal
    assert Goal.parse(goal) is goal


def test_a_target_is_met_by_equality_and_a_baseline_has_to_be_beaten():
    assert Goal("accuracy", target=0.8).meets(0.8)
    assert not Goal("accuracy").meets(0.8, baseline=0.8)
    assert Goal("accuracy").meets(0.81, baseline=0.8)
    assert Goal("loss", target=0.5).meets(0.5)
    assert not Goal("loss").meets(0.5, baseline=0.5)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_never_good(value):
    assert not Goal("loss", target=0.5).meets(value)
    assert not Goal("reward", target=-5).meets(value)
    assert not Goal("loss").meets(value, baseline=1.0)


def test_without_target_and_baseline_nothing_can_be_called_good():
    assert Goal("accuracy").threshold(None) is None
    with pytest.raises(ValueError, match="give Goal"):
        Goal("accuracy").meets(0.9)


def test_the_majority_rate_and_label_entropy_leave_masked_labels_out():
    labels = [0, 0, 0, 1, -100, -100]
    assert majority_rate(labels) == 0.75
    assert label_entropy(labels) == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    with pytest.raises(ValueError, match="masked"):
        majority_rate([-100])
    with pytest.raises(ValueError, match="masked"):
        label_entropy([])


@pytest.mark.parametrize(
    ("metric", "known", "expected"),
    [
        ("accuracy", {"labels": [0, 0, 1]}, 2 / 3),
        ("accuracy", {"labels": [0, 0, 1], "untrained": 0.9}, 2 / 3),
        ("accuracy", {"untrained": 0.4}, 0.4),
        ("loss", {"labels": [0, 1], "untrained": 5.0}, math.log(2)),
        ("loss", {"labels": [0, 1], "untrained": 0.1}, 0.1),
        ("loss", {"untrained": math.nan}, None),
        ("matthews_correlation", {}, 0.0),
        ("r2", {"untrained": -3.0}, 0.0),
        ("f1", {}, None),
        ("mse", {"labels": [1.0, 3.0], "untrained": 0.5}, 1.0),
        ("rmse", {"labels": [1.0, 3.0, 1.0, 3.0]}, 1.0),
        ("mae", {"labels": [0.0, 0.0, 3.0]}, 1.0),
        ("loss", {"labels": [1.0, 5.0], "untrained": 13.0}, 4.0),
        ("accuracy", {"labels": [0.5, 1.5], "untrained": 0.2}, 0.2),
        ("accuracy", {"labels": np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])}, 2 / 3),
        ("loss", {"labels": np.array([[1.0, 0.0], [0.0, 0.0]])}, math.log(2) / 2),
        ("eval_rewards/accuracies", {"untrained": 0.0}, 0.5),
    ],
)
def test_the_trivial_baseline_is_what_no_learning_reaches(metric, known, expected):
    assert trivial_baseline(Goal(metric), **known) == pytest.approx(expected)


def test_a_target_of_two_or_more_says_that_a_fraction_is_in_percent():
    goal = Goal.parse("eval_f1>=50")
    assert (goal.kind, goal.target, goal.bounds, goal.tolerance) == ("percent", 50, (0, 100), 3.0)
    assert Goal.parse("eval_f1>=0.5").kind == "rate"
    assert Goal.parse("eval_reward>=50").kind == "real"


def test_the_kind_can_be_asked_for_outright():
    goal = Goal.parse("eval_f1>=0.5", kind="percent")
    assert (goal.kind, goal.target, goal.kind_inferred) == ("percent", 0.5, False)
    assert Goal.parse("eval_zorp>=0.5", kind="rate").bounds == (0.0, 1.0)
    assert Goal.parse(Goal("loss"), kind="real").kind == "real"
    assert Goal("loss").kind_inferred


def test_a_majority_rate_is_on_the_scale_of_its_goal():
    labels = [0, 0, 1]
    assert trivial_baseline(Goal("accuracy", target=80), labels=labels) == pytest.approx(200 / 3)
