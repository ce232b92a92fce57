"""What a Trainer's arguments say about the full run, before a step is trained."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from hf_ftrisk.preflight.isolate import clone_scheduler
from hf_ftrisk.preflight.sample import class_labels, eval_size
from hf_ftrisk.preflight.support import deviations
from hf_ftrisk.preflight.workload import Facts

_MOST_SIMULATED = 200_000  # steps of a scheduler that can only be stepped through


def trainer_facts(shadow: Any, eval_sets: Any) -> Facts:
    """Facts of the full run.

    Args:
        shadow: stand-in of the user's Trainer; its loader and scheduler are built here.
        eval_sets: the evaluation set, or the named ones that the goal needs.
    """
    args = shadow.args
    loader = shadow.get_train_dataloader()
    epochs, updates, _, _, rows, _, max_steps = shadow.set_initial_training_values(args, loader)
    has_epochs = updates < max_steps or epochs <= args.num_train_epochs
    size = eval_size(eval_sets, args.eval_batch_size * args.world_size)
    parts = list(eval_sets.values()) if isinstance(eval_sets, dict) else [eval_sets]
    return Facts(
        max_steps=max_steps,
        schedule=planned_schedule(shadow, max_steps),
        steps_per_epoch=float(updates) if has_epochs else None,
        rows_per_step=float(rows),
        eval=size,
        evaluations=planned_evaluations(args, max_steps, updates) if size is not None else 0,
        load_best=bool(args.load_best_model_at_end),
        metric_for_best=args.metric_for_best_model,
        labels=class_labels(parts[0], list(shadow.label_names or [])) if len(parts) == 1 else None,
        settings=run_settings(shadow, max_steps),
        notes=deviations(shadow),
    )


def planned_schedule(shadow: Any, max_steps: int) -> np.ndarray | None:
    """(max_steps,) learning rates of the planned steps; None if they depend on what happens."""
    given = shadow.optimizer
    groups = given.param_groups if given is not None else [{"lr": shadow.args.learning_rate}]
    rate = float(groups[0].get("initial_lr", groups[0]["lr"]))
    dummy = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    given_schedule = shadow.lr_scheduler if not shadow._created_lr_scheduler else None
    if given_schedule is None:
        shadow.lr_scheduler = None
        scheduler = shadow.create_scheduler(max_steps, optimizer=dummy)
    else:
        scheduler = clone_scheduler(given_schedule, dummy)
    if isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR):
        factor = scheduler.lr_lambdas[0]
        first = int(scheduler.last_epoch)
        return np.array([rate * factor(first + step) for step in range(max_steps)])
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    if not isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler) or isinstance(
        scheduler, plateau
    ):
        return None
    if max_steps > _MOST_SIMULATED:
        return None
    rates = []
    for _ in range(max_steps):
        rates.append(float(dummy.param_groups[0]["lr"]))
        dummy.step()
        scheduler.step()
    return np.array(rates)


def planned_evaluations(args: Any, max_steps: int, steps_per_epoch: int) -> int:
    """Evaluations of the whole evaluation set that the full run will do."""
    strategy = str(getattr(args.eval_strategy, "value", args.eval_strategy))
    start = int(bool(args.eval_on_start))
    delay = args.eval_delay or 0
    if strategy == "steps":
        every = args.eval_steps or args.logging_steps
        every = max(1, math.ceil(every * max_steps)) if every < 1 else int(every)
        return start + sum(1 for k in range(1, max_steps // every + 1) if k * every >= delay)
    if strategy == "epoch":
        epochs = math.ceil(max_steps / steps_per_epoch)
        return start + sum(1 for epoch in range(1, epochs + 1) if epoch >= delay)
    return start


def run_settings(shadow: Any, max_steps: int) -> dict[str, Any]:
    """JSON scalars that describe the run."""
    args, model = shadow.args, shadow.model
    parameters = list(model.parameters())
    return {
        "model": str(
            getattr(getattr(model, "config", None), "_name_or_path", "") or type(model).__name__
        ),
        "trainer": type(shadow).__name__,
        "parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "method": "full" if all(p.requires_grad for p in parameters) else "partial",
        "max_steps": max_steps,
        "batch_size": args.per_device_train_batch_size,
        "gradient_accumulation_steps": args.gradient_accumulation_steps,
        "world_size": args.world_size,
        "learning_rate": args.learning_rate,
        "lr_scheduler_type": str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)),
        "optimizer": str(getattr(args.optim, "value", args.optim)),
        "weight_decay": args.weight_decay,
        "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
    }
