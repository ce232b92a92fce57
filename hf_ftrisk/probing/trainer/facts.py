"""What a Trainer's arguments say about the full run, before a step is trained."""

from __future__ import annotations

from typing import Any

from hf_ftrisk.errors import PreflightArgumentError
from hf_ftrisk.probing.budget import EvalSize
from hf_ftrisk.probing.trainer.sample import eval_size
from hf_ftrisk.probing.workload import Facts
from hf_ftrisk.trainers.facts import builds_own_loader, generates_text, rows_in_batch
from hf_ftrisk.trainers.plan import eval_labels, evaluations, plan_of
from hf_ftrisk.trainers.shadow import planned_rates


def trainer_facts(shadow: Any, eval_sets: Any, notes: tuple[str, ...] = ()) -> Facts:
    """Facts of the full run.

    Args:
        shadow: shadow copy of the user's Trainer; its loader and scheduler are built here.
        eval_sets: the evaluation set, or the named ones that the goal needs.
        notes: what the probes do differently from the run.
    """
    args = shadow.args
    loader = shadow.get_train_dataloader()
    epochs, updates, _, _, rows, _, max_steps = shadow.set_initial_training_values(args, loader)
    if max_steps <= 0:
        raise PreflightArgumentError(
            f"this run plans no step (num_train_epochs={args.num_train_epochs!r}, "
            f"max_steps={args.max_steps!r}): there is nothing to probe"
        )
    has_epochs = updates < max_steps or epochs <= args.num_train_epochs
    generates = generates_text(args)
    batch = rows_in_batch(args, args.eval_batch_size * args.world_size, "eval")
    size = eval_size(eval_sets, batch, generates)
    if size is None and builds_own_loader(shadow, "eval"):
        size = EvalSize(None, batch, generates)
    plan = plan_of(
        shadow,
        args,
        shadow.model,
        max_steps=max_steps,
        schedule=planned_rates(shadow, max_steps),
        steps_per_epoch=float(updates) if has_epochs else None,
    )
    return Facts(
        max_steps=max_steps,
        schedule=plan.schedule,
        steps_per_epoch=plan.steps_per_epoch,
        rows_per_step=float(rows_in_batch(args, rows, "train")),
        eval=size,
        evaluations=evaluations(args, plan) if size is not None else 0,
        load_best=plan.load_best,
        selection=plan.selection,
        labels=eval_labels(shadow, eval_sets),
        one_eval_set=not isinstance(shadow.eval_dataset, dict) or len(shadow.eval_dataset) == 1,
        task=plan.task,
        settings=plan.settings,
        notes=notes,
    )
