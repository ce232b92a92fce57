"""An evaluation that ends in time: its data loaders stop before the batch that would be too much.

What was seen until then is a whole evaluation of fewer rows, so no time is spent for nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate.data_loader import DataLoaderStateMixin
from transformers.trainer_pt_utils import find_batch_size
from transformers.trainer_utils import has_length

from hf_ftrisk.probing.workload import Batches, Evaluation, Processes
from hf_ftrisk.record.trainer_log import number
from hf_ftrisk.signals.ordering import ORDERING, class_ordering
from hf_ftrisk.trainers.facts import rows_in_batch
from hf_ftrisk.trainers.state import RngState


class EvalClock:
    """Times one evaluation of a Trainer and says when it has to end.

    Args:
        trainer: the shadow copy that evaluates.
        limit: seconds it may take; None: any.
        ranks: the processes in lockstep.
    """

    def __init__(self, trainer: Any, limit: float | None, ranks: Processes) -> None:
        self._lockstep = ranks
        self._device = trainer.args.device
        self._ranks = trainer.args.world_size
        self._args = trainer.args
        data = trainer.eval_dataset
        self._parts = len(data) if isinstance(data, dict) else 1
        # Metrics over all batches are computed at the last one: it must not be left out.
        self._limit = None if trainer.args.batch_eval_metrics else limit
        self._part = 0
        self._start = self.now()
        self._rows: list[int] = []
        self._known = True
        # (seconds, rows) of each batch, by set.
        self._before = 0.0
        self._timed: list[list[tuple[float, int]]] = []

    def now(self) -> float:
        """The time when everything queued on the device is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the evaluation began."""
        return self.now() - self._start

    @property
    def rows(self) -> int | None:
        """Rows seen, over all ranks; of several sets the least, times their number."""
        return min(self._rows) * len(self._rows) if self._rows and self._known else None

    @property
    def batches(self) -> Batches | None:
        """The time of the batches, over all sets; None before the first batch."""
        if not any(self._timed) or not self._known:
            return None
        seconds = sum(taken for batches in self._timed for taken, _ in batches)
        inner = [timed for batches in self._timed for timed in batches[1:-1]]
        inner_seconds = sum(taken for taken, _ in inner)
        return Batches(self._before, seconds, inner_seconds, sum(rows for _, rows in inner))

    def bounded(self, loader: Any) -> BoundedLoader:
        """`loader`, ended in time; one call for each evaluation set."""
        self._part += 1
        self._rows.append(0)
        self._timed.append([])
        return BoundedLoader(loader, self)

    def begin(self) -> float:
        """The time now, when the batches of a set begin."""
        now = self.now()
        if self._part == 1:
            self._before = now - self._start
        return now

    def count(self, batch: Any, n_rows: int | None, seconds: float) -> None:
        """Count the rows of a batch, of a set of `n_rows`, and its time."""
        size = find_batch_size(batch)
        if size is None and isinstance(batch, list):
            # Rows as they are: the Trainer makes its batches as it goes on (TRL's GRPO).
            size = len(batch)
        if size is None:
            self._known = False
            return
        before = self._rows[-1]
        rows = before + rows_in_batch(self._args, size * self._ranks, "eval")
        self._rows[-1] = rows if n_rows is None else min(rows, n_rows)
        self._timed[-1].append((seconds, self._rows[-1] - before))

    def ends(self, batch_seconds: float) -> bool:
        """Whether another batch of `batch_seconds` would exceed this set's part of the limit."""
        if self._limit is None:
            return False
        due = self._limit * self._part / self._parts
        return bool(self._lockstep.from_main(self.seconds + batch_seconds > due))


class BoundedLoader:
    """A data loader that ends when its clock says so, and is its original in all else."""

    def __init__(self, loader: Any, clock: EvalClock) -> None:
        self._loader = loader
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        clock, dataset = self._clock, getattr(self._loader, "dataset", None)
        n_rows = len(dataset) if has_length(dataset) else None
        batches = len(self._loader) if has_length(self._loader) else None
        begun, slowest = clock.begin(), 0.0
        for index, batch in enumerate(self._loader):
            # Everything done with a batch happens before the next one is asked for.
            yield batch
            now = clock.now()
            clock.count(batch, n_rows, now - begun)
            slowest, begun = max(slowest, now - begun), now
            if index + 1 != batches and clock.ends(slowest):
                self._leave()
                return

    def _leave(self) -> None:
        """Tell accelerate, which learns of it at the end of a loader alone."""
        if isinstance(self._loader, DataLoaderStateMixin):
            self._loader.end()


def bounded_evaluation(trainer: Any, limit: float | None, ranks: Processes) -> Evaluation:
    """An evaluation that ends in time; random numbers go on as if it had not happened.

    Args:
        trainer: evaluates its ``eval_dataset``.
        limit: seconds after which no other batch is begun; None: any.
        ranks: the processes in lockstep.
    """
    rng, log = RngState.capture(), trainer.state.log_history
    clock, loader_of = EvalClock(trainer, limit, ranks), trainer.get_eval_dataloader
    trainer.get_eval_dataloader = lambda *args, **kwargs: clock.bounded(loader_of(*args, **kwargs))
    before = len(log)
    try:
        with _orderings(trainer) as orderings:
            metrics = dict(trainer.evaluate())
        seconds = clock.seconds
    finally:
        del trainer.get_eval_dataloader
        rng.restore()
    # Trainers such as TRL's add metrics where they log.
    for entry in log[before:]:
        metrics.update({k: v for k, v in entry.items() if k.startswith("eval_")})
    numbers = {k: value for k, raw in metrics.items() if (value := number(raw)) is not None}
    unread = {k: raw for k, raw in metrics.items() if k not in numbers}
    return Evaluation(
        {**_mean(orderings), **numbers}, clock.rows, seconds, clock.batches, unread=unread
    )


@contextlib.contextmanager
def _orderings(trainer: Any) -> Iterator[list[float]]:
    """Collects how well scores order the rows of each set, where the Trainer hands them on.

    Without metrics to compute the Trainer keeps no scores, and some keep none of earlier batches.
    """
    areas: list[float] = []
    own = trainer.compute_metrics
    if own is None or trainer.args.batch_eval_metrics:
        yield areas
        return

    def computed(prediction: Any) -> Any:
        area = class_ordering(prediction.predictions, prediction.label_ids)
        if area is not None:
            areas.append(area)
        return own(prediction)

    trainer.compute_metrics = computed
    try:
        yield areas
    finally:
        trainer.compute_metrics = own


def _mean(orderings: Sequence[float]) -> dict[str, float]:
    return {ORDERING: sum(orderings) / len(orderings)} if orderings else {}
