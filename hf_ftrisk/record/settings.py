"""Settings of a run and of a measurement: each name declared once, with whether it may be shared.

`RunRecord.settings` and `RiskReport.settings` hold them. What leaves the machine holds only those
that are declared here as shared; names that nobody declared, such as a person's own, stay.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Setting(NamedTuple):
    """One declared setting.

    Args:
        meaning: what it says, with its unit.
        shared: whether it may leave the machine.
    """

    meaning: str
    shared: bool = True


SETTINGS: dict[str, Setting] = {
    # --- the run, as its Trainer tells it ---
    "batch_size": Setting("training rows of one device in one forward pass"),
    "gradient_accumulation_steps": Setting("forward passes of one optimizer step"),
    "learning_rate": Setting("peak learning rate"),
    "lr_scheduler_type": Setting("kind of schedule"),
    "max_grad_norm": Setting("gradient norm above which gradients are clipped"),
    "max_steps": Setting("planned optimizer steps"),
    "method": Setting("what is trained: every parameter (full) or some of them (partial)"),
    "model": Setting("name of the model, or of its class"),
    "optimizer": Setting("name of the optimizer"),
    "parameters": Setting("parameters of the model"),
    "precision": Setting("numeric precision: bf16, fp16 or fp32"),
    "pretrained": Setting(
        "the weights were trained before this run, by the weights of the normalization layers"
    ),
    "reinforcement_learning": Setting("the loss is a policy gradient: near zero means nothing"),
    "stated_max_steps": Setting("optimizer steps that a run planned and then went beyond"),
    "trainable_parameters": Setting("parameters that are trained"),
    "trainer": Setting("class of the Trainer, which may be a person's own", shared=False),
    "weight_decay": Setting("weight decay of the optimizer"),
    "world_size": Setting("processes that train together"),
    # --- the measurement ---
    "action": Setting("what a watched run does when it is predicted to end poorly"),
    "budget": Setting("share of the full run's steps that probing may take"),
    "completed_runs": Setting("completed runs of the task that were known"),
    "depths": Setting("probing depths measured, optimizer steps"),
    "ended_early_at": Setting("step at which the run ended by itself and kept its best checkpoint"),
    "eval_rows": Setting("evaluation rows that the probes were measured on"),
    "every_step_seen": Setting("every training step was recorded, not the logged ones alone"),
    "false_stop_rate": Setting("share of good runs that may be stopped"),
    "finished_at": Setting("step at which a run that had nothing more to gain was ended"),
    "finished_by": Setting("how it was ended: gain, goal or anneal"),
    "lost_rate": Setting("share of finished runs that may lose more than the tolerance"),
    "planned_depths": Setting("probing depths planned, optimizer steps"),
    "preflight_steps": Setting("optimizer steps that the pre-flight before this run took"),
    "ranks": Setting("processes that were watched together"),
    "resumed_at": Setting("step that the run was resumed from"),
    "risk_curve_from": Setting("runs that the risk curve was measured on"),
    "schedule_from": Setting("step of the schedule that a probe began at, its warm-up left out"),
    "seeds": Setting("seeds of the probes"),
    "signal_seconds": Setting("time the static signals took, seconds"),
    "snapshot_bytes": Setting("memory of the copy that the probes are undone from, bytes"),
    "task": Setting("name under which runs are comparable"),
    # --- what people say of runs that they recorded or trained in a loop of their own ---
    "adam_beta1": Setting("decay of the first moment"),
    "adam_beta2": Setting("decay of the second moment"),
    "adam_epsilon": Setting("epsilon of Adam"),
    "base_model": Setting("name of the model before fine-tuning"),
    "data_seed": Setting("seed of the sampling of data"),
    "dataset": Setting("name of the data set"),
    "dataset_config": Setting("configuration of the data set"),
    "dataset_split": Setting("split of the data set"),
    "dtype": Setting("type of the weights"),
    "eval_batch_size": Setting("evaluation rows of one forward pass"),
    "hf_ftrisk": Setting("version of this package"),
    "label_smoothing_factor": Setting("label smoothing"),
    "lora_alpha": Setting("scale of a LoRA adapter"),
    "lora_dropout": Setting("dropout of a LoRA adapter"),
    "lora_r": Setting("rank of a LoRA adapter"),
    "max_length": Setting("tokens that a row is cut to"),
    "metric": Setting("name of the metric"),
    "model_type": Setting("architecture of the model"),
    "n_eval": Setting("evaluation rows"),
    "n_train": Setting("training rows"),
    "num_labels": Setting("classes"),
    "num_train_epochs": Setting("planned passes over the data"),
    "optim": Setting("name of the optimizer, as TrainingArguments have it"),
    "peft_type": Setting("kind of adapter"),
    "per_device_eval_batch_size": Setting("evaluation rows of one device in one forward pass"),
    "per_device_train_batch_size": Setting("training rows of one device in one forward pass"),
    "recipe": Setting("name of a set of settings"),
    "seed": Setting("random seed"),
    "steps_per_epoch": Setting("optimizer steps in one pass over the data"),
    "versions": Setting("versions of libraries, name -> version"),
    "warmup_ratio": Setting("share of the steps in which the learning rate rises"),
    "warmup_steps": Setting("steps in which the learning rate rises"),
}
SHARED = frozenset(name for name, setting in SETTINGS.items() if setting.shared)


def declared(**settings: Any) -> dict[str, Any]:
    """`settings` as they are: the way the package's own code writes settings.

    Raises:
        ValueError: a name that is not in `SETTINGS`. Only a fault of the package can be the cause,
            and every test that comes by the place finds it.
    """
    unknown = sorted(settings.keys() - SETTINGS.keys())
    if unknown:
        raise ValueError(
            f"settings {unknown} are written but not declared: add them to "
            "hf_ftrisk.record.settings.SETTINGS, with whether they may be shared"
        )
    return settings
