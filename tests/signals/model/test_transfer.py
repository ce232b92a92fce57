"""Transferability estimators against brute force and hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from hf_ftrisk.signals.model.transfer import h_score, linear_probe_accuracy, log_me


def brute_force_evidence(x: np.ndarray, y: np.ndarray) -> float:
    """Highest log N(y; 0, I/beta + XX'/alpha) per row over alpha and beta."""

    def negative(logs: np.ndarray) -> float:
        alpha, beta = np.exp(logs)
        covariance = np.eye(y.size) / beta + x @ x.T / alpha
        return -float(multivariate_normal(np.zeros(y.size), covariance).logpdf(y))

    starts = [(a, b) for a in (-2.0, 1.0, 4.0) for b in (-2.0, 1.0, 4.0)]
    return -min(minimize(negative, s, method="Nelder-Mead").fun for s in starts) / y.size


@pytest.mark.parametrize(("n_rows", "n_dims"), [(30, 4), (12, 20)])
def test_log_me_of_a_real_target_is_the_maximal_evidence(n_rows, n_dims):
    rng = np.random.default_rng(n_dims)
    x = rng.standard_normal((n_rows, n_dims))
    y = x @ rng.standard_normal(n_dims) + 0.5 * rng.standard_normal(n_rows)
    assert log_me(x, y) == pytest.approx(brute_force_evidence(x, y), abs=1e-3)


def test_log_me_of_classes_is_the_mean_over_one_against_rest():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((30, 3))
    labels = np.arange(30) % 3
    x[:, 0] += labels
    expected = np.mean([brute_force_evidence(x, (labels == k).astype(float)) for k in range(3)])
    assert log_me(x, labels) == pytest.approx(expected, abs=1e-3)


def test_log_me_does_not_change_under_a_rotation_of_the_features():
    rng = np.random.default_rng(2)
    x, labels = rng.standard_normal((40, 5)), np.arange(40) % 2
    rotation, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    assert log_me(x @ rotation, labels) == pytest.approx(log_me(x, labels))


def separated(n_rows: int, gap: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n_rows) % 2
    return rng.standard_normal((n_rows, 4)) + gap * labels[:, None], labels


@pytest.mark.parametrize("measure", [log_me, h_score])
def test_better_separated_features_score_higher(measure):
    scores = [measure(*separated(200, gap)) for gap in (0.0, 0.5, 1.0, 2.0)]
    assert scores == sorted(scores)


def test_h_score_of_one_dimension_is_the_share_of_variance_between_classes():
    # One dimension is not shrunk: Ledoit-Wolf's target is the variance itself.
    x, labels = np.array([[0.0], [2.0], [4.0], [6.0]]), np.array([0, 0, 1, 1])
    # mean 3, variance 5, class means 1 and 5: variance between 4
    assert h_score(x, labels) == pytest.approx(4.0 / 5.0)


def test_h_score_stays_low_for_noise_with_more_dimensions_than_rows():
    rng = np.random.default_rng(3)
    x, labels = rng.standard_normal((40, 200)), np.arange(40) % 2
    assert h_score(x, labels) < 0.3  # unshrunk, the score would be 1: its maximum


@pytest.mark.parametrize(("n_rows", "n_dims"), [(60, 8), (20, 50)])
def test_h_score_is_the_trace_of_the_inverse_covariance_times_that_of_class_means(n_rows, n_dims):
    from sklearn.covariance import ledoit_wolf

    rng = np.random.default_rng(4)
    labels = np.arange(n_rows) % 3
    x = rng.standard_normal((n_rows, n_dims)) + labels[:, None]
    centered = x - x.mean(axis=0)
    covariance, shrinkage = ledoit_wolf(centered, assume_centered=True)
    means = np.stack([centered[labels == label].mean(axis=0) for label in labels])
    direct = np.trace(np.linalg.inv(covariance) @ means.T @ means) / n_rows
    assert h_score(x, labels) == pytest.approx((1 - shrinkage) * direct)


def test_linear_probe_in_the_rows_space_is_the_regression_in_all_dimensions():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(5)
    labels = np.arange(30) % 3
    x = rng.standard_normal((30, 200)) + 0.3 * labels[:, None]
    held_out = rng.standard_normal((300, 200)) + 0.3 * (np.arange(300) % 3)[:, None]
    whole = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, tol=1e-8))
    expected = whole.fit(x, labels).score(held_out, np.arange(300) % 3)
    accuracy = linear_probe_accuracy(x, labels, held_out, np.arange(300) % 3)
    assert accuracy == pytest.approx(expected, abs=0.01)
    assert 0.4 < accuracy < 1.0


def test_linear_probe_is_scored_on_rows_it_was_not_fitted_on():
    x, labels = separated(100, gap=3.0)
    held_out, truth = separated(100, gap=3.0, seed=1)
    assert linear_probe_accuracy(x, labels, held_out, truth) > 0.95
    assert linear_probe_accuracy(x, labels, held_out, 1 - truth) < 0.05


def test_linear_probe_of_one_class_predicts_that_class():
    x = np.ones((4, 2))
    assert linear_probe_accuracy(x, np.zeros(4, int), x, np.array([0, 0, 0, 1])) == 0.75


@pytest.mark.parametrize("measure", [log_me, h_score])
@pytest.mark.parametrize(("x", "y"), [((3,), (3,)), ((3, 2), (2,)), ((1, 2), (1,))])
def test_shapes_that_do_not_fit_are_refused(measure, x, y):
    with pytest.raises(ValueError, match="n_rows"):
        measure(np.zeros(x), np.zeros(y, dtype=int))
