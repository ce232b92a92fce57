"""What a Trainer says about its full run: arguments, data, scheduler."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from hf_ftrisk.record import ModelSelection
from hf_ftrisk.record.columns import schedule_steps
from hf_ftrisk.record.settings import declared

_MAX_SIMULATED = 50_000  # steps of a scheduler that can only be stepped through


def scheduler_rates(scheduler: Any, max_steps: int, first: int = 0) -> np.ndarray | None:
    """(n_rates,) learning rates that a scheduler plans at `schedule_steps`; it is only read.

    Args:
        scheduler: a scheduler of torch or transformers, or accelerate's wrapper of one.
        max_steps: planned optimizer steps.
        first: step the plan begins at. Schedulers that can only be stepped through begin where
            they stand.

    Returns:
        None when the rates depend on what happens in the run, cannot be told without running it,
        or the scheduler is of another kind.
    """
    if isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR):
        rate, factor = float(scheduler.base_lrs[0]), scheduler.lr_lambdas[0]
        rate_steps = schedule_steps(max_steps).tolist()
        return np.array([rate * factor(first + step) for step in rate_steps])
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    if not isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler) or isinstance(
        scheduler, plateau
    ):
        return None
    if max_steps > _MAX_SIMULATED or scheduler.last_epoch != first:
        return None
    dummy = _optimizer_like(scheduler.optimizer)
    # Every reference to the optimizer, nested schedulers' too, becomes one to the dummy.
    twin = copy.deepcopy(scheduler, {id(scheduler.optimizer): dummy})
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the dummy steps without a scheduler's hook
        for _ in range(max_steps):
            rates.append(float(dummy.param_groups[0]["lr"]))
            dummy.step()
            twin.step()
    return np.asarray(np.array(rates)[schedule_steps(max_steps)])


def begin_at(scheduler: Any, step: int) -> None:
    """Let a schedule of torch or transformers begin at this of its steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer has not stepped
        for _ in range(step):
            scheduler.step()


def sampling_seed(args: Any) -> int:
    """Seed of what is drawn from the data: ``data_seed``, else ``seed``."""
    return int(args.seed if args.data_seed is None else args.data_seed)


def optimizer_name(args: Any) -> str:
    """What was given as ``optim``; transformers holds it as an enumeration, tests as a word."""
    return str(getattr(args.optim, "value", args.optim))


def _optimizer_like(optimizer: Any) -> torch.optim.Optimizer:
    """An optimizer with the same settings in its groups, over one number each."""
    dummy = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)
    dummy.param_groups = [
        {
            **dummy.param_groups[0],
            **{key: copy.deepcopy(value) for key, value in group.items() if key != "params"},
            "params": [torch.zeros(1, requires_grad=True)],
        }
        for group in optimizer.param_groups
    ]
    return dummy


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


def generates_text(args: Any) -> bool:
    """Whether an evaluation generates text, which costs far more than a forward pass."""
    by_policy = getattr(args, "num_generations", None) is not None  # TRL's GRPO and RLOO
    return by_policy or bool(getattr(args, "predict_with_generate", False))  # Seq2SeqTrainer


def rows_in_batch(args: Any, batch: int, which: Literal["train", "eval"]) -> int:
    """Rows of the data set in a batch, 1 at least.

    TRL's GRPO and RLOO count the completions: each row of theirs is a prompt with several.

    Args:
        args: the Trainer's arguments.
        batch: its batch size, over all ranks.
        which: the set that the batch is of.
    """
    each = getattr(args, "num_generations", None) or 1
    if which == "eval":
        each = getattr(args, "num_generations_eval", None) or each
    return max(1, batch // each)


def builds_own_loader(trainer: Any, which: Literal["train", "eval"]) -> bool:
    """Whether the Trainer's class builds the data loader of a set itself."""
    from transformers import Trainer

    method = f"get_{which}_dataloader"
    return getattr(type(trainer), method) is not getattr(Trainer, method)


def model_selection(args: Any) -> ModelSelection | None:
    """What the TrainingArguments choose the best checkpoint by, in the direction they say."""
    return ModelSelection.named(args.metric_for_best_model, args.greater_is_better)


def run_settings(args: Any, model: Any, trainer: str, max_steps: int) -> dict[str, Any]:
    """JSON scalars that describe the run.

    Args:
        args: its TrainingArguments.
        model: the model that is trained.
        trainer: name of the Trainer's class.
        max_steps: planned optimizer steps.
    """
    parameters = list(model.parameters())
    config = getattr(model, "config", None)
    loaded_from = str(getattr(config, "_name_or_path", "") or "")
    return declared(
        model=loaded_from or type(model).__name__,
        pretrained=is_pretrained(model),
        trainer=trainer,
        parameters=sum(p.numel() for p in parameters),
        trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        method="full" if all(p.requires_grad for p in parameters) else "partial",
        **_adapter_kind(model),
        max_steps=max_steps,
        batch_size=args.per_device_train_batch_size,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        world_size=args.world_size,
        learning_rate=args.learning_rate,
        lr_scheduler_type=str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)),
        optimizer=optimizer_name(args),
        weight_decay=args.weight_decay,
        max_grad_norm=args.max_grad_norm,
        precision="bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
    )


def _adapter_kind(model: Any) -> dict[str, Any]:
    """The setting ``peft_type``, such as ``lora``; empty without an adapter of PEFT's."""
    from peft import PeftModel, PeftType

    if not isinstance(model, PeftModel):
        return {}
    kind = model.peft_config[model.active_adapters[0]].peft_type
    return {} if kind is None else declared(peft_type=PeftType(kind).value.lower())


