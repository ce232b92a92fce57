"""A forest answers with the known cases of the leaves, and comes back from storage the same."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.forecasting.fitting import weights_of_unseen
from benchmarks.forecasting.growing import grow
from hf_ftrisk.forecast.change_model import MODEL_FILE, load_change_model, restored, stored
from hf_ftrisk.forecast.features import FEATURES
from hf_ftrisk.forecast.forest import Forest
from hf_ftrisk.forecast.network import N_INPUTS, NETWORK_FILE


@pytest.fixture(scope="module")
def grown():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    x[rng.random(x.shape) < 0.1] = np.nan
    y = np.where(np.nan_to_num(x[:, 0]) > 0, 1.0, -1.0) + 0.1 * rng.normal(size=300)
    source = np.array([f"s{i % 10}" for i in range(300)])
    return grow(x, y, np.ones(300), source, trees=20), x, y, source


def test_weights_sum_to_one_and_lie_on_like_cases(grown):
    forest, x, y = grown[0].forest, grown[1], grown[2]
    for value in (1.5, -1.5):
        weights = forest.weights(np.array([value, 0.0, np.nan, 0.0]))
        assert weights.sum() == pytest.approx(1.0)
        assert np.sign(weights @ y) == np.sign(value)
    assert forest.weights(x[0]).shape == (300,)


def test_stored_forest_gives_the_same_weights(grown):
    forest, x = grown[0].forest, grown[1]
    again = Forest.from_arrays(forest.arrays())
    np.testing.assert_array_equal(again.left, forest.left)
    for row in x[:10]:
        np.testing.assert_array_equal(again.weights(row), forest.weights(row))


def test_a_case_is_forecast_without_its_own_source(grown):
    weights = weights_of_unseen(grown[0], grown[3])
    row, column = weights.nonzero()
    assert np.all(grown[3][row] != grown[3][column])
    np.testing.assert_allclose(np.asarray(weights.sum(axis=1)).ravel(), 1.0)


def test_the_packaged_model_is_small_and_comes_back_from_its_arrays():
    assert MODEL_FILE.stat().st_size + NETWORK_FILE.stat().st_size < 3_000_000
    model = load_change_model("loss")
    again = restored(stored(model, "loss"), "loss")
    values, curve = np.full(len(FEATURES), 0.3), np.full(N_INPUTS, 0.3)
    for ending in ("end", "best"):
        first, second = (m.changes(values, curve, 0.3, ending, 50) for m in (model, again))
        np.testing.assert_allclose(first, second, rtol=1e-6)
