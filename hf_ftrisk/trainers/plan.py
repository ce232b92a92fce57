"""What is known of a run when its training begins, and what must not be wrong about it."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset
from transformers.trainer_utils import has_length

from hf_ftrisk.errors import WatchArgumentError
from hf_ftrisk.goal import Goal, trivial_baseline
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.settings import declared
from hf_ftrisk.trainers.facts import (
    goal_sets,
    known_targets,
    length_of,
    model_selection,
    planned_evaluations,
    run_settings,
    scheduler_rates,
    task_name,
)

# Labels read for the majority rate; more would not change it by what matters.
_MAX_LABELS = 100_000
_POLICY_GRADIENT = ("GRPO", "RLOO", "PPO")


def check_arguments(trainer: Any, goal: Goal, *, needs_data: bool = False) -> None:
    """Refuse a goal that no evaluation of this Trainer can answer.

    Only what is certain is refused: subclasses with an evaluation of their own (TRL,
    sentence-transformers) report metrics that cannot be known before. A Trainer without evaluation
    data is watched all the same, for certain failures and by its training loss.

    Args:
        trainer: the Trainer.
        goal: what its run is judged by.
        needs_data: whether a Trainer without evaluation data is refused too.

    Raises:
        WatchArgumentError: the metric cannot come out of an evaluation, or the Trainer is told
            the opposite direction for it.
    """
    _check_direction(trainer.args, goal)
    data = trainer.eval_dataset
    if not _plain_evaluation(trainer):
        if isinstance(data, dict) and goal.metric == "eval_loss":
            # Every subclass evaluates named sets one by one, with the name in the metrics'.
            raise _named_sets_error(data, goal)
        return
    if needs_data and data is None and goal.metric != "eval_loss":
        raise WatchArgumentError(
            f"the goal is {goal}, but the Trainer has no eval_dataset to measure {goal.metric} on: "
            "give the Trainer an eval_dataset, or use the goal 'eval_loss', for which the training "
            "loss can stand in"
        )
    if isinstance(data, dict):
        if not any(goal.metric.startswith(f"eval_{name}_") for name in data):
            raise _named_sets_error(data, goal)
    elif data is not None and trainer.compute_metrics is None and goal.metric != "eval_loss":
        raise WatchArgumentError(
            f"the goal is {goal}, but the Trainer has no compute_metrics: its evaluations report "
            "eval_loss alone. Give it a compute_metrics that returns "
            f"{goal.metric.removeprefix('eval_')!r}, or use the goal 'eval_loss'"
        )


def _named_sets_error(data: dict[Any, Any], goal: Goal) -> WatchArgumentError:
    names = sorted(str(name) for name in data)
    return WatchArgumentError(
        f"the goal is {goal}, but the Trainer evaluates the named sets {names}, whose "
        f"metrics are called eval_{names[0]}_... : name the set in the goal, such as "
        f"'eval_{names[0]}_{goal.metric.removeprefix('eval_')}'"
    )


def selection_fault(trainer: Any) -> str | None:
    """What is certain to be wrong about ``metric_for_best_model`` before a step; None if nothing.

    The Trainer looks for the metric after each evaluation, and fails where it is not reported.
    """
    metric = trainer.args.metric_for_best_model
    if metric is None:
        return None
    name = metric.removeprefix("eval_")
    if not _plain_evaluation(trainer) or trainer.eval_dataset is None or name == "loss":
        return None
    if isinstance(trainer.eval_dataset, dict):
        sets = sorted(str(key) for key in trainer.eval_dataset)
        if not any(name.startswith(f"{key}_") for key in sets):
            return (
                f"The Trainer's metric_for_best_model is {metric!r}, but the metrics of the "
                f"named sets {sets} are called {sets[0]}_...: the Trainer will fail at its first "
                "evaluation."
            )
    elif trainer.compute_metrics is None:
        return (
            f"The Trainer's metric_for_best_model is {metric!r}, but without compute_metrics the "
            "evaluations report the loss alone: the Trainer will fail at its first evaluation."
        )
    return None


def _check_direction(args: Any, goal: Goal) -> None:
    metric = args.metric_for_best_model
    if metric is None or args.greater_is_better is None:
        return
    if f"eval_{metric.removeprefix('eval_')}" != goal.metric:
        return
    if bool(args.greater_is_better) != goal.greater_is_better:
        raise WatchArgumentError(
            f"for the goal a {_direction(goal.greater_is_better)} {goal.metric} is better, for the "
            f"TrainingArguments a {_direction(args.greater_is_better)} one "
            f"(greater_is_better={args.greater_is_better!r}): correct the one that is wrong"
        )


def _direction(greater: bool | None) -> str:
    return "greater" if greater else "smaller"


def _plain_evaluation(trainer: Any) -> bool:
    """Whether evaluation is transformers' own, so that its metrics are known beforehand."""
    for name in ("evaluate", "evaluation_loop", "log"):
        owner = next(kind for kind in type(trainer).__mro__ if name in vars(kind))
        if owner.__module__.split(".")[0] != "transformers" or name in vars(trainer):
            return False
    return True


