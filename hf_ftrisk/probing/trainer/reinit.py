"""Fresh draws of what the user's model drew at random: task head and adapters.

Runs of one task differ by the order of the data, by dropout and by what was initialized at random
(Dodge et al. 2020). Only weights that still look untouched are drawn anew, so that a head which
was trained before stays what it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Redrawn:
    """Names of what was drawn anew.

    Args:
        heads: modules or parameters whose new values change what the model computes.
        adapters: adapter layers, which add nothing before they are trained.
    """

    heads: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()


def redraw_from(model_init: Any, model: nn.Module) -> Redrawn:
    """Copy a new draw of the user's `model_init` into `model`, in place.

    Args:
        model_init: returns a new model; called without a trial.
        model: the model to overwrite; its trainable parameters and buffers are.

    Raises:
        ValueError: the new model has other parameters than `model`.
    """
    fresh = model_init()
    new_weights = dict(fresh.named_parameters())
    names = []
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in new_weights or new_weights[name].shape != parameter.shape:
                raise ValueError(
                    f"model_init returned a model without {name} {tuple(parameter.shape)}: "
                    "it must build the same model each time"
                )
            if not parameter.requires_grad:
                continue
            value = new_weights[name].to(parameter.device, parameter.dtype)
            if not torch.equal(value, parameter):
                names.append(name)
            parameter.copy_(value)
        buffers = dict(fresh.named_buffers())
        for name, buffer in model.named_buffers():
            if name in buffers and buffers[name].shape == buffer.shape:
                buffer.copy_(buffers[name].to(buffer.device, buffer.dtype))
    return Redrawn(heads=tuple(names))


def redraw_fresh(model: nn.Module) -> Redrawn:
    """Draw untouched head and adapter weights of `model` anew, in place, from the global RNG."""
    return Redrawn(_redraw_head(model), _redraw_adapters(model))


def _redraw_head(model: nn.Module) -> tuple[str, ...]:
    core = _transformers_model(model)
    if core is None:
        return ()
    base = core.base_model
    if base is core:
        return ()
    inside = {id(module) for module in base.modules()}
    deviation = getattr(core.config, "initializer_range", None)
    names = []
    for name, module in core.named_modules():
        if id(module) in inside or not isinstance(module, nn.Linear) or deviation is None:
            continue
        weight = module.weight
        tied = any(weight is parameter for parameter in base.parameters())
        if weight.requires_grad and not tied and _looks_untouched(module, deviation):
            _draw_linear(module, deviation)
            names.append(name)
    return tuple(names)


def _transformers_model(model: nn.Module) -> Any:
    """The transformers model inside adapters, None for models of another make."""
    from transformers import PreTrainedModel

    if isinstance(model, PreTrainedModel):
        return model
    from peft import PeftModel

    if isinstance(model, PeftModel):
        inner = model.get_base_model()
        return inner if isinstance(inner, PreTrainedModel) else None
    return None


def _looks_untouched(module: nn.Linear, deviation: float) -> bool:
    """Bias exactly zero, weights of mean 0 and the initial deviation within 4 standard errors."""
    if module.bias is not None and bool(module.bias.detach().any()):
        return False
    weight = module.weight.detach().float()
    count = weight.numel()
    if count < 2 or deviation <= 0:
        return False
    mean, spread = float(weight.mean()), float(weight.std())
    close_mean = abs(mean) <= 4 * deviation / math.sqrt(count)
    close_spread = abs(spread / deviation - 1) <= 4 / math.sqrt(2 * (count - 1))
    return close_mean and close_spread


def _draw_linear(module: nn.Linear, deviation: float) -> None:
    # On the CPU, so that every rank and every device draws the same numbers from the same seed.
    with torch.no_grad():
        weight = torch.randn(module.weight.shape, dtype=torch.float32) * deviation
        module.weight.copy_(weight.to(module.weight.device, module.weight.dtype))


def _redraw_adapters(model: nn.Module) -> tuple[str, ...]:
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    if not isinstance(model, PeftModel):
        return ()
    names = []
    for name, module in model.named_modules():
        if not isinstance(module, LoraLayer):
            continue
        layer: Any = module
        for adapter in layer.active_adapters:
            config = model.peft_config.get(adapter)
            scheme = getattr(config, "init_lora_weights", None)
            # Other initializations (PiSSA, OLoRA, ...) change the frozen weights: left alone.
            if scheme not in (True, "gaussian") or adapter not in layer.lora_B:
                continue
            if bool(layer.lora_B[adapter].weight.detach().any()):
                continue
            layer.reset_lora_parameters(adapter, scheme)
            names.append(f"{name}.{adapter}")
    return tuple(names)
