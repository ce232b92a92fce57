"""Snapshots that put everything back: tensors, module attributes, RNG states, accelerate's state.

A snapshot holds copies of trainable parameters and of buffers only; frozen weights are never
written by a probe. Everything else it keeps is references. Restoring writes in place, so that
optimizers, wrappers and hooks of the user which point at a tensor still point at the same one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

Storage = Literal["cpu", "pinned", "device"]

# The containers in a module's __dict__ that torch changes in place.
_MODULE_CONTAINERS = (
    "_parameters",
    "_buffers",
    "_modules",
    "_non_persistent_buffers_set",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def check_storage(storage: str) -> Storage:
    """The storage kind, or a ValueError that names the three there are."""
    if storage not in ("cpu", "pinned", "device"):
        raise ValueError(
            "snapshots are kept on the 'cpu', in 'pinned' host memory or on the 'device', "
            f"got {storage!r}"
        )
    return storage  # type: ignore[return-value]  # narrowed by the check above


def keep_tensor(tensor: torch.Tensor, storage: Storage) -> torch.Tensor:
    """A copy of `tensor`, detached, where `storage` says."""
    source = tensor.detach()
    if storage == "device" or (storage == "pinned" and not torch.cuda.is_available()):
        return source.clone() if storage == "device" else source.to("cpu", copy=True)
    if storage == "pinned":
        copy = torch.empty(source.shape, dtype=source.dtype, device="cpu", pin_memory=True)
        return copy.copy_(source)
    return source.to("cpu", copy=True)


@dataclass(frozen=True, eq=False)
class TensorSnapshot:
    """Copies of tensors, written back in place.

    Args:
        live: the tensors themselves.
        kept: their copies, same order.
    """

    live: tuple[torch.Tensor, ...]
    kept: tuple[torch.Tensor, ...]

    @classmethod
    def take(cls, tensors: Iterable[torch.Tensor], storage: Storage = "cpu") -> TensorSnapshot:
        """Copy `tensors`, each once however often it is shared."""
        live = tuple({id(tensor): tensor for tensor in tensors}.values())
        return cls(live, tuple(keep_tensor(tensor, storage) for tensor in live))

    @property
    def nbytes(self) -> int:
        """Memory of the copies, bytes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.kept)

    def onto(self, tensors: Iterable[torch.Tensor]) -> TensorSnapshot:
        """The same copies for the tensors that have taken the place of the live ones, in order."""
        return replace(self, live=tuple({id(tensor): tensor for tensor in tensors}.values()))

    def restore(self) -> None:
        """Write the copies back, in place."""
        with torch.no_grad():
            for live, saved in zip(self.live, self.kept, strict=True):
                live.detach().copy_(saved)


def trainable_tensors(model: nn.Module) -> list[torch.Tensor]:
    """Trainable parameters and all buffers: what training can change in `model`."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [*parameters, *model.buffers()]


@dataclass(frozen=True)
class RngState:
    """States of every random number generator that training draws from."""

    python: Any
    numpy: Any
    torch_cpu: torch.Tensor
    cuda: tuple[torch.Tensor, ...]
    mps: torch.Tensor | None

    @classmethod
    def capture(cls) -> RngState:
        """The states now; CUDA devices only once CUDA is in use (asking would start it)."""
        cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
        return cls(
            python=random.getstate(),
            numpy=np.random.get_state(),
            torch_cpu=torch.get_rng_state(),
            cuda=tuple(torch.cuda.get_rng_state_all()) if cuda else (),
            mps=torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        )

    def restore(self) -> None:
        """Put the states back."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.torch_cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(list(self.cuda))
        if self.mps is not None:
            torch.mps.set_rng_state(self.mps)


# Where mixed precision may be on.
_AUTOCAST = ("cpu", "cuda")


@dataclass(frozen=True)
class TorchModes:
    """Whether torch records gradients and computes in mixed precision, in this thread.

    A Ctrl-C at the very moment at which ``no_grad`` or ``autocast`` ends leaves it on for good.

    Args:
        grad: whether gradients are recorded.
        autocast: the same of mixed precision, by type of device.
    """

    grad: bool
    autocast: Mapping[str, bool]

    @classmethod
    def capture(cls) -> TorchModes:
        """The modes now."""
        autocast = {device: torch.is_autocast_enabled(device) for device in _AUTOCAST}
        return cls(torch.is_grad_enabled(), autocast)

    def restore(self) -> None:
        """Put the modes back."""
        torch.set_grad_enabled(self.grad)
        for device, enabled in self.autocast.items():
            torch.set_autocast_enabled(device, enabled)


