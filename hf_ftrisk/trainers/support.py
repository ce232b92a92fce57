"""Which training setups can be probed without a trace, and why the others cannot."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from hf_ftrisk.errors import PreflightUnsupportedError
from hf_ftrisk.trainers.facts import optimizer_name
from hf_ftrisk.trainers.versions import sharded_when_loaded

_INSTEAD = (
    "Start the program by `hf-ftrisk run`, which probes it in a separate process; or watch the "
    "run itself with FineTuneRiskCallback; or probe a training loop of your own with "
    "PreflightRunner.from_loop and your own state_dict and load_state_dict."
)


def check_trainer(trainer: Any) -> None:
    """Refuse what cannot be snapshotted and restored, before anything is touched.

    Raises:
        TypeError: no transformers Trainer.
        PreflightUnsupportedError: DeepSpeed, FSDP, models sharded at load time, optimizers that
            step inside backward, batches of a size that is searched, SageMaker or XLA.
        ValueError: a Trainer without training data.
    """
    from transformers import Trainer
    from transformers.utils.import_utils import is_sagemaker_mp_enabled, is_torch_xla_available

    if type(trainer).__module__.partition(".")[0] == "setfit" and not isinstance(trainer, Trainer):
        raise TypeError(
            "SetFit's Trainer is not a transformers Trainer: it trains the body and then the head "
            "with trainers of its own. Watch it with callbacks=[FineTuneRiskCallback(goal)]"
        )
    if not isinstance(trainer, Trainer):
        raise TypeError(
            f"preflight takes a transformers Trainer or a subclass, got {type(trainer).__name__}; "
            "a loop of your own goes through PreflightRunner.from_loop"
        )
    reason, optimizer = None, optimizer_name(trainer.args)
    if trainer.is_deepspeed_enabled:
        reason = "DeepSpeed builds its engine around the model and cannot be removed again"
    elif trainer.is_fsdp_enabled or trainer.is_fsdp_xla_enabled:
        reason = "FSDP replaces the model's parameters by shards and cannot be removed again"
    elif sharded_when_loaded(trainer):
        reason = "the model was sharded when it was loaded"
    elif is_sagemaker_mp_enabled() or is_torch_xla_available():
        reason = "SageMaker model parallelism and XLA are not supported"
    elif "layerwise" in optimizer or "lomo" in optimizer:
        reason = f"optim={optimizer} steps inside backward hooks that stay on the model"
    elif trainer.args.auto_find_batch_size:
        reason = "auto_find_batch_size restarts the training when a batch does not fit"
    if reason is not None:
        unsupported = PreflightUnsupportedError(
            f"this Trainer cannot be restored after a probe: {reason}. {_INSTEAD}"
        )
        unsupported.reason = reason
        raise unsupported
    if trainer.train_dataset is None:
        raise ValueError("the trainer has no train_dataset: there is nothing to probe")
    if isinstance(trainer.train_dataset, Sized) and len(trainer.train_dataset) == 0:
        raise ValueError(
            "the trainer's train_dataset has 0 rows: where rows are cut or dropped before "
            "training, as TRL drops those without a token to learn, raise the maximum length"
        )


def deviations(trainer: Any) -> tuple[str, ...]:
    """What the probes do differently from the run, for the report's notes."""
    from transformers.trainer_callback import (
        DefaultFlowCallback,
        PrinterCallback,
        ProgressCallback,
    )

    standard = (DefaultFlowCallback, PrinterCallback, ProgressCallback)
    own = [
        type(callback).__name__
        for callback in trainer.callback_handler.callbacks
        if not isinstance(callback, standard)
        and not type(callback).__module__.startswith("transformers.integrations")
        and not type(callback).__module__.startswith("hf_ftrisk")
    ]
    notes = []
    if own:
        notes.append(f"Callbacks do not run in probes: {', '.join(sorted(set(own)))}.")
    if trainer.args.use_liger_kernel:
        notes.append("Probes run without Liger kernels: the run is faster and needs less memory.")
    return tuple(notes)
