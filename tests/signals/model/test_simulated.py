"""A linear head trained for as long as a schedule lasts."""

from __future__ import annotations

import numpy as np
import pytest

from hf_ftrisk.signals.model.label_signal import Labeled, label_signal
from hf_ftrisk.signals.model.simulated import simulated_signals
from tests.signals.model.test_label_signal import planted, rows_of

TRAIN, HELD_OUT = planted(200, 2.0), planted(100, 2.0, seed=1)


def score(gain: float, train: Labeled = TRAIN) -> float:
    return simulated_signals(train, HELD_OUT, gain)["simulated_score"]


def test_a_long_schedule_gets_about_as_far_as_a_probe_fitted_to_its_end():
    fitted = label_signal(TRAIN, HELD_OUT)["signal_eval_score"]
    assert score(3.0) == pytest.approx(fitted, abs=0.06)


def test_a_schedule_that_moves_nothing_leaves_the_most_frequent_class():
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(400) < 0.8, 0, 1 + rng.integers(2, size=400))
    features = rng.standard_normal((400, 30))
    features[:, :3] += 2.0 * np.eye(3)[labels]
    train, held_out = (
        rows_of(labels[part], features[part]) for part in (slice(200), slice(200, 400))
    )
    trivial = label_signal(train, held_out)["signal_eval_trivial"]
    assert simulated_signals(train, held_out, 1e-6)["simulated_score"] == trivial
    assert simulated_signals(train, held_out, 3.0)["simulated_score"] > trivial + 0.05


def test_shuffled_labels_get_no_farther_than_guessing():
    shuffled = rows_of(np.random.default_rng(2).permutation(TRAIN.targets), TRAIN.features)
    assert score(3.0, shuffled) < 0.45


def test_descent_follows_the_gradient_of_the_softmax_loss():
    import torch

    from hf_ftrisk.signals.model import simulated as module

    rng = np.random.default_rng(3)
    x = rng.standard_normal((20, 4))
    y = np.eye(3)[rng.integers(3, size=20)]
    weights = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    first = None
    for _ in range(module._STEPS):
        loss = torch.nn.functional.cross_entropy(torch.tensor(x) @ weights, torch.tensor(y))
        (gradient,) = torch.autograd.grad(loss, weights)
        first = first or float(gradient.norm())
        with torch.no_grad():
            weights -= 0.2 / module._STEPS / first * gradient / gradient.norm()
    head = x.T @ module._descent(x @ x.T, y, 0.2)
    assert np.allclose(head, weights.detach().numpy(), atol=1e-8)


@pytest.mark.parametrize("case", ["no evaluation rows", "few of them", "numbers", "one class"])
def test_it_is_left_out_where_it_says_nothing(case):
    train, held_out = TRAIN, HELD_OUT
    if case == "no evaluation rows":
        held_out = None
    elif case == "few of them":
        held_out = planted(19, 2.0)
    elif case == "numbers":
        train = rows_of(TRAIN.features[:, :1], TRAIN.features, "number")
    else:
        train = rows_of(np.zeros(200, dtype=int), TRAIN.features)
    assert simulated_signals(train, held_out, 1.0) == {}
