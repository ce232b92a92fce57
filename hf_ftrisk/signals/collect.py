"""Signals and batches of a Trainer that has not trained yet, leaving no trace on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from hf_ftrisk.record.columns import rate_sum
from hf_ftrisk.signals.dataset import dataset_signals
from hf_ftrisk.signals.deadline import Deadline
from hf_ftrisk.signals.model.batches import Batch, LossFunction, row_classes
from hf_ftrisk.signals.model.compatibility import compatibility_signals
from hf_ftrisk.signals.model.movement import PlannedSteps, Update, update_of
from hf_ftrisk.signals.model.transfer import load_libraries
from hf_ftrisk.signals.sample import DataSample, sample_rows
from hf_ftrisk.trainers.facts import builds_own_loader, length_of, optimizer_name, sampling_seed
from hf_ftrisk.trainers.shadow import bookkeeping_copy, planned_rates
from hf_ftrisk.trainers.state import random_states_kept

# Of either set: rows for the data-set signals, batches that the model sees.
MAX_ROWS = 1000
MAX_BATCHES = 32


@dataclass(frozen=True, eq=False)
class CollatedSample:
    """Rows of one data set as the Trainer's own collator batches them.

    Args:
        batches: collated batches on the CPU, in the order of the rows.
        n_rows: rows of the whole set, None for a stream.
        n_sampled: rows that were read and collated.
        texts: texts of the rows where the data set still holds them.
    """

    batches: tuple[dict[str, Any], ...] = ()
    n_rows: int | None = None
    n_sampled: int = 0
    texts: tuple[str, ...] = field(default=())


def trainer_loss(trainer: Any) -> LossFunction:
    """The Trainer's own ``compute_loss`` as a function of model and batch, without bookkeeping."""
    shadow = bookkeeping_copy(trainer)

    def loss(model: torch.nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        inputs = shadow._prepare_inputs(dict(batch))
        with shadow.compute_loss_context_manager():
            value = shadow.compute_loss(model, inputs)
        assert isinstance(value, torch.Tensor)
        return value

    return loss


def collated_sample(
    trainer: Any,
    data: Any,
    *,
    max_rows: int,
    batch_size: int,
    seed: int,
    deadline: Deadline | None = None,
    growing: bool = False,
    min_over_ranks: Callable[[int], int] | None = None,
) -> CollatedSample:
    """At most `max_rows` rows of `data`, batched by the Trainer's collator on this process alone.

    Args:
        trainer: the Trainer.
        data: one of its data sets, or None.
        max_rows: rows to read at most.
        batch_size: rows of a batch.
        seed: of the sampling.
        deadline: ends reading, for which it leaves half of its time, and collating.
        growing: the first batches have 2, 4, 8, ... rows.
        min_over_ranks: turns this rank's number of rows into the least of all ranks'.

    Columns the model does not take are dropped as the Trainer drops them. No data loader is built,
    so the accelerator keeps no trace of it, and the random states stay.
    """
    if data is None:
        return CollatedSample()
    collate = _own_collator(trainer)
    stream = True if isinstance(data, torch.utils.data.IterableDataset) else None
    deadline = deadline or Deadline()
    batches: list[dict[str, Any]] = []
    with random_states_kept():
        # Ranks read by their own clocks, and go on with what all of them have.
        time = deadline.part(0.5).alone()
        rows, n_rows = sample_rows(data, max_rows, seed, time, stream=stream)
        if min_over_ranks is not None:
            rows = rows[: min_over_ranks(len(rows))]
        start = 0
        for size in _batch_sizes(batch_size, growing):
            if start >= len(rows) or (batches and deadline.passed()):
                break
            batch = collate([_plain_row(row) for row in rows[start : start + size]])
            if not isinstance(batch, Mapping):
                # Rows as they are: the Trainer makes its batches as it trains (TRL's GRPO).
                return CollatedSample(n_rows=n_rows)
            batches.append(dict(batch))
            start += size
    texts = tuple(_text(row) for row in rows[:start])
    return CollatedSample(
        tuple(batches), n_rows, min(start, len(rows)), texts if any(texts) else ()
    )


def _own_collator(trainer: Any) -> Any:
    """The Trainer's collator, which drops columns that the model does not take.

    A Trainer with data loaders of its own for models of its own (sentence-transformers) hands its
    collator the rows whole.
    """
    from peft import PeftModel
    from transformers import PreTrainedModel

    own_loader = builds_own_loader(trainer, "train")
    if own_loader and not isinstance(trainer.model, PreTrainedModel | PeftModel):
        return trainer.data_collator
    return bookkeeping_copy(trainer)._get_collator_with_removed_columns(trainer.data_collator)


def _batch_sizes(batch_size: int, growing: bool) -> Iterator[int]:
    """Rows of one batch after the other.

    Two to begin with, not one: losses that compare the rows of a batch, or squeeze its dimensions,
    may fail on a single row that the run itself never sees.
    """
    size = min(2, batch_size) if growing else batch_size
    while True:
        yield size
        size = min(2 * size, batch_size)


def _plain_row(row: Any) -> Any:
    return dict(row) if isinstance(row, Mapping) else row


def _text(row: Any) -> str:
    if not isinstance(row, Mapping):
        return ""
    return " ".join(value for value in row.values() if isinstance(value, str))


def data_sample(trainer: Any, sample: CollatedSample) -> DataSample:
    """The rows of collated batches, padding removed, as the data-set signals read them.

    No length limit is stated where rows are longer or fewer than the data set's own: packed, or
    concatenated by a padding-free collator.
    """
    rows = [row for batch in sample.batches for row in batch_to_rows(batch)]
    config = getattr(trainer.model, "config", None)
    own_rows = len(rows) == sample.n_sampled and not getattr(trainer.args, "packing", False)
    read = DataSample.from_rows(
        rows,
        n_rows=sample.n_rows,
        texts=sample.texts if len(sample.texts) == len(rows) else None,
        encoder_decoder=bool(getattr(config, "is_encoder_decoder", False)),
    )
    return replace(read, max_length=length_limit(trainer, read.lengths)) if own_rows else read


def batch_to_rows(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One mapping of arrays for each row of a batch of tensors."""
    names = [
        name
        for name in ("input_ids", "attention_mask", "labels")
        if isinstance(batch.get(name), torch.Tensor) and batch[name].ndim
    ]
    columns = {name: batch[name].numpy(force=True) for name in names}
    n_rows = min((len(column) for column in columns.values()), default=0)
    return [{name: columns[name][i] for name in names} for i in range(n_rows)]


def length_limit(trainer: Any, lengths: np.ndarray) -> int | None:
    """Tokens a row is cut at, None if unknown.

    The Trainer's ``max_length``, or the tokenizer's, or below both the length at which rows pile
    up: scripts often cut at a limit of their own. A tokenizer without a limit reports a huge one.

    Args:
        trainer: any Trainer.
        lengths: (n,) tokens of its training rows.
    """
    stated = [
        getattr(owner, name, None)
        for owner, name in (
            (trainer.args, "max_length"),
            (trainer.processing_class, "model_max_length"),
        )
    ]
    limits = [limit for limit in stated if isinstance(limit, int) and 0 < limit < 10**6]
    piled = pile_up(lengths)
    return min([*limits, *([] if piled is None else [piled])], default=None)


def pile_up(lengths: np.ndarray) -> int | None:
    """The greatest of the lengths (n,), if rows were evidently cut there; else None.

    Evidently: at least 5 rows and 2 % of them have it, ten times as many as have any of the ten
    lengths below it, and rows of equal length are not the rule.
    """
    if lengths.size == 0:
        return None
    top = int(lengths.max())
    at_top = int((lengths == top).sum())
    if at_top < max(5, 0.02 * lengths.size) or at_top > 0.9 * lengths.size:
        return None
    below = [int((lengths == top - k).sum()) for k in range(1, 11)]
    return top if at_top >= 10 * max(*below, 1) else None


def first_eval_set(trainer: Any) -> Any:
    """The evaluation set; the first one when the Trainer holds several by name."""
    data = trainer.eval_dataset
    if isinstance(data, dict):
        return next(iter(data.values()), None)
    return data


def trainer_signals(
    trainer: Any,
    *,
    seconds: float | None = 15.0,
    summed_rates: float | None = None,
) -> dict[str, float]:
    """Data-set and compatibility signals of a Trainer before it trains; no trace is left on it.

    Args:
        trainer: any Trainer whose model fits one process.
        seconds: time for all of it: a sixth at most to read and collate each set, a fifth of the
            rest for the data, what is left for the model. A batch is begun only if it is expected
            to end in time, judged by the one before; the first has two rows. So what can exceed the
            limit is that one, or a batch that takes longer than expected. Several processes agree
            on each of these decisions. None: no limit.
        summed_rates: sum of the planned learning rates; None: by the Trainer's own arguments.

    Returns:
        Signals by name; those that the data or the model do not allow are missing. Every process
        computes the same rows and so the same values.
    """
    batch_size = trainer.args.per_device_train_batch_size
    several = trainer.accelerator.num_processes > 1
    deadline = Deadline(seconds, _agreement(trainer) if several else None)

    def collated(data: Any, share: float) -> CollatedSample:
        return collated_sample(
            trainer,
            data,
            max_rows=MAX_ROWS,
            batch_size=batch_size,
            seed=sampling_seed(trainer.args),
            deadline=deadline.part(share),
            growing=True,
            min_over_ranks=_min_over_ranks(trainer) if several else None,
        )

    train = collated(trainer.train_dataset, 1 / 6)
    if any(row_classes(batch) is not None for batch in train.batches[:1]):
        load_libraries()  # for the labels of rows: other runs do without
    held_out = collated(first_eval_set(trainer), 1 / 5)
    train_rows, held_out_rows = data_sample(trainer, train), data_sample(trainer, held_out)
    signals = dataset_signals(
        train_rows,
        held_out_rows if len(held_out_rows) else None,
        deadline=deadline.part(1 / 5).alone(),
    )
    return signals | compatibility_signals(
        trainer.model,
        train.batches[:MAX_BATCHES],
        _with_targets(trainer, train.batches, held_out.batches)[:MAX_BATCHES],
        loss=trainer_loss(trainer),
        learning_rate=trainer.args.learning_rate,
        planned=_planned_steps(trainer, summed_rates),
        train_tokens=_token_count(train_rows),
        deadline=deadline,
    )


def _planned_steps(trainer: Any, total: float | None) -> PlannedSteps:
    return PlannedSteps(
        planned_rate_sum(trainer) if total is None else total,
        first_update(trainer),
        max_grad_norm=trainer.args.max_grad_norm,
        momentum=_momentum(trainer.optimizer),
    )


def _token_count(rows: DataSample) -> float | None:
    """Tokens of the whole data set, from the rows that were read; None where that is not known."""
    if not rows.n_rows or not rows.lengths.size:
        return None
    return float(rows.lengths.mean()) * rows.n_rows


def _with_targets(
    trainer: Any, train: Sequence[Batch], held_out: Sequence[Batch]
) -> Sequence[Batch]:
    """The evaluation batches of which a loss can be taken.

    Question answering, for one, trains on positions and evaluates by text: its evaluation rows lack
    the targets that its training rows have.
    """
    names = [name for name in trainer.label_names or () if train and name in train[0]]
    return [batch for batch in held_out if all(name in batch for name in names)]


def first_update(trainer: Any) -> Update | None:
    """What the optimizer's first step follows: the gradient, its sign, or None if unknown."""
    optimizer = trainer.optimizer
    if optimizer is None:
        return update_of(optimizer_name(trainer.args))
    return update_of(type(getattr(optimizer, "optimizer", optimizer)).__name__)


def _momentum(optimizer: Any) -> float:
    """Momentum of an SGD that was given to the Trainer; the Trainer's own has none."""
    return 0.0 if optimizer is None else float(optimizer.param_groups[0].get("momentum", 0.0))


def planned_rate_sum(trainer: Any) -> float | None:
    """Sum of the learning rates by the Trainer's arguments; None where they cannot be told.

    Where a schedule was given, or the length of the run depends on what the data turn out to be,
    the run itself has to tell.
    """
    args, n_rows = trainer.args, length_of(trainer.train_dataset)
    max_steps = args.max_steps
    if max_steps <= 0:
        if n_rows is None:
            return None
        batch = args.per_device_train_batch_size * max(1, args.world_size)
        updates = math.ceil(math.ceil(n_rows / batch) / args.gradient_accumulation_steps)
        max_steps = math.ceil(args.num_train_epochs * max(1, updates))
    if trainer.lr_scheduler is not None:
        return None
    rates = planned_rates(bookkeeping_copy(trainer), max_steps)
    return None if rates is None else rate_sum(rates, max_steps)


def _min_over_ranks(trainer: Any) -> Callable[[int], int]:
    def fewest(count: int) -> int:
        counts = trainer.accelerator.gather(
            torch.tensor([count], device=trainer.accelerator.device)
        )
        return int(counts.min())

    return fewest


def _agreement(trainer: Any) -> Any:
    def agree(late: bool) -> bool:
        flag = torch.tensor([float(late)], device=trainer.accelerator.device)
        return bool(trainer.accelerator.reduce(flag, reduction="sum").item() > 0)

    return agree
