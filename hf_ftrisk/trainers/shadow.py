"""A private shadow copy of the user's Trainer: same methods, same model, nothing else shared.

The shadow is a shallow copy, so that an overridden `compute_loss`, `training_step` or
`create_optimizer` is the user's own. What such methods write to (running metrics, state, control,
callbacks, optimizer, arguments, a collator's random generator) is private to the copy. Where a
Trainer is only read and computes losses, `bookkeeping_copy` does with less.
"""

from __future__ import annotations

import copy
import random
from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import IterableDataset

from hf_ftrisk.trainers.facts import scheduler_rates

_CONTAINERS = (dict, list, set, defaultdict, OrderedDict, deque)
_GENERATORS = (random.Random, np.random.Generator, np.random.RandomState, torch.Generator)
# Data may be a list of a million rows; samplers and loaders only ever read it.
_SHARED = ("model", "model_wrapped", "train_dataset", "eval_dataset", "accelerator", "args")
_MAX_DEPTH = 4
_MAX_ITEMS = 1000  # longer containers are data, not state
_SCALARS = (str, int, float, bool, bytes, type(None))


def private_copy(value: Any, depth: int = 0) -> Any:
    """A copy of what a method could change in place; everything else as it is.

    Plain containers are copied level by level, random generators and tensors are cloned; models,
    data sets and objects of any other class stay shared.
    """
    if isinstance(value, _GENERATORS):
        return clone_generator(value)
    if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if depth >= _MAX_DEPTH or type(value) not in _CONTAINERS or len(value) > _MAX_ITEMS:
        return value
    duplicate = copy.copy(value)
    if isinstance(duplicate, dict):
        for key, item in value.items():
            duplicate[key] = private_copy(item, depth + 1)
        return duplicate
    if isinstance(duplicate, set):
        return duplicate
    for index, item in enumerate(value):
        duplicate[index] = private_copy(item, depth + 1)
    return duplicate


def clone_generator(generator: Any) -> Any:
    """An independent random generator in the same state."""
    if isinstance(generator, torch.Generator):
        return generator.clone_state()
    return copy.deepcopy(generator)


def private_object(value: Any) -> Any:
    """A shallow copy of a collator, data set or metric object whose own state is private.

    Plain functions and modules come back as they are.
    """
    if value is None or isinstance(value, nn.Module) or not hasattr(value, "__dict__"):
        return value
    if callable(value) and hasattr(value, "__code__"):
        return value
    if isinstance(value, type):
        return value
    duplicate = copy.copy(value)
    for name, item in vars(value).items():
        vars(duplicate)[name] = private_copy(item)
    return duplicate


def shadow_copy(trainer: Any, output_dir: str) -> Any:
    """A private shallow copy of `trainer` for one probe.

    Args:
        trainer: the user's Trainer; it is only read.
        output_dir: folder the copy may write to instead of the user's.
    """
    from transformers.trainer_callback import (
        CallbackHandler,
        DefaultFlowCallback,
        TrainerControl,
        TrainerState,
    )
    from transformers.trainer_utils import TrainerMemoryTracker

    shadow = copy.copy(trainer)
    attributes = vars(shadow)
    for name, value in vars(trainer).items():
        if getattr(value, "__self__", None) is trainer:
            # A bound method kept on the instance would act on the user's trainer.
            attributes[name] = value.__func__.__get__(shadow)
        elif name not in _SHARED:
            attributes[name] = private_copy(value)
    for watched in ("training_step", "create_model_card", "train"):
        if getattr(attributes.get(watched), "__wrapped__", None) is not None:
            del attributes[watched]
    attributes.pop("_eval_dataloaders", None)

    args = shadow.args = copy.copy(trainer.args)
    args.output_dir = output_dir
    args.report_to = []
    args.push_to_hub = False
    args.disable_tqdm = True

    shadow.data_collator = private_object(trainer.data_collator)
    shadow.compute_metrics = private_object(trainer.compute_metrics)
    if isinstance(trainer.train_dataset, IterableDataset):
        shadow.train_dataset = private_object(trainer.train_dataset)
    shadow.state = TrainerState(
        is_local_process_zero=trainer.is_local_process_zero(),
        is_world_process_zero=trainer.is_world_process_zero(),
    )
    shadow.control = TrainerControl()
    # With none of its own the handler warns that training would not work.
    flow = [DefaultFlowCallback()]
    shadow.callback_handler = CallbackHandler(
        flow, trainer.model, trainer.processing_class, None, None
    )
    shadow._memory_tracker = TrainerMemoryTracker(True)
    shadow.gather_function = shadow.accelerator.gather_for_metrics
    shadow.is_in_train = True
    shadow.current_flos = 0
    if not _log_is_safe(type(trainer)):
        shadow.log = _base_log.__get__(shadow)
    return shadow


