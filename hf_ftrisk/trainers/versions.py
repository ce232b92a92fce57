"""What older releases of transformers call by another name, or lack."""

from __future__ import annotations

from typing import Any

from packaging.version import Version


def sharded_when_loaded(trainer: Any) -> bool:
    """Whether a Trainer's model was sharded when it was loaded; before 5.19 none can be."""
    return bool(vars(trainer).get("is_distributed_loading_by_transformers"))


def checkpoint_activations(model: Any, args: Any) -> None:
    """Switch activation checkpointing on where the arguments ask for it, as `Trainer.train` does.

    Args:
        model: a PreTrainedModel.
        args: the Trainer's arguments.
    """
    import transformers

    # Before 5.23 everything of it is named after gradients.
    renamed = Version(transformers.__version__) >= Version("5.23.0.dev0")
    name = "activation_checkpointing" if renamed else "gradient_checkpointing"
    if not getattr(args, name):
        return
    options = dict(getattr(args, f"{name}_kwargs") or {})
    own = {key: options.pop(key) for key in ("every_n_layers", "offload") if key in options}
    getattr(model, f"{name}_enable")(**{f"{name}_kwargs": options or None}, **own)