@contextmanager
def random_states_kept() -> Iterator[None]:
    """What happens inside draws no random number of the training's."""
    states = RngState.capture()
    try:
        yield
    finally:
        states.restore()


class StructureSnapshot:
    """Attributes, modes, hooks, storages and gradients of every module, by reference.

    Catches what training does to a model besides its weights: train/eval mode, hooks (gradient
    checkpointing of adapters, NEFTune), a forward wrapped for mixed precision, generation and
    model settings aligned with the tokenizer.
    """

    def __init__(self, roots: Iterable[nn.Module]) -> None:
        modules = {id(m): m for root in roots for m in root.modules()}
        self._modules = list(modules.values())
        self._attributes = [dict(vars(module)) for module in self._modules]
        self._containers = [
            {
                name: _copied(vars(module)[name])
                for name in _MODULE_CONTAINERS
                if name in vars(module)
            }
            for module in self._modules
        ]
        parameters = {id(p): p for module in self._modules for p in module._parameters.values()}
        self._parameters = [p for p in parameters.values() if p is not None]
        # Moving a model (also from "cpu" to "cpu:0") gives its parameters other storages.
        self._storages = [p.data for p in self._parameters]
        self._gradients = [p.grad for p in self._parameters]
        self._requires = [p.requires_grad for p in self._parameters]
        self._settings = [(config, _copied(vars(config))) for config in self._configs()]

    def _configs(self) -> list[Any]:
        configs: dict[int, Any] = {}
        for module in self._modules:
            for name in ("config", "generation_config"):
                config = vars(module).get(name)
                if config is not None and hasattr(config, "__dict__"):
                    configs[id(config)] = config
                    for nested in vars(config).values():
                        if isinstance(nested, type(config)) or hasattr(nested, "to_diff_dict"):
                            configs[id(nested)] = nested
        return list(configs.values())

    def restore(self) -> None:
        """Put attributes, hooks, modes, settings and gradients back."""
        for module, attributes, containers in zip(
            self._modules, self._attributes, self._containers, strict=True
        ):
            own = vars(module)
            own.clear()
            own.update(attributes)
            for name, content in containers.items():
                _refill(own[name], content)
        for config, content in self._settings:
            _refill(vars(config), content)
        for parameter, storage, gradient, requires in zip(
            self._parameters, self._storages, self._gradients, self._requires, strict=True
        ):
            if parameter.data_ptr() != storage.data_ptr():
                parameter.data = storage
            parameter.requires_grad_(requires)
            parameter.grad = gradient


class AccelerateSnapshot:
    """What `accelerate` remembers between calls: prepared objects, gradient state, loss scale."""

    def __init__(self, accelerator: Any) -> None:
        from accelerate.state import GradientState

        self._accelerator = accelerator
        self._attributes = dict(vars(accelerator))
        self._lists = {k: list(v) for k, v in vars(accelerator).items() if isinstance(v, list)}
        self._gradient = GradientState._shared_state
        self._gradient_content = _copied(self._gradient)
        self._references = list(self._gradient.get("_dataloader_references_ref", ()))
        scaler = accelerator.scaler
        # A scaler that has scaled nothing yet has lazily created tensors: its attributes, not
        # its state_dict, say so.
        self._scaler = None if scaler is None else (scaler, _cloned(vars(scaler)))

    def restore(self) -> None:
        """Put the attributes and the contents of the lists back."""
        own = vars(self._accelerator)
        own.clear()
        own.update(self._attributes)
        for name, items in self._lists.items():
            own[name][:] = items
        _refill(self._gradient, self._gradient_content)
        if "_dataloader_references_ref" in self._gradient:
            self._gradient["_dataloader_references_ref"][:] = self._references
        if self._scaler is not None:
            scaler, content = self._scaler
            vars(scaler).clear()
            vars(scaler).update(content)


def restore_all(steps: Iterable[Callable[[], None]]) -> None:
    """Run every restoring step even if one fails; raise the first failure at the end."""
    failures: list[BaseException] = []
    for step in steps:
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - a Ctrl-C must not skip the other steps
            failures.append(error)
    if failures:
        raise failures[0]


def _copied(value: Any) -> Any:
    return value.copy() if hasattr(value, "copy") else value


def _refill(container: Any, content: Any) -> None:
    container.clear()
    container.update(content)


def _cloned(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.clone() if isinstance(value, torch.Tensor) else _copied(value)
        for name, value in values.items()
    }
