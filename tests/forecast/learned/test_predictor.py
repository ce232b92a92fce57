"""Forecasts learned from a table of features."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_ftrisk import Goal
from hf_ftrisk.forecast.learned import LearnedPredictor, regressors
from hf_ftrisk.forecast.learned.predictor import _best_average, _distribution
from hf_ftrisk.forecast.learned.tables import FeatureTable

NAMES = ("rate", "rows", "noise", "unused")
SLOPES = np.array([3.0, -2.0, 1.0, 0.0])


def linear(n: int, seed: int, sd: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, X @ SLOPES + sd * rng.normal(size=n)


@pytest.fixture(scope="module")
def fitted() -> LearnedPredictor:
    X, y = linear(80, seed=0)
    return LearnedPredictor(folds=5).fit(pd.DataFrame(X, columns=NAMES), y)


def test_linear_data_are_predicted_by_a_linear_regressor(fitted):
    assert set(fitted.chosen) <= {"ridge", "lasso"}
    X, y = linear(200, seed=1)
    means = np.array([f.mean for f in fitted.predict(pd.DataFrame(X, columns=NAMES))])
    assert np.sqrt(np.mean((means - y) ** 2)) < 0.6  # the noise alone is 0.5
    assert fitted.error == pytest.approx(0.5, abs=0.12)


def test_data_with_a_jump_are_predicted_by_trees():
    rng = np.random.default_rng(2)
    X = rng.uniform(-1, 1, (80, 2))
    y = np.where(X[:, 0] * X[:, 1] > 0, 1.0, 0.0)
    predictor = LearnedPredictor(folds=5).fit(X, y)
    assert not {"ridge", "lasso"} & set(predictor.chosen)


def test_the_average_that_errs_least_on_held_out_rows_is_chosen():
    target = np.zeros(4)
    held_out = np.array([[1.0, 1, 1, 1], [-1.0, -1, -1, -1], [0.5, 0.5, 0.5, 0.5]])
    assert _best_average(held_out, target) == (0, 1)  # their errors cancel
    assert _best_average(held_out[[0, 2]], target) == (1,)


def test_the_interval_holds_nine_in_ten_on_average_over_training_sets():
    held = []
    for seed in range(6):
        X, y = linear(40, seed=100 + seed)
        forecasts = LearnedPredictor(folds=4).fit(X, y).predict(linear(150, seed=200 + seed)[0])
        truth = linear(150, seed=200 + seed)[1]
        intervals = np.array([forecast.interval() for forecast in forecasts])
        held.append(np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])))
    assert 0.85 <= np.mean(held) <= 0.95


def test_errors_are_those_on_rows_not_seen():
    """Trees know the rows they were fitted to by heart: on noise their own errors would be 0."""
    rng = np.random.default_rng(4)
    predictor = LearnedPredictor(folds=5).fit(rng.normal(size=(60, 3)), rng.normal(size=60))
    assert min(predictor.errors.values()) > 0.7
    low, high = predictor.predict(np.zeros((1, 3)))[0].interval()
    assert high - low > 2.0


def test_the_jth_of_n_values_stands_at_level_j_over_n_plus_one():
    values = np.arange(1.0, 10.0)
    forecast = _distribution(values, (-np.inf, np.inf), "")
    assert forecast.quantile(0.1) == pytest.approx(1.0, abs=0.05)
    assert forecast.quantile(0.9) == pytest.approx(9.0, abs=0.05)
    # 9 values cannot bound 95 %: the interval reaches beyond them all.
    assert forecast.quantile(0.05) < 1.0 - 3.0


@pytest.mark.parametrize(
    ("bounds", "low", "high"),
    [
        ((0.0, 1.0), 0.0, 1.0),
        (Goal("accuracy"), 0.0, 1.0),
        (Goal("f1", target=80.0), 0.0, 100.0),
        (Goal("r2"), -np.inf, 1.0),
        (Goal("perplexity"), 1.0, np.inf),
        (Goal("pearson"), -1.0, 1.0),
    ],
)
def test_forecasts_stay_inside_the_bounds(bounds, low, high):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(40, 1))
    y = np.clip(0.9 + 0.2 * X[:, 0], 0, 1)
    predictor = LearnedPredictor(folds=4, bounds=bounds).fit(X, y)
    for forecast in predictor.predict(np.array([[-4.0], [4.0]])):
        assert low <= forecast.samples[0] <= forecast.samples[-1] <= high


def test_a_feature_far_beyond_the_range_seen_counts_as_its_end(fitted):
    far, edge = np.full((1, 4), 1e9), np.full((1, 4), 1e3)
    assert fitted.predict(far)[0].mean == fitted.predict(edge)[0].mean
    assert fitted.predict(np.full((1, 4), np.inf))[0].mean == fitted.predict(edge)[0].mean


def test_frames_arrays_and_dicts_give_the_same_forecasts(fitted):
    X, _ = linear(3, seed=6)
    frame = pd.DataFrame(X, columns=NAMES)
    expected = [f.samples for f in fitted.predict(frame)]
    forms = (
        X,
        X.tolist(),
        frame[list(NAMES[::-1])],
        frame.assign(other="text of a column that was not fitted").drop(columns="other"),
        [dict(zip(NAMES, row, strict=True)) for row in X.tolist()],
    )
    for form in forms:
        np.testing.assert_array_equal([f.samples for f in fitted.predict(form)], expected)


def test_missing_values_are_allowed_in_every_form():
    X, y = linear(60, seed=7)
    rng = np.random.default_rng(7)
    X[rng.random(X.shape) < 0.15] = np.nan
    X[:, 3] = np.nan
    rows = [
        {name: None if np.isnan(v) else v for name, v in zip(NAMES, row, strict=True)}
        for row in X.tolist()
    ]
    for row in rows:
        if row["noise"] is None:
            del row["noise"]
    from_rows = LearnedPredictor(folds=4).fit(rows, y)
    from_array = LearnedPredictor(folds=4).fit(
        X[:, [NAMES.index(n) for n in from_rows.feature_names]], y
    )
    assert from_rows.error == from_array.error
    assert from_rows.error < 2.0  # sd of y is 3.8
    assert np.isfinite(from_rows.predict([{"rate": 1.0}])[0].mean)


def test_no_row_gives_no_forecast(fitted):
    assert fitted.predict(np.empty((0, 4))) == []
    assert fitted.predict(pd.DataFrame(columns=NAMES)) == []


def test_the_same_seed_gives_the_same_forecast():
    X, y = linear(30, seed=8)
    first, second = (LearnedPredictor(folds=3).fit(X, y).predict(X[:1])[0] for _ in range(2))
    np.testing.assert_array_equal(first.samples, second.samples)


def test_attributions_sum_to_the_prediction_less_the_mean_prediction(fitted):
    X, _ = linear(2, seed=9)
    for row, attribution in zip(X, fitted.attributions(X), strict=True):
        predicted = fitted._point(row[None])[0] - fitted._point(fitted._background).mean()
        assert sum(attribution.values()) == pytest.approx(predicted, abs=1e-9)


def test_attributions_of_a_linear_model_are_slope_times_distance_from_the_mean(fitted):
    X, _ = linear(1, seed=10)
    (attributions,) = fitted.attributions(X)
    expected = SLOPES * (X[0] - fitted._background.mean(axis=0))
    for name, value in zip(NAMES, expected, strict=True):
        assert attributions[name] == pytest.approx(value, abs=0.25)


def test_without_lightgbm_boosting_is_that_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(regressors, "find_spec", lambda name: None)
    rng = np.random.default_rng(11)
    X = rng.uniform(size=(60, 1))
    y = np.floor(4 * X[:, 0])
    X[:3] = np.nan
    predicted = regressors.boosting(0).fit(X, y).predict(np.array([[0.1], [0.9]]))
    assert predicted == pytest.approx([0.0, 3.0], abs=0.5)


def test_without_lightgbm_a_column_without_a_value_is_boosted_as_if_it_were_not_there(monkeypatch):
    monkeypatch.setattr(regressors, "find_spec", lambda name: None)
    x = np.random.default_rng(11).uniform(size=60)
    X = np.column_stack([x, np.full(60, np.nan)])
    model = regressors.boosting(0).fit(X, np.floor(4 * x))
    predicted = model.predict(np.array([[0.1, np.nan], [0.9, np.nan]]))
    assert predicted == pytest.approx([0.0, 3.0], abs=0.5)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((9, 2)), np.zeros(9), "at least 10"),
        (np.zeros((12, 2)), np.zeros(11), "as many targets"),
        (np.zeros((12, 0)), np.zeros(12), "no feature"),
        (np.zeros(12), np.zeros(12), "n_rows, n_features"),
        (np.zeros((12, 2)), [np.nan] * 12, "finite"),
        ([{"a": 1.0, "model": "bert"}] * 12, np.zeros(12), "'model' holds 'bert'"),
        (pd.DataFrame({"model": ["bert"] * 12}), np.zeros(12), "'model' holds 'bert'"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused(X, y, message):
    with pytest.raises(ValueError, match=message):
        LearnedPredictor().fit(X, y)


def test_features_that_do_not_fit_are_refused(fitted):
    with pytest.raises(ValueError, match="expected 4 features"):
        fitted.predict(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="none of the fitted features"):
        fitted.predict([{"other": 1.0}])
    with pytest.raises(RuntimeError, match="fit"):
        LearnedPredictor().predict(np.zeros((1, 3)))


@pytest.mark.parametrize("bad", [{"folds": 1}, {"bounds": (1.0, 0.0)}])
def test_settings_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match=r"folds|bounds"):
        LearnedPredictor(**bad)


@given(
    st.lists(st.lists(st.none() | st.booleans() | st.floats(), min_size=2, max_size=2), min_size=1)
)
@settings(max_examples=30)
def test_any_numbers_are_read_as_they_are(rows):
    read = FeatureTable.read(rows).values
    expected = [[np.nan if v is None else float(v) for v in row] for row in rows]
    np.testing.assert_array_equal(read, np.array(expected))


def test_pandas_is_not_imported_for_an_array():
    code = (
        "import sys, numpy as np; from hf_ftrisk.forecast.learned import LearnedPredictor as P; "
        "from hf_ftrisk.forecast.learned.tables import FeatureTable as T; "
        "T.read(np.zeros((2, 2))); "
        "print(sorted({'pandas', 'sklearn', 'lightgbm', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
