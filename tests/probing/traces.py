"""Everything a pre-flight could leave behind, as one value that can be compared."""

from __future__ import annotations

import hashlib
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch


def digest(value: Any) -> str:
    """SHA-256 of a value's pickle."""
    return hashlib.sha256(pickle.dumps(value)).hexdigest()


def tensor_digest(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's bytes, shape and type."""
    plain = tensor.detach().cpu().contiguous()
    content = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    return digest((str(plain.dtype), tuple(plain.shape), content))


def _optimizer_state(optimizer: Any) -> Any:
    if optimizer is None:
        return None
    state = optimizer.state_dict()
    moments = {
        (index, name): tensor_digest(item) if isinstance(item, torch.Tensor) else item
        for index, entry in state["state"].items()
        for name, item in entry.items()
    }
    return id(optimizer), moments, repr(state["param_groups"])


def _modules(model: torch.nn.Module) -> dict[str, Any]:
    return {
        name: (
            module.training,
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
            len(module._backward_hooks),
            sorted(vars(module)),
            getattr(vars(module).get("forward"), "__qualname__", None),
        )
        for name, module in model.named_modules()
    }


def _files(folder: str) -> dict[str, str]:
    root = Path(folder)
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def state_of(trainer: Any) -> dict[str, Any]:
    """Every kind of state the pre-flight promises to put back, by name."""
    model = trainer.model
    parameters = dict(model.named_parameters())
    accelerator = trainer.accelerator
    numpy_state = np.random.get_state()
    return {
        "weights": {name: tensor_digest(p) for name, p in parameters.items()},
        "same tensors": {name: (id(p), p.data_ptr()) for name, p in parameters.items()},
        "buffers": {name: tensor_digest(b) for name, b in model.named_buffers()},
        "requires_grad": {name: p.requires_grad for name, p in parameters.items()},
        "gradients": {
            name: None if p.grad is None else tensor_digest(p.grad)
            for name, p in parameters.items()
        },
        "modules": _modules(model),
        "config": digest(model.config.to_dict()),
        "optimizer": _optimizer_state(trainer.optimizer),
        "scheduler": None if trainer.lr_scheduler is None else trainer.lr_scheduler.state_dict(),
        "python random": digest(random.getstate()),
        "numpy random": (numpy_state[0], numpy_state[1].tobytes(), numpy_state[2:]),
        "torch random": tensor_digest(torch.get_rng_state()),
        "torch modes": (torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")),
        "state": (id(trainer.state), repr(trainer.state)),
        "control": (id(trainer.control), repr(trainer.control)),
        "callbacks": [id(callback) for callback in trainer.callback_handler.callbacks],
        "callback attributes": [
            sorted((name, repr(value)) for name, value in vars(callback).items())
            for callback in trainer.callback_handler.callbacks
        ],
        "args": (id(trainer.args), repr(trainer.args)),
        "attributes": {name: id(value) for name, value in vars(trainer).items()},
        "prepared": [
            len(getattr(accelerator, name))
            for name in ("_models", "_optimizers", "_schedulers", "_dataloaders")
        ],
        "gradient state": sorted(
            # References to loaders are weak: what became of a loader since is not their matter.
            (name, [id(item) for item in value] if isinstance(value, list) else repr(value))
            for name, value in accelerator.gradient_state._shared_state.items()
        ),
        "files": _files(trainer.args.output_dir),
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is not as it was."""
    return [name for name in before if before[name] != after[name]]
