"""On which scale a metric is reported: the kind follows from name and values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk import Goal
from hf_ftrisk.goal.metric_scale import (
    as_fractions,
    goal_for_values,
    possible_range,
    rescaled,
    unsure_scale,
)


@pytest.mark.parametrize(
    ("goal", "values", "kind", "target"),
    [
        # A live percent metric is one at its first value.
        ("eval_f1", [47.9], "percent", None),
        ("eval_f1", [7.3, 61.0, 93.0], "percent", None),
        ("eval_f1>=0.5", [47.9], "percent", 50.0),
        ("eval_accuracy>=0.8", [57.3], "percent", 80.0),
        ("eval_f1>=50", [47.9], "percent", 50.0),
        ("eval_sacrebleu>=25", [0.4], "percent", 25.0),
        ("eval_bleu", [0.8, 18.3], "percent", None),
        ("eval_bleu", [1.5], "percent", None),
        ("eval_f1>=0.8", [1.4], "percent", 80.0),
        ("eval_matthews_correlation>=0.5", [12.0, 54.3], "percent", 50.0),
        ("eval_error_rate<=0.1", [12.0], "percent", 10.0),
        # A target in percent, values that are fractions.
        ("eval_accuracy>=85", [0.61], "rate", 0.85),
        ("eval_exact_match>=50", [0.01], "percent", 50.0),
        # A share that would meet its target at once is in percent, until more is seen.
        ("eval_accuracy>=80", [0.9], "percent", 80.0),
        ("eval_accuracy>=80", [0.9, 0.92], "percent", 80.0),
        ("eval_accuracy>=80", [0.9, 0.92, 0.91], "rate", 0.8),
        ("eval_accuracy>=80", [0.9, 14.0, 81.0], "percent", 80.0),
        # An F1 may begin anywhere below 1 %, an error rate may not.
        ("eval_f1>=80", [0.9], "percent", 80.0),
        ("eval_f1>=80", [0.3], "percent", 80.0),
        ("eval_f1>=80", [0.0, 0.0, 0.0, 0.9], "percent", 80.0),
        ("eval_f1>=80", [0.3, 12.0], "percent", 80.0),
        ("eval_f1>=80", [0.31, 0.52, 0.61], "rate", 0.8),
        ("eval_error_rate<=10", [0.9], "rate", 0.1),
        # Correlations below 0 are none in percent of this kind.
        ("eval_mcc>=50", [-0.04], "correlation", 0.5),
        ("eval_mcc>=50", [0.9], "percent", 50.0),
        ("eval_mcc>=50", [0.1, 0.3, 0.4], "correlation", 0.5),
        # A first overlap of text in percent may be small.
        ("eval_bleu>=20", [0.1], "percent", 20.0),
        ("eval_rouge1>=30", [0.4, 0.9, 12.0], "percent", 30.0),
        # No scale of fractions holds these.
        ("eval_accuracy", [109.9], "real", None),
        ("eval_accuracy>=0.5", [0.45, 1.05], "real", 0.5),
        ("eval_f1", [-0.2, 0.4], "real", None),
        ("eval_error_rate", [250.0], "loss", None),
        ("eval_loss", [0.4, -1.3], "real", None),
        ("eval_loss<=0.2", [-1.3], "real", 0.2),
        ("eval_mae", [2.2], "loss", None),
        ("eval_mean_absolute_error<=3", [2.2, 900.0], "loss", 3.0),
        ("eval_perplexity", [1e6], "loss", None),
        ("eval_reward", [-5.0, 80.0], "real", None),
        # Errors per word stay what they are, their target may be on another scale.
        ("eval_wer<=0.3", [1.4, 0.9], "loss", 0.3),
        ("eval_wer<=0.3", [92.0], "loss", 30.0),
        ("eval_wer<=30", [0.92], "loss", 0.3),
        ("eval_wer<=30", [92.0, 0.8], "loss", 30.0),
        ("eval_loss<=0.3", [92.0], "loss", 0.3),
        # What fits stays; rounding is no reason.
        ("eval_accuracy>=0.8", [0.5, 1.0000001], "rate", 0.8),
        ("eval_f1", [100.00001], "percent", None),
        ("eval_pearson", [-0.4, 0.9], "correlation", None),
    ],
)
def test_the_kind_follows_from_name_and_values(goal, values, kind, target):
    fitted, note = goal_for_values(Goal.parse(goal), values)
    assert fitted.kind == kind
    assert fitted.target == (None if target is None else pytest.approx(target))
    changed = (fitted.kind, fitted.target) != (Goal.parse(goal).kind, Goal.parse(goal).target)
    assert (note is not None) == changed


def test_the_note_says_what_was_seen_and_what_became_of_the_target():
    _, note = goal_for_values(Goal.parse("eval_accuracy>=0.8"), [57.3])
    assert note == "eval_accuracy is reported in percent (57.3): the target of 0.8 is read as 80."
    _, note = goal_for_values(Goal.parse("eval_accuracy>=85"), [0.61])
    assert note == (
        "eval_accuracy is reported as a fraction (0.61): the target of 85 is read as 0.85."
    )
    _, note = goal_for_values(Goal("loss"), [-1.5])
    assert note == "eval_loss is -1.5, outside [0, inf): it is taken for any real number."
    _, note = goal_for_values(Goal.parse("eval_wer<=0.3"), [92.0])
    assert note == "eval_wer is reported in percent (92): the target of 0.3 is read as 30."


def test_a_kind_that_was_asked_for_is_kept_as_long_as_it_can_hold_the_values():
    asked = Goal.parse("eval_f1>=50", kind="percent")
    assert goal_for_values(asked, [0.9]) == (asked, None)
    real = Goal.parse("eval_accuracy>=0.8", kind="real")
    assert goal_for_values(real, [57.3]) == (real, None)
    rate = Goal.parse("eval_zorp>=0.8", kind="rate")
    assert goal_for_values(rate, [57.3])[0].kind == "percent"


@pytest.mark.parametrize("metric", ["f1", "accuracy", "exact_match", "recall", "mcc", "map"])
@pytest.mark.parametrize("first", [0.03, 0.5, 0.9, 1.0])
def test_a_percent_metric_is_one_at_its_first_value(metric, first):
    """Whatever a run in percent begins with, no look before its second value calls it poor."""
    goal = Goal(metric, target=80.0)
    fitted, _ = goal_for_values(goal, [first])
    if metric == "accuracy" and first < 0.8:
        assert (fitted.kind, fitted.target) == ("rate", 0.8)  # no accuracy begins below 1 %
    else:
        assert (fitted.kind, fitted.target) == ("percent", 80.0)
        assert "give the target as one, such as 0.8" in unsure_scale(fitted, [first])
    assert goal_for_values(goal, [first, 34.0])[0] == goal


def test_other_metrics_in_percent_say_that_this_one_is():
    goal, values = Goal("f1", target=80.0), [0.4, 0.9, 0.8]
    assert goal_for_values(goal, values)[0].kind == "rate"
    for others, kind in (
        ({"eval_accuracy": [81.0, 82.0]}, "percent"),
        ({"eval_accuracy": [math.nan, 0.82]}, "rate"),
        ({"eval_bleu": [23.0]}, "rate"),  # some libraries report this one alone in percent
        ({"eval_loss": [23.0], "eval_runtime": [60.0]}, "rate"),
    ):
        assert goal_for_values(goal, values, others=others)[0].kind == kind
    below = Goal("accuracy", target=80.0)
    assert goal_for_values(below, [0.6], others={"eval_f1": [47.0]})[0] == below


def test_a_trivial_predictor_says_whether_an_accuracy_of_at_most_1_is_a_fraction():
    goal = Goal("accuracy", target=80.0)
    assert goal_for_values(goal, [0.9], trivial=50.0)[0].target == pytest.approx(0.8)
    assert goal_for_values(goal, [0.9], trivial=0.7)[0] == goal  # of 150 classes
    f1 = Goal("f1", target=80.0)
    assert goal_for_values(f1, [0.9], trivial=50.0)[0] == f1


def test_a_small_overlap_of_text_leaves_open_whether_it_is_in_percent():
    bleu = Goal.parse("eval_bleu>=20")
    said = unsure_scale(bleu, [0.1, 0.3])
    assert said == (
        "eval_bleu is 0.3 at most, read as percent because the target is 20. If it is reported as "
        "a fraction, give the target as one, such as 0.2."
    )
    assert unsure_scale(bleu, [0.1, 2.3]) is None
    assert unsure_scale(bleu, []) is None
    assert unsure_scale(Goal.parse("eval_bleu>=0.2"), [0.1]) is None
    assert unsure_scale(Goal.parse("eval_bleu>=20", kind="percent"), [0.1]) is None
    assert unsure_scale(Goal.parse("eval_sacrebleu>=20"), [0.1]) is None


@pytest.mark.parametrize(
    ("goal", "values", "low", "high"),
    [
        ("eval_r2", [-3.0, 0.8], -math.inf, 1.0),
        ("eval_r2", [], -math.inf, 1.0),
        ("eval_r2", [1.3], -math.inf, math.inf),
        ("eval_r2>=85", [], -math.inf, math.inf),
        ("eval_perplexity", [31.0, math.nan], 1.0, math.inf),
        ("eval_perplexity", [0.7], 0.0, math.inf),
        ("eval_neg_mean_squared_error", [-2.0], -math.inf, 0.0),
        ("eval_loss", [0.2], 0.0, math.inf),
        ("eval_pearson", [0.2], -1.0, 1.0),
        ("eval_accuracy", [0.2], 0.0, 1.0),
        ("eval_reward", [0.2], -math.inf, math.inf),
    ],
)
def test_a_name_says_where_a_metric_can_end_as_far_as_values_agree(goal, values, low, high):
    assert possible_range(Goal.parse(goal), values) == (low, high)


def test_shares_and_correlations_on_no_known_scale_are_within_100():
    for goal, values, expected in (
        ("eval_mcc", [-4.0, 50.0], (-100.0, 100.0)),
        ("eval_accuracy", [0.6, 1.05], (0.0, 100.0)),
        ("eval_accuracy", [130.0], (-math.inf, math.inf)),
    ):
        fitted, _ = goal_for_values(Goal.parse(goal), values)
        assert fitted.kind == "real"
        assert possible_range(fitted, values) == expected


def test_values_that_are_not_finite_say_nothing():
    goal = Goal("accuracy")
    assert goal_for_values(goal, [math.nan, math.inf, 0.5]) == (goal, None)
    assert goal_for_values(goal, []) == (goal, None)


def test_a_tolerance_goes_with_the_scale():
    assert goal_for_values(Goal("f1"), [50.0])[0].tolerance == 3.0
    assert goal_for_values(Goal("f1", tolerance=0.01), [50.0])[0].tolerance == pytest.approx(1.0)
    assert goal_for_values(Goal("f1", tolerance=2.0), [50.0])[0].tolerance == 2.0


_GOALS = st.sampled_from(
    [
        "eval_accuracy",
        "eval_f1>=0.7",
        "eval_f1>=70",
        "eval_loss",
        "eval_loss<=0.5",
        "eval_wer<=0.2",
        "eval_mae<=2",
        "eval_error_rate",
        "eval_mcc>=0.3",
        "eval_reward",
        "eval_sacrebleu>=20",
    ]
)


@given(_GOALS, st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_the_goal_holds_what_was_seen_and_asking_again_changes_nothing(text, values):
    fitted, _ = goal_for_values(Goal.parse(text), values)
    low, high = fitted.bounds
    slack = 1e-3 * (1.0 + np.abs(values).max())
    assert low - slack <= min(values)
    assert max(values) <= high + slack
    assert goal_for_values(fitted, values) == (fitted, None)


def test_fractions_and_percent_are_the_same_goal_on_two_scales():
    percent = Goal("accuracy", target=80.0)
    rate = as_fractions(percent)
    assert (rate.kind, rate.target, rate.tolerance) == ("rate", 0.8, 0.03)
    assert as_fractions(rate) is rate
    assert rescaled(0.52, rate, percent) == pytest.approx(52.0)
    assert rescaled(52.0, percent, rate) == pytest.approx(0.52)
