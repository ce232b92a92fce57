"""Snapshots hold what training changes, and nothing else."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from hf_ftrisk.probing.trainer.workload import TrainerWorkload
from hf_ftrisk.trainers.state import (
    RngState,
    StructureSnapshot,
    TensorSnapshot,
    check_storage,
    restore_all,
    trainable_tensors,
)
from tests.probing.models import bert, bert_trainer, lora


def test_only_trainable_parameters_and_buffers_are_copied(tmp_path) -> None:
    model = lora(bert(), task_type="SEQ_CLS")
    trainable = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    everything = sum(p.numel() * p.element_size() for p in model.parameters())
    workload = TrainerWorkload(bert_trainer(tmp_path, model=model), "eval_accuracy")
    workload.close()
    assert workload.snapshot_bytes == trainable + buffers
    assert trainable < everything / 2


@pytest.mark.parametrize("storage", ["cpu", "pinned", "device"])
def test_tensors_come_back_in_place_and_bit_by_bit(storage) -> None:
    layer = nn.BatchNorm1d(3)
    layer.weight.data[0] = float("nan")
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    places = [tensor.data_ptr() for tensor in layer.state_dict().values()]
    kept = TensorSnapshot.take(trainable_tensors(layer), storage)
    layer(torch.randn(5, 3)).sum()
    with torch.no_grad():
        layer.weight.fill_(7.0)
    kept.restore()
    after = layer.state_dict()
    assert all(torch.equal(before[n].nan_to_num(), after[n].nan_to_num()) for n in before)
    assert torch.isnan(layer.weight[0])
    assert [tensor.data_ptr() for tensor in after.values()] == places


def test_a_shared_tensor_is_copied_once() -> None:
    layer = nn.Linear(4, 4, bias=False)
    kept = TensorSnapshot.take([layer.weight, layer.weight])
    assert kept.nbytes == 64


def test_random_numbers_repeat_after_a_restore() -> None:
    def draw():
        return random.random(), np.random.rand(), float(torch.rand(()))

    state = RngState.capture()
    first = draw()
    state.restore()
    assert draw() == first


def test_hooks_modes_gradients_and_forwards_come_back() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    model.train()
    gradient = torch.ones(2, 2)
    model[0].weight.grad = gradient
    kept = StructureSnapshot([model])
    model.eval()
    model[0].register_forward_hook(lambda *args: None)
    model[0].forward = lambda x: x
    model[0].weight.grad = None
    model[0].bias.requires_grad_(False)
    model.extra = nn.Linear(1, 1)
    kept.restore()
    assert model.training
    assert model[1].training
    assert not model[0]._forward_hooks
    assert "forward" not in vars(model[0])
    assert model[0].weight.grad is gradient
    assert model[0].bias.requires_grad
    assert len(list(model.children())) == 2


def test_a_model_that_was_moved_gets_its_storage_back() -> None:
    model = nn.Linear(2, 2)
    place = model.weight.data_ptr()
    kept = StructureSnapshot([model])
    model.to("cpu:0")
    assert model.weight.data_ptr() != place
    kept.restore()
    assert model.weight.data_ptr() == place


def test_every_restoring_step_runs_though_one_fails() -> None:
    done = []

    def fails():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_all([lambda: done.append(1), fails, lambda: done.append(2)])
    assert done == [1, 2]


def test_an_unknown_storage_is_refused() -> None:
    with pytest.raises(ValueError, match=r"on the 'cpu', in 'pinned' .*, got 1"):
        check_storage(1)