def evaluates(args: Any, trainer: Any | None) -> bool:
    """Whether the run will measure anything on the way."""
    strategy = str(getattr(args.eval_strategy, "value", args.eval_strategy))
    evaluates_at_all = strategy != "no" or bool(args.eval_on_start)
    if trainer is None or not _plain_evaluation(trainer):
        return evaluates_at_all
    return evaluates_at_all and trainer.eval_dataset is not None


def run_plan(
    goal: Goal, args: Any, state: Any, given: dict[str, Any], trainer: Any | None, task: str | None
) -> RunRecord:
    """The run as a record before its first step.

    Args:
        goal: what it is judged by.
        args: its TrainingArguments.
        state: its TrainerState.
        given: what a Trainer hands to every callback: model, scheduler, loaders.
        trainer: the Trainer, None if it is not known.
        task: name under which runs are comparable; None: made from model and data.
    """
    loader = given.get("train_dataloader")
    plan = plan_of(
        trainer,
        args,
        # SetFit hands its callbacks a model that wraps the trained one.
        given["model"] if trainer is None else trainer.model,
        max_steps=state.max_steps,
        schedule=scheduler_rates(given.get("lr_scheduler"), state.max_steps),
        steps_per_epoch=_steps_per_epoch(args, state, loader),
        loader=loader,
        task=task,
    )
    sets = None if trainer is None else goal_sets(trainer.eval_dataset, goal.metric)
    labels = eval_labels(trainer, sets)
    return plan.with_baseline(goal, trivial_baseline(goal, labels=labels))


def plan_of(
    trainer: Any | None,
    args: Any,
    model: Any,
    *,
    max_steps: int,
    schedule: np.ndarray | None,
    steps_per_epoch: float | None,
    loader: Any = None,
    task: str | None = None,
) -> RunRecord:
    """A run before its first step, as pre-flight and watcher describe it alike.

    Args:
        trainer: the Trainer, None if it is not known.
        args: its TrainingArguments.
        model: what is trained.
        max_steps: planned optimizer steps.
        schedule: (n_rates,) learning rates at the `schedule_steps`; None: unknown.
        steps_per_epoch: optimizer steps in one pass over the data; None: unknown.
        loader: the training data loader, where the Trainer is not known.
        task: name under which runs are comparable; None: made from model and data.
    """
    kind = "Trainer" if trainer is None else type(trainer).__name__
    settings = run_settings(args, model, kind, max_steps)
    if trainer is not None and is_policy_gradient(type(trainer)):
        settings |= declared(reinforcement_learning=True)  # losses near zero mean nothing there
    return RunRecord(
        max_steps=max_steps,
        schedule=schedule,
        steps_per_epoch=steps_per_epoch,
        status="running",
        task=task or task_name(model, loader, trainer),
        seed=args.seed,
        load_best=bool(args.load_best_model_at_end),
        selection=model_selection(args),
        settings=settings,
    )


def is_policy_gradient(kind: type) -> bool:
    """Whether a Trainer's class is one of TRL's policy-gradient trainers."""
    names = {base.__name__ for base in kind.__mro__ if base.__module__.split(".")[0] == "trl"}
    return any(name.startswith(_POLICY_GRADIENT) for name in names)


def _steps_per_epoch(args: Any, state: Any, loader: Any) -> float | None:
    if has_length(loader):
        return float(max(1, -(-len(loader) // args.gradient_accumulation_steps)))
    if args.max_steps <= 0 and args.num_train_epochs > 0:
        return float(state.max_steps / args.num_train_epochs)
    return None


def eval_labels(trainer: Any | None, sets: Any) -> np.ndarray | None:
    """Targets of the goal's evaluation set, where it keeps them in a column (`known_targets`).

    Args:
        trainer: the Trainer, None if it is not known.
        sets: the evaluation set, or the named ones that the goal needs; None: there is none.
    """
    if trainer is None or sets is None:
        return None
    parts = list(sets.values()) if isinstance(sets, dict) else [sets]
    if len(parts) != 1:
        return None
    data = parts[0]
    size = length_of(data)
    if size is not None and size > _MAX_LABELS and isinstance(data, Dataset):
        data = data.select(range(0, size, -(-size // _MAX_LABELS)))
    return known_targets(data, list(trainer.label_names or []))


def evaluations(args: Any, plan: RunRecord) -> int:
    """Evaluations of the full run."""
    per_epoch = int(plan.steps_per_epoch or plan.max_steps)
    return planned_evaluations(args, plan.max_steps, per_epoch)
