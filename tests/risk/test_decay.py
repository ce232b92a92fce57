"""Forms of the decay, and the tail energy of schedules."""

import json

import numpy as np
import pytest

from hf_ftrisk.risk import Decay, TailEnergy, tail_energy
from tests.risk.planted import linear_schedule


def test_tail_energy_is_the_sum_of_squares_still_to_come():
    rates = np.array([0.0, 0.5, 1.0, 0.25])
    assert tail_energy(rates) == pytest.approx([1.3125, 1.3125, 1.0625, 0.0625, 0.0])


def test_tail_energy_of_linear_decay_is_nearly_the_cube_of_what_is_left():
    energy = TailEnergy.from_learning_rates(linear_schedule(10_000))
    depth = np.array([0.0, 1000.0, 5000.0, 9000.0])
    assert energy.at(depth) == pytest.approx((1 - depth / 10_000) ** 3, abs=2e-4)


def test_tail_energy_of_a_constant_rate_falls_linearly():
    energy = TailEnergy.from_learning_rates(np.full(50, 3e-5))
    assert energy.at(10.0) == pytest.approx(0.8)


def test_tail_energy_survives_tiny_rates():
    energy = TailEnergy.from_learning_rates(np.full(4, 1e-200))
    assert energy.at(1.0) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ([], "shape"),
        ([0.1, -0.2], r"-0\.2.*steps \[1\]"),
        ([0.1, float("nan")], "nan"),
        ([0.0, 0.0], "zero at every step"),
    ],
)
def test_schedules_that_cannot_be_are_refused(rates, words):
    with pytest.raises(ValueError, match=words):
        TailEnergy.from_learning_rates(rates)


def test_stored_schedule_keeps_the_tail_energy_to_a_thousandth():
    steps = np.arange(20_000)
    warm = np.minimum(steps / 1000, 1.0) * 0.5 * (1 + np.cos(np.pi * steps / 20_000))
    energy = TailEnergy.from_learning_rates(warm * 2e-5)
    text = json.dumps(energy.to_dict())
    restored = TailEnergy.from_dict(json.loads(text))
    depth = np.linspace(0, 20_000, 999)
    assert restored.at(depth) == pytest.approx(energy.at(depth), abs=1e-3)
    assert restored.total == energy.total
    assert len(text) < 2000


def test_forms_are_one_at_the_anchor_and_never_rise():
    energy = TailEnergy.from_learning_rates(linear_schedule())
    decay = Decay(anchor=20.0, horizon=1000.0, energy=energy)
    depth = np.linspace(1, 1000, 400)
    for form in decay.forms:
        assert decay.shape(form, 20.0, 0.8) == pytest.approx(1.0)
        assert np.all(np.diff(decay.shape(form, depth, 0.8)) <= 0), form


def test_finite_horizon_is_the_power_law_less_its_end():
    decay = Decay(anchor=10.0, horizon=500.0)
    depth, alpha = np.array([5.0, 50.0, 500.0]), 0.6
    k = 7.0 / decay.unit("horizon", alpha)
    assert 7.0 * decay.shape("horizon", depth, alpha) == pytest.approx(
        k * (depth**-alpha - 500.0**-alpha)
    )


def test_falling_rates_join_the_paper_law_with_the_tail_energy():
    # eta ~ c^-rho gives S(c) ~ c^-(2 rho - 1) - T^-(2 rho - 1).
    rho, steps = 0.8, 100_000
    energy = TailEnergy.from_learning_rates((1.0 + np.arange(steps)) ** -rho)
    decay = Decay(anchor=100.0, horizon=steps, energy=energy)
    depth = np.geomspace(100, 90_000, 9)
    assert decay.shape("tail", depth, 1.0) == pytest.approx(
        decay.shape("horizon", depth, 2 * rho - 1), rel=0.02
    )


def test_forms_need_what_they_are_made_of():
    assert Decay(anchor=5.0).forms == ("power",)
    assert Decay(anchor=5.0, horizon=9.0).forms == ("power", "horizon")
    # At the end of the run nothing is left to scale.
    spent = TailEnergy.from_learning_rates([1.0, 1.0, 0.0, 0.0])
    assert Decay(anchor=2.0, horizon=4.0, energy=spent).forms == ("power", "horizon")
    assert Decay(anchor=4.0, horizon=4.0).forms == ("power",)


def test_the_rate_of_a_step_is_read_off_the_schedule():
    energy = TailEnergy.from_learning_rates([0.1, 0.3, 0.2])
    assert [energy.learning_rate(c) for c in (0, 1, 2, 3)] == pytest.approx([0.1, 0.3, 0.2, 0.0])
