"""Signals of a trajectory, on hand-computed cases."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hf_ftrisk.record import RunRecord
from hf_ftrisk.signals.dynamics import dynamics_signals


def record_of(losses=(), norms=(), **fields) -> RunRecord:
    n = max(len(losses), len(norms))
    return RunRecord(
        max_steps=1000,
        train_step=np.arange(1, n + 1),
        train_loss=np.array(losses, dtype=float),
        grad_norm=np.array(norms, dtype=float),
        **fields,
    )


def test_slope_is_the_exponent_of_a_power_law():
    losses = 3.0 * np.arange(1, 51) ** -0.4
    assert dynamics_signals(record_of(losses))["loss_slope"] == pytest.approx(-0.4)


def test_loss_level_and_drop_by_hand():
    signals = dynamics_signals(record_of([4.0, 3.0, 2.0, 1.0]))
    assert (signals["loss_first"], signals["loss_last"]) == (4.0, 1.0)
    assert signals["loss_drop"] == 0.75


def test_noise_is_the_standard_deviation_around_a_trend():
    rng = np.random.default_rng(0)
    steps = np.arange(1, 4001)
    losses = np.exp(-0.0001 * steps + 0.05 * rng.standard_normal(steps.size))
    assert dynamics_signals(record_of(losses))["loss_noise"] == pytest.approx(0.05, rel=0.05)


def test_gradient_statistics_by_hand():
    signals = dynamics_signals(
        record_of(norms=[1.0, 1.0, 1.0, 9.0], settings={"max_grad_norm": 1.0})
    )
    assert signals["grad_norm_mean"] == 3.0
    assert signals["grad_norm_std"] == pytest.approx(np.sqrt(12.0))
    assert signals["grad_norm_cv"] == pytest.approx(np.sqrt(12.0) / 3.0)
    assert signals["grad_spike_share"] == 0.25
    assert signals["clipped_share"] == 0.25
    assert signals["grad_nonfinite_share"] == 0.0


def test_a_gradient_norm_logged_as_nan_counts_as_not_finite():
    record = RunRecord.from_log_history(
        [
            {"step": 1, "loss": 1.0, "grad_norm": 1.0},
            {"step": 2, "loss": 0.0, "grad_norm": float("nan")},
        ],
        max_steps=10,
    )
    assert dynamics_signals(record)["grad_nonfinite_share"] == 0.5


@pytest.mark.parametrize("setting", [{}, {"max_grad_norm": 0.0}, {"max_grad_norm": None}])
def test_clipped_share_is_missing_where_nothing_clips(setting):
    assert "clipped_share" not in dynamics_signals(record_of(norms=[1.0, 2.0], settings=setting))


def test_overfitting_gap_and_rise_by_hand():
    record = record_of(
        [1.0, 0.5, 0.3, 0.2],
        eval_step=np.array([2.0, 4.0]),
        evals={"eval_loss": np.array([0.8, 1.0])},
    )
    signals = dynamics_signals(record)
    assert signals["overfitting_gap"] == pytest.approx(1.0 - (0.2 + 0.3 + 0.5) / 3)
    assert signals["eval_loss_rise"] == pytest.approx(0.25)


def test_an_empty_trajectory_has_no_signals():
    assert dynamics_signals(RunRecord(max_steps=10)) == {}


def test_infinite_losses_are_counted_and_left_out():
    signals = dynamics_signals(record_of([2.0, np.inf, 2.0, 2.0]))
    assert signals["loss_nonfinite_share"] == 0.25
    assert signals["loss_first"] == 2.0


def test_a_prefix_knows_nothing_of_what_came_later():
    losses = [2.0, 1.9, 1.8, 1.7, 50.0, 60.0]
    early = dynamics_signals(record_of(losses).prefix(4))
    assert early == dynamics_signals(record_of(losses[:4]))


def test_dynamics_need_no_torch():
    code = (
        "import sys, hf_ftrisk.signals.dynamics, hf_ftrisk.signals.dataset; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
