"""The permutation test on a linear probe, against brute force and planted signal."""

from __future__ import annotations

import numpy as np
import pytest

from hf_ftrisk.signals.model import label_signal as module
from hf_ftrisk.signals.model.label_signal import PERMUTATIONS, Labeled, label_signal


def rows_of(targets: np.ndarray, features: np.ndarray, kind: str = "class") -> Labeled:
    return Labeled(features, targets, np.arange(len(features)), kind)


def planted(n: int, gap: float, seed: int = 0, dims: int = 30, classes: int = 3) -> Labeled:
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    features = rng.standard_normal((n, dims))
    features[:, :classes] += gap * np.eye(classes)[labels]
    return rows_of(labels, features)


def test_planted_classes_are_found_and_scored_on_evaluation_rows():
    signals = label_signal(planted(200, 2.0), planted(100, 2.0, seed=1))
    assert signals["signal_p"] == 1.0 / (1 + PERMUTATIONS)
    assert signals["signal_z"] > 20.0
    assert signals["signal_score"] > signals["signal_shuffled"] + 0.3
    assert signals["signal_eval_score"] > signals["signal_eval_trivial"] + 0.3
    assert (signals["signal_rows"], signals["signal_eval_rows"]) == (200.0, 100.0)


def test_without_signal_the_p_value_is_as_small_as_it_says_no_more_often_than_it_says():
    values = [label_signal(planted(60, 0.0, seed), None)["signal_p"] for seed in range(40)]
    assert np.mean(np.array(values) <= 0.1) <= 0.25  # binomial: 11 of 40 at 0.1 is below 0.3 %
    assert 0.3 < np.mean(values) < 0.7


def test_more_dimensions_than_rows_do_not_make_signal():
    signals = label_signal(planted(80, 0.0, seed=3, dims=400), None)
    assert signals["signal_p"] > 0.05


def test_the_smoother_predicts_as_ridge_regression_fitted_on_the_other_folds():
    from sklearn.linear_model import Ridge

    data = planted(50, 1.0, seed=4, dims=12)
    y = np.eye(3)[data.targets]
    smoother = module._cross_validation(data.features, data.groups)[0]
    folds = data.groups % module._FOLDS
    expected = np.empty_like(y)
    for fold in range(module._FOLDS):
        kept = folds != fold
        center, scale = data.features[kept].mean(axis=0), data.features[kept].std(axis=0)
        x = (data.features - center) / scale / np.sqrt(12)
        fitted = Ridge(alpha=module._PENALTIES[0]).fit(x[kept], y[kept])
        expected[~kept] = fitted.predict(x[~kept])
    assert np.allclose(smoother @ y, expected, atol=1e-4)


def test_numbers_give_r2_and_correlation():
    rng = np.random.default_rng(5)
    features = rng.standard_normal((150, 10))
    targets = features[:, :1] + 0.5 * rng.standard_normal((150, 1))
    signals = label_signal(rows_of(targets, features, "number"), None)
    # R2 of the truth is 1 / 1.25; the probe shrinks, and has 120 rows to learn from.
    assert 0.6 < signals["signal_score"] < 0.85
    assert signals["signal_correlation"] == pytest.approx(np.sqrt(0.8), abs=0.06)
    assert signals["signal_shuffled"] < 0.05


def test_several_labels_a_row_are_scored_by_micro_f1():
    rng = np.random.default_rng(6)
    features = rng.standard_normal((150, 10))
    targets = (features[:, :3] > 0.0).astype(float)
    signals = label_signal(rows_of(targets, features, "multilabel"), None)
    assert signals["signal_score"] > 0.8
    assert signals["signal_shuffled"] < 0.65
    assert signals["signal_p"] < 0.01


def test_folds_do_not_cut_a_row():
    # Every row's tokens share one feature that says nothing beyond the row itself.
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(60), 4)
    features = rng.standard_normal((60, 40))[groups]
    labels = rng.integers(2, size=60)[groups]
    signals = label_signal(Labeled(features, labels, groups, "token"), None)
    assert signals["signal_score"] < 0.65  # cut rows would give 1


@pytest.mark.parametrize("labels", [np.zeros(50, dtype=int), np.arange(10) % 2])
def test_equal_labels_or_few_rows_say_nothing(labels):
    features = np.random.default_rng(8).standard_normal((len(labels), 4))
    assert label_signal(rows_of(labels, features), None) == {}


def test_a_class_that_only_evaluation_rows_have_counts_as_missed():
    train = planted(100, 3.0)
    held_out = rows_of(np.full(20, 9), np.random.default_rng(9).standard_normal((20, 30)))
    assert label_signal(train, held_out)["signal_eval_score"] == 0.0
