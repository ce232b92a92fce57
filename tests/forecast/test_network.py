"""The networks read any curve, answer in order, and come back from storage the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.forecasting.simulated import simulated
from hf_ftrisk.forecast.change_model import ENDINGS, combined, shares_at
from hf_ftrisk.forecast.conformal import DEPTHS
from hf_ftrisk.forecast.network import (
    N_INPUTS,
    N_OUTPUTS,
    QUANTILES,
    load_networks,
    network_draws,
    restored_networks,
    spread_out,
    stored_networks,
    trajectory,
)

CURVES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40)


def read(z, rate=float("nan"), done=0.5):
    z = np.array(z, dtype=float)
    return trajectory(done * (np.arange(z.size) + 1.0) / z.size, z, rate)


@given(CURVES, st.one_of(st.just(float("nan")), st.floats(0.0, 1.0)), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_any_curve_has_finite_quantiles_in_ascending_order(z, rate, done):
    inputs = read(z, rate, done)
    assert inputs.shape == (N_INPUTS,)
    for network in load_networks():
        quantiles = network.quantiles(inputs)
        assert quantiles.shape == (1, len(ENDINGS), len(QUANTILES))
        assert np.all(np.isfinite(quantiles))
        assert np.all(np.diff(quantiles, axis=-1) >= 0.0)


def test_a_curve_that_rises_is_given_more_than_one_that_leveled_off():
    rising, level = read(np.arange(10) / 10.0), read(1.0 - 0.5 ** np.arange(1, 11))
    end = ENDINGS.index("end")
    medians = np.median(network_draws(load_networks(), np.array([rising, level]), end, 101), axis=1)
    assert medians[0] > medians[1] + 0.1
    assert abs(medians[1]) < 0.1


def test_a_curve_that_scatters_is_less_certain_than_a_smooth_one():
    rng = np.random.default_rng(0)
    rough, smooth = rng.normal(0.0, 0.5, 12), rng.normal(0.0, 0.01, 12)
    inputs = np.array([read(rough), read(smooth)])
    draws = network_draws(load_networks(), inputs, ENDINGS.index("end"), 101)
    assert np.ptp(draws[0]) > 3.0 * np.ptp(draws[1])


def test_stored_networks_come_back_the_same():
    inputs = np.array([read([0.0, 0.4, 0.5, 0.52])])
    again = restored_networks(stored_networks(load_networks()))
    for first, second in zip(load_networks(), again, strict=True):
        np.testing.assert_array_equal(first.quantiles(inputs), second.quantiles(inputs))


def test_training_and_package_shape_quantiles_alike():
    torch = pytest.importorskip("torch")
    from benchmarks.forecasting.network import torch_spread_out

    outputs = np.random.default_rng(0).normal(0.0, 5.0, size=(20, 2, N_OUTPUTS))
    trained = torch_spread_out(torch.tensor(outputs)).numpy()
    np.testing.assert_allclose(spread_out(outputs), trained, rtol=1e-6)


@pytest.mark.parametrize("plain", [True, False])
def test_simulated_curves_are_finite_end_the_run_and_repeat_for_a_seed(plain):
    first = [simulated(np.random.default_rng(seed), plain=plain) for seed in range(30)]
    again = [simulated(np.random.default_rng(seed), plain=plain) for seed in range(30)]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.z, other.z)
        assert np.all(np.isfinite(one.z))
        assert one.z.size >= 3
        assert one.at[-1] == pytest.approx(1.0)
        assert np.all((one.rate >= 0.0) & (one.rate <= 1.0))


def test_shares_weigh_medians_and_spread():
    known, simulated_draws = np.array([0.0, 1.0, 3.0]), np.array([-2.0, 0.0, 2.0])
    np.testing.assert_allclose(combined(known, simulated_draws, np.array([1.0, 0.0])), known)
    np.testing.assert_allclose(
        combined(known, simulated_draws, np.array([0.5, 0.5])), (known + simulated_draws) / 2
    )
    nothing = combined(known, simulated_draws, np.array([0.0, 0.0]))
    np.testing.assert_allclose(nothing, known - 1.0)


def test_shares_between_two_depths_lie_between_theirs():
    shares = np.column_stack([np.linspace(0.0, 1.0, len(DEPTHS)), np.zeros(len(DEPTHS))])
    middle = (DEPTHS[1] + DEPTHS[2]) / 2
    np.testing.assert_allclose(shares_at(shares, middle), (shares[1] + shares[2]) / 2)