def is_pretrained(model: torch.nn.Module) -> bool | None:
    """Whether the weights were trained before; None where they do not show it.

    Read off the weights of the normalization layers: every library starts them all at one value,
    and any training moves them apart. The name in the configuration proves nothing, since
    ``from_config`` keeps it and draws the weights at random.

    Args:
        model: as it is before the run's first step.
    """
    weights = [
        weight.detach()
        for module in model.modules()
        if "norm" in type(module).__name__.lower()
        for name, weight in module.named_parameters(recurse=False)
        if name == "weight" and weight.ndim == 1 and weight.numel() > 1 and not weight.is_meta
    ]
    if not weights:
        return None
    return any(bool((weight != weight[0]).any()) for weight in weights)


def length_of(dataset: Any) -> int | None:
    """Rows of a data set, None if it has no length."""
    try:
        return len(dataset)
    except (TypeError, NotImplementedError):
        return None


def goal_sets(eval_dataset: Any, metric: str) -> Any:
    """Of several named evaluation sets, those the goal's metric is computed on.

    Trainer names the metrics of set ``"dev"`` ``eval_dev_...``. All sets when none fits.
    """
    if not isinstance(eval_dataset, dict):
        return eval_dataset
    fitting = {
        name: data for name, data in eval_dataset.items() if metric.startswith(f"eval_{name}_")
    }
    return fitting or eval_dataset


# Tags are told from the tokens that a language model writes: of those there are more, most of them
# rare.
_MAX_TAGS, _PER_TAG = 1000, 20
# Rows with several labels each that are read.
_MAX_ROWS = 2000


def class_labels(eval_dataset: Any, label_names: list[str]) -> np.ndarray | None:
    """(n,) class indices of an evaluation set that keeps them in a column, None otherwise.

    A list of rows is read as well; a stream is not, nor a data set that computes its rows.
    """
    for name in (*label_names, "label"):
        values = _column(eval_dataset, name)
        if values and all(isinstance(v, Integral) and not isinstance(v, bool) for v in values):
            return np.asarray(values)
    return None


def known_targets(eval_dataset: Any, label_names: list[str]) -> np.ndarray | None:
    """Targets of an evaluation set that keeps them in a column, where a constant can meet them.

    Returns:
        (n,) class indices of rows, or of all tokens of a tagger's rows; (n,) numbers;
        (n, n_labels) zeros and ones, of rows with several labels. None where there is no such
        column, or targets are texts.
    """
    for name in (*label_names, "label"):
        first = _column(eval_dataset, name, slice(1))
        if first and np.ndim(first[0]) > 0:
            # Evenly spread rows: the tokens of a large set are too many to read before a run.
            step = max(1, -(-len(eval_dataset) // _MAX_ROWS))
            return _of_several(_column(eval_dataset, name, slice(None, None, step)) or [])
    classes = class_labels(eval_dataset, label_names)
    if classes is not None:
        return classes
    for name in (*label_names, "label"):
        values = _column(eval_dataset, name)
        if values:
            return _numbers(values)
    return None


def _numbers(values: list[Any]) -> np.ndarray | None:
    """(n,) finite numbers, None where they are anything else."""
    if not all(isinstance(value, Real) for value in values):
        return None
    numbers = np.asarray(values, dtype=np.float64)
    return numbers if np.isfinite(numbers).all() else None


def _of_several(values: list[Any]) -> np.ndarray | None:
    """Labels of tokens (n,), or zeros and ones (n, n_labels) of rows with several labels."""
    rows = [np.asarray(value) for value in values]
    if any(row.ndim != 1 or row.dtype.kind not in "iuf" for row in rows):
        return None
    if all(row.dtype.kind == "f" for row in rows):
        alike = len({row.size for row in rows}) == 1 and rows[0].size > 0
        labels = np.stack(rows) if alike else np.zeros((0, 0))
        return labels if labels.size and np.isin(labels, (0.0, 1.0)).all() else None
    tags = np.concatenate(rows)
    tags = tags[tags >= 0]
    kinds = np.unique(tags).size
    is_tagger = 0 < kinds <= min(_MAX_TAGS, tags.size / _PER_TAG) and tags.dtype.kind in "iu"
    return tags if is_tagger else None


def _column(dataset: Any, name: str, rows: slice = slice(None)) -> list[Any] | None:
    """Values of a column of a data set, or of a list of mappings; None where there is none."""
    if isinstance(dataset, list | tuple):
        named = all(isinstance(row, Mapping) and name in row for row in dataset)
        return [row[name] for row in dataset[rows]] if named else None
    columns = getattr(dataset, "column_names", None)
    if not isinstance(columns, list) or name not in columns or length_of(dataset) is None:
        return None
    return list(dataset.with_format(None)[name][rows])


def task_name(model: Any, loader: Any, trainer: Any | None) -> str:
    """Name of the task from its model and data: runs that share it are comparable.

    ``BertForSequenceClassification prajjwal1/bert-tiny, 67349 rows (input_ids, labels), eval 872``
    """
    config = getattr(model, "config", None)
    path = str(getattr(config, "_name_or_path", "") or "")
    # A folder's place differs from machine to machine; its name is what stays.
    parts = [type(model).__name__, Path(path).name if Path(path).is_absolute() else path]
    text = " ".join(part for part in parts if part)
    data = getattr(loader, "dataset", None) if trainer is None else trainer.train_dataset
    size = length_of(data)
    columns = getattr(data, "column_names", None)
    text += f", {size if size is not None else 'streamed'} rows"
    if isinstance(columns, list):
        text += f" ({', '.join(sorted(columns))})"
    held_out = None if trainer is None else trainer.eval_dataset
    if held_out is not None:
        sets = held_out if isinstance(held_out, dict) else {"": held_out}
        sizes = [f"{name} {length_of(part)}".strip() for name, part in sets.items()]
        text += f", eval {', '.join(sizes)}"
    return text
