"""One probe of a Trainer: real optimizer steps of the full run, left and resumed at will.

The loop mirrors `Trainer._run_epoch`, call for call in the order that draws random numbers, so
that probe 0 *is* the beginning of the real run: same losses, bit for bit.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hf_ftrisk.errors import PreflightError
from hf_ftrisk.probing.trainer.bounded import bounded_evaluation
from hf_ftrisk.probing.workload import Evaluation, Facts, ProbeLog, Processes
from hf_ftrisk.record import RunRecord
from hf_ftrisk.signals.steps import StepMeter
from hf_ftrisk.trainers.memory import peak_memory
from hf_ftrisk.trainers.state import RngState, Storage, TensorSnapshot, keep_tensor


@dataclass(frozen=True)
class ProbeEngine:
    """What a probe trains with, all of it private to the probe except the model.

    Args:
        shadow: shadow copy of the user's Trainer.
        wrapped: the model as the training step sees it (DDP, compiled, ...).
        loader: training data loader in this probe's order.
        updates_per_epoch: optimizer steps in one pass over the data.
        batches_per_epoch: batches in one pass over the data.
    """

    shadow: Any
    wrapped: nn.Module
    loader: Any
    updates_per_epoch: int
    batches_per_epoch: int


class TrainerProbe:
    """A probe of a Trainer with its own data order, dropout, head, optimizer and schedule.

    Args:
        engine: what it trains with.
        facts: what is known of the full run.
        seed: its seed.
        tensors: everything training changes in the model.
        storage: where its weights wait while another probe trains.
        ranks: the processes in lockstep.
    """

    def __init__(
        self,
        engine: ProbeEngine,
        facts: Facts,
        seed: int,
        tensors: list[torch.Tensor],
        storage: Storage,
        ranks: Processes,
    ) -> None:
        self._ranks = ranks
        self.seed = seed
        self.step = 0
        self._engine = engine
        self._facts = facts
        self._tensors = tensors
        self._storage = storage
        self.log = ProbeLog()
        self._updates = self._batches()
        self._meter = StepMeter(engine.shadow.optimizer)
        self._kept: TensorSnapshot | None = None
        self._rng: RngState | None = None
        self._scale: dict[str, Any] | None = None

    # --- leaving and resuming -------------------------------------------------------------------

    def suspend(self) -> None:
        """Put weights, optimizer state and random numbers aside for another probe's turn."""
        self._kept = TensorSnapshot.take(self._tensors, self._storage)
        self._rng = RngState.capture()
        scaler = self._engine.shadow.accelerator.scaler
        self._scale = scaler.state_dict() if scaler is not None else None
        self._move_optimizer_state(to_device=False)

    def set_eval_sample(self, sample: Any) -> None:
        """The rows this probe is evaluated on."""
        self._engine.shadow.eval_dataset = sample

    def enter(self) -> None:
        """Make accelerate see this probe's model and optimizer alone."""
        accelerator = self._engine.shadow.accelerator
        accelerator._models[:] = [self._engine.wrapped]
        # Unscaling goes over every optimizer in this list: only this probe's may be in it.
        accelerator._optimizers[:] = [self._engine.shadow.optimizer]

    def resume(self) -> None:
        """Take the model back where this probe left it."""
        self.enter()
        accelerator = self._engine.shadow.accelerator
        if self._kept is None or self._rng is None:
            return
        self._kept.restore()
        self._rng.restore()
        if self._scale is not None:
            accelerator.scaler.load_state_dict(self._scale)
        self._move_optimizer_state(to_device=True)
        self._kept = self._rng = self._scale = None

    def _move_optimizer_state(self, *, to_device: bool) -> None:
        optimizer = self._engine.shadow.optimizer
        for parameter, state in optimizer.state.items():
            if parameter.device.type == "cpu" or self._storage == "device":
                continue
            for name, value in state.items():
                # "step" counters may live on the CPU by design: only what is per weight moves.
                if isinstance(value, torch.Tensor) and value.numel() > 1:
                    state[name] = (
                        value.to(parameter.device)
                        if to_device
                        else keep_tensor(value, self._storage)
                    )

    def close(self) -> None:
        """Drop loaders (and their workers), optimizer and copies."""
        self._updates.close()
        self._kept = self._rng = None

    # --- training -------------------------------------------------------------------------------

    def advance(self, step: int) -> None:
        """Train up to optimizer step `step`; stops early at a non-finite loss."""
        losses: list[torch.Tensor] = []
        entries: list[dict[str, float]] = []
        while self.step < step and not self.log.diverged:
            start = time.perf_counter()
            loss, norm, rate = self._train_step()
            losses.append(loss)
            entries.append({"step": self.step, "grad_norm": float(norm), "learning_rate": rate})
            self._watch(loss, entries[-1]["grad_norm"])
            self.log.step_seconds.append(time.perf_counter() - start)
        # Brought over together: each would wait for the device.
        for entry, mean in zip(entries, self._mean_over_ranks(losses), strict=True):
            self.log.entries.append({"loss": mean, **entry})

    def _watch(self, loss: torch.Tensor, norm: float) -> None:
        """Count non-finite steps; the same on every rank, for the norm is."""
        if math.isfinite(norm):
            self.log.non_finite = 0
            return
        if not math.isfinite(self._mean_over_ranks([loss])[0]):
            self.log.non_finite += 1

    def _mean_over_ranks(self, losses: list[torch.Tensor]) -> list[float]:
        if not losses:
            return []
        stacked = torch.stack([loss.float() for loss in losses])
        accelerator = self._engine.shadow.accelerator
        if accelerator.num_processes > 1:
            stacked = accelerator.reduce(stacked, reduction="mean")
        return [float(value) for value in stacked.tolist()]

    def _batches(self) -> Generator[tuple[int, int, list[Any], Any], None, None]:
        """(epoch, index of the first batch, micro-batches, items in them) of each update."""
        shadow, loader = self._engine.shadow, self._engine.loader
        accumulation = shadow.args.gradient_accumulation_steps
        remainder = self._engine.batches_per_epoch % accumulation or accumulation
        epoch = 0
        while True:
            _set_epoch(loader, epoch)
            iterator = iter(loader)
            last = self._engine.updates_per_epoch - 1
            for update in range(self._engine.updates_per_epoch):
                count = accumulation if update != last else remainder
                samples, items = shadow.get_batch_samples(iterator, count, shadow.args.device)
                if not samples:
                    if update == 0:
                        raise PreflightError(
                            f"the training data gave no batch in epoch {epoch}: an iterable data "
                            "set must start anew at each iter()"
                        )
                    break
                yield epoch, update * accumulation, samples, items
            epoch += 1

    def _train_step(self) -> tuple[torch.Tensor, Any, float]:
        shadow, model = self._engine.shadow, self._engine.wrapped
        args, accelerator = shadow.args, shadow.accelerator
        epoch, first, samples, items = next(self._updates)
        shadow.current_gradient_accumulation_steps = len(samples)
        total = torch.zeros((), device=args.device)
        for index, inputs in enumerate(samples):
            last = index == len(samples) - 1
            accelerator.gradient_state._set_sync_gradients(last)
            sync_each = accelerator.gradient_state.plugin_kwargs.get("sync_each_batch", False)
            context = (
                contextlib.nullcontext
                if last or sync_each
                else functools.partial(accelerator.no_sync, model=model)
            )
            with context():
                total = total + shadow.training_step(model, inputs, items).to(total.device)
            self.log.flops += float(shadow.floating_point_ops(inputs))
        self.log.peak = peak_memory(args.device, self.log.peak)
        limit = args.max_grad_norm if args.max_grad_norm and args.max_grad_norm > 0 else math.inf
        norm = accelerator.clip_grad_norm_(model.parameters(), limit)
        # Not hooked into the optimizer: a copy of the user's shares its table of hooks.
        self._meter.before_step()
        shadow.optimizer.step()
        self._meter.after_step()
        rate = shadow._get_learning_rate()
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
        if not accelerator.optimizer_step_was_skipped and not isinstance(
            shadow.lr_scheduler, plateau
        ):
            shadow.lr_scheduler.step()
        model.zero_grad()
        self.step += 1
        state = shadow.state
        state.global_step = self.step
        state.epoch = epoch + (first + len(samples)) / self._engine.batches_per_epoch
        return total, norm, rate

    def step_columns(self) -> dict[str, np.ndarray]:
        """Update-to-weight ratios and cosines between neighboring gradients."""
        return self._meter.columns()

    # --- evaluation and record ------------------------------------------------------------------

    def evaluate(self, limit: float | None = None, *, untrained: bool = False) -> Evaluation:
        """Metrics on the fixed sample; random numbers go on as if it had not happened.

        Args:
            limit: seconds after which no other batch is begun; None: any.
            untrained: the model holds its weights from before the first step, of which this
                probe's optimizer knows nothing.
        """
        shadow = self._engine.shadow
        optimizer = shadow.optimizer
        if untrained:
            shadow.optimizer = None
        try:
            return bounded_evaluation(shadow, limit, self._ranks)
        finally:
            shadow.optimizer = optimizer
            shadow.state.log_history.clear()

    def record(self, evals: Mapping[int, Mapping[str, float]]) -> RunRecord:
        """The trajectory so far, with the evaluations that were done (step -> metrics)."""
        return self.log.record(self._facts, self.seed, evals)


def _set_epoch(loader: Any, epoch: int) -> None:
    """Tell loader and sampler the epoch, as Trainer does."""
    if hasattr(loader, "set_epoch"):
        loader.set_epoch(epoch)
    sampler: Any = getattr(getattr(loader, "batch_sampler", None), "batch_sampler", None)
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
