"""The step meter against steps computed by hand, and a training that does not notice it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from hf_ftrisk.record import RunRecord
from hf_ftrisk.signals.dynamics import dynamics_signals
from hf_ftrisk.signals.steps import StepMeter


def step(optimizer, parameter, gradient):
    parameter.grad = torch.tensor(gradient)
    optimizer.step()


def test_ratio_and_cosine_by_hand():
    w = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = torch.optim.SGD([w], lr=0.5)
    with StepMeter(optimizer) as meter:
        step(optimizer, w, [2.0, 0.0])  # |w| 5, change 1
        step(optimizer, w, [0.0, 4.0])  # w = (2, 4), change 2; orthogonal to the last gradient
        step(optimizer, w, [0.0, -4.0])  # w = (2, 2), change 2; opposite
    columns = meter.columns()
    assert columns["update_ratio"] == pytest.approx([1 / 5, 2 / np.sqrt(20), 2 / np.sqrt(8)])
    assert columns["gradient_cosine"] == pytest.approx([0.0, -1.0])
    signals = dynamics_signals(RunRecord(max_steps=3), **columns)
    assert signals == {
        "update_ratio": pytest.approx(2 / np.sqrt(20)),
        "step_consistency": pytest.approx(-0.5),
    }


def test_nothing_is_measured_after_it_is_closed():
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([w], lr=0.5)
    with StepMeter(optimizer) as meter:
        step(optimizer, w, [1.0, 1.0])
    step(optimizer, w, [1.0, 1.0])
    assert len(meter.columns()["update_ratio"]) == 1


def test_the_optimizer_under_accelerates_wrapper_is_measured():
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = Accelerator(cpu=True).prepare(torch.optim.SGD([w], lr=0.5))
    with StepMeter(optimizer) as meter:
        step(optimizer, w, [1.0, 1.0])
    assert meter.columns()["update_ratio"] == pytest.approx([0.5])


def test_a_sample_of_coordinates_estimates_the_whole_ratio():
    torch.manual_seed(0)
    w = torch.nn.Parameter(torch.randn(20_000))
    small = torch.nn.Parameter(torch.randn(3))
    optimizer = torch.optim.SGD([w, small], lr=0.1)
    with StepMeter(optimizer, max_coordinates=2_000) as meter:
        w.grad = torch.randn(20_000)
        optimizer.step()
    assert meter.columns()["update_ratio"] == pytest.approx([0.1], rel=0.1)


def test_steps_are_the_same_with_and_without_the_meter():
    def trained(measured: bool) -> torch.Tensor:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 1)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        meter = StepMeter(optimizer, max_coordinates=2)
        if measured:
            meter.__enter__()
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
        return model.weight.detach()

    assert torch.equal(trained(True), trained(False))