def bookkeeping_copy(trainer: Any) -> Any:
    """A shallow copy of the Trainer whose plain bookkeeping is its own.

    Trainers such as TRL's count tokens and keep metric lists in ``compute_loss``; on the copy
    that leaves no trace. Model, data and arguments are shared.
    """
    duplicate = copy.copy(trainer)
    data = (trainer.train_dataset, trainer.eval_dataset)
    for name, value in vars(trainer).items():
        if any(value is part for part in data):  # a list of rows looks like bookkeeping
            continue
        if _is_plain(value) and not isinstance(value, _SCALARS):
            setattr(duplicate, name, copy.deepcopy(value))
    return duplicate


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(v) for v in value.values())
    if isinstance(value, list | tuple | set):
        return all(_is_plain(v) for v in value)
    return isinstance(value, _SCALARS)


def _log_is_safe(kind: type) -> bool:
    """Whether the class's own `log` only writes to state and callbacks: transformers, TRL."""
    owner = next(base for base in kind.__mro__ if "log" in vars(base))
    return owner.__module__.split(".")[0] in ("transformers", "trl")


def _base_log(self: Any, logs: dict[str, float], start_time: float | None = None) -> None:
    """Trainer's own `log`: a subclass's might write to a tracker."""
    from transformers import Trainer

    Trainer.log(self, logs, start_time)


def clone_optimizer(optimizer: Any) -> Any:
    """A copy of a torch optimizer over the same parameters, with its own groups and state."""
    inner = getattr(optimizer, "optimizer", optimizer)  # accelerate's wrapper keeps it there
    duplicate = copy.copy(inner)
    duplicate.param_groups = [
        {key: list(item) if key == "params" else private_copy(item) for key, item in group.items()}
        for group in inner.param_groups
    ]
    duplicate.state = defaultdict(
        dict, {parameter: private_copy(dict(state)) for parameter, state in inner.state.items()}
    )
    return duplicate


def clone_scheduler(scheduler: Any, optimizer: Any) -> Any:
    """A copy of a learning-rate scheduler that drives `optimizer`."""
    duplicate = copy.copy(scheduler)
    for name, value in vars(scheduler).items():
        vars(duplicate)[name] = private_copy(value)
    duplicate.optimizer = optimizer
    return duplicate


def planned_rates(shadow: Any, max_steps: int) -> np.ndarray | None:
    """Learning rates (n_rates,) at the run's `schedule_steps`; None where they cannot be told.

    Args:
        shadow: a shadow copy of the Trainer: its scheduler may be replaced.
        max_steps: planned optimizer steps.
    """
    optimizer = shadow.optimizer
    groups = (
        optimizer.param_groups if optimizer is not None else [{"lr": shadow.args.learning_rate}]
    )
    rate = float(groups[0].get("initial_lr", groups[0]["lr"]))
    dummy = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    own_scheduler = shadow.lr_scheduler if not shadow._created_lr_scheduler else None
    if own_scheduler is None:
        shadow.lr_scheduler = None
        scheduler = shadow.create_scheduler(max_steps, optimizer=dummy)
    else:
        scheduler = clone_scheduler(own_scheduler, dummy)
    return scheduler_rates(scheduler, max_steps, first=int(scheduler.last_epoch))
