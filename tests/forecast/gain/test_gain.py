"""The gain still to come: its tolerance, its features, its trees, its distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.forecast.features import FEATURES
from hf_ftrisk.forecast.forest import LEAF
from hf_ftrisk.forecast.gain import LADDER, Gain, load_gain_model, tolerance_of
from hf_ftrisk.forecast.gain.features import GAIN_FEATURES, gain_features
from hf_ftrisk.forecast.gain.model import MODEL_FILE, averaged
from hf_ftrisk.forecast.gain.training_loss import TRAIN_LOSS, mean_losses_at, with_training_loss
from hf_ftrisk.forecast.gain.trees import BoostedTrees
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

# One tree: column 0 up to 1.5 left, where missing values go; a second that is a leaf alone.
TREES = BoostedTrees(
    intercept=-1.0,
    roots=np.array([0, 3]),
    feature=np.array([0, LEAF, LEAF, LEAF]),
    threshold=np.array([1.5, 0.0, 0.0, 0.0]),
    missing_left=np.array([True, False, False, False]),
    left=np.array([1, 1, 2, 3]),
    right=np.array([2, 1, 2, 3]),
    value=np.array([0.0, 2.0, -2.0, 0.5]),
)


def run(metric: str, values: list[float], **fields: object) -> RunRecord:
    steps = np.arange(1, len(values) + 1) * 10
    return RunRecord(max_steps=200, eval_step=steps, evals={metric: np.array(values)}, **fields)


def test_trees_add_one_leaf_each_and_send_missing_values_their_way():
    odds = np.array([1.5, -2.5, 1.5])
    chances = TREES.chance(np.array([[1.5], [1.6], [math.nan]]))
    assert chances == pytest.approx(1.0 / (1.0 + np.exp(-odds)))


def test_trees_survive_their_json():
    again = BoostedTrees.from_dict(TREES.to_dict())
    rows = np.array([[0.0], [9.0], [math.nan]])
    assert np.array_equal(again.chance(rows), TREES.chance(rows))


@given(
    st.lists(st.integers(-640_000, 640_000).map(lambda k: k / 64), min_size=2, max_size=60),
    st.integers(0, 2**32 - 1),
)
def test_features_are_finite_and_do_not_ask_where_zero_lies(values: list[float], seed: int):
    at = np.sort(np.random.default_rng(seed).random(len(values)) * 0.98 + 0.01)
    at += np.arange(at.size) * 1e-6
    units = np.array(values)
    features = gain_features(at, units)
    assert set(features) <= set(GAIN_FEATURES)
    assert all(math.isfinite(value) for value in features.values())
    moved = gain_features(at, units + 512.0)
    assert moved == pytest.approx(features, abs=1e-3, rel=1e-3)


def test_a_late_gain_is_seen_by_the_features_that_look_back_least():
    at = np.linspace(0.1, 0.9, 9)
    features = gain_features(at, np.array([0.0, 5, 5, 5, 5, 5, 5, 5, 9]))
    assert features["gain_1"] == pytest.approx(math.log1p(4.0))
    assert features["since_best"] == 0.0
    assert features["gain_from_half"] == pytest.approx(math.log1p(4.0))
    assert features["longest_wait"] == pytest.approx(0.7 / 0.9)


@pytest.mark.parametrize(
    ("metric", "values", "expected"),
    [
        ("eval_accuracy", [0.5, 0.6], 0.01),
        ("eval_matthews_correlation", [0.1], 0.01),
        ("eval_loss", [3.0, 2.0, 2.5], 0.04),
        ("eval_wer", [0.4, 0.3], 0.01),
        ("eval_wer", [40.0, 30.0], 1.0),
        ("eval_reward", [-3.0, 2.0], 0.06),
    ],
)
def test_the_tolerance_follows_the_kind_of_the_metric(
    metric: str, values: list[float], expected: float
):
    record = run(metric, values)
    goal, _ = record.goal_scale(Goal(metric))
    assert tolerance_of(goal, record) == pytest.approx(expected)


def test_percent_means_whole_points():
    record = run("eval_accuracy", [50.0, 60.0])
    goal, _ = record.goal_scale(Goal("accuracy"))
    assert tolerance_of(goal, record) == 1.0


def test_a_small_evaluation_set_is_not_asked_for_less_than_its_noise():
    record = run("eval_accuracy", [0.5], settings={"eval_rows": 100})
    assert tolerance_of(Goal("accuracy"), record) == pytest.approx(0.05)


def test_the_gain_s_distribution_falls_and_its_quantile_lies_on_the_ladder():
    gain = Gain(0.8, 40, 0.01, (0.5, 0.3, 0.2, 0.08, 0.02, 0.0))
    assert gain.chance == 0.08
    assert gain.at_most(0.9) == pytest.approx(0.01)
    assert gain.at_most(0.5) == pytest.approx(0.002)
    assert 0.0 < gain.expected < 0.01


def test_a_run_s_gain_is_asked_at_every_rung_of_the_ladder():
    record = run("eval_accuracy", [0.5, 0.6, 0.65, 0.66, 0.66, 0.67, 0.66, 0.66, 0.67])
    gain = load_gain_model().gain(record, Goal("accuracy"))
    assert gain is not None
    assert len(gain.chances) == len(LADDER)
    assert list(gain.chances) == sorted(gain.chances, reverse=True)
    assert (gain.best, gain.best_step) == (0.67, 60)
    chance = load_gain_model().chance(record, Goal("accuracy"))
    assert chance == pytest.approx(gain.chance, rel=1.0)
    assert chance >= gain.chance


def test_looks_of_a_completed_run_say_what_its_prefixes_say():
    record = run("eval_accuracy", [0.3 + 0.03 * i for i in range(20)])
    goal, model = Goal("accuracy"), load_gain_model()
    indices, chances = model.look_chances(record, goal)
    for i, chance in zip(indices, chances.tolist(), strict=True):
        if i < 19:
            assert model.chance(record.prefix(10.0 * (i + 1)), goal) == pytest.approx(chance)


def test_chances_are_averaged_over_the_part_of_the_run_before():
    said = averaged(np.array([0.01, 0.04, 0.04]), np.array([0.1, 0.2, 0.5]))
    assert said == pytest.approx([0.01, 0.02, 0.04])


def test_the_packaged_model_is_small_and_knows_its_features():
    assert MODEL_FILE.stat().st_size < 1_000_000
    shared = {f"shared/{name}" for name in FEATURES}
    assert set(load_gain_model().columns) <= shared | set(GAIN_FEATURES)


def test_the_training_loss_is_averaged_over_parts_that_are_over():
    steps = np.arange(1, 61)
    record = RunRecord(max_steps=100, train_step=steps, train_loss=steps.astype(float))
    seen = with_training_loss(record)
    assert seen.eval_step.tolist() == [4.0 * k for k in range(1, 16)]
    assert seen.evals[TRAIN_LOSS.metric][:2].tolist() == [2.5, 6.5]


def test_mean_losses_at_steps_are_of_the_logs_since_the_step_before():
    run = RunRecord(100, train_step=[10, 20, 30, 40], train_loss=[4.0, math.nan, 2.0, 1.0])
    seen = mean_losses_at(run, [20, 25, 40])
    assert seen is not None
    assert seen.curve(TRAIN_LOSS.metric)[0].tolist() == [20.0, 40.0]
    assert seen.curve(TRAIN_LOSS.metric)[1].tolist() == [4.0, 1.5]


def test_losses_of_zero_stand_for_no_evaluation():
    run = RunRecord(100, train_step=[10, 20], train_loss=[0.0, 0.0])
    assert mean_losses_at(run, [20]) is None
