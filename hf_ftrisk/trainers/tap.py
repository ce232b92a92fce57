"""The exact loss and gradient norm of every optimizer step, without waiting for the device.

A Trainer hands its callbacks neither. Both pass through two methods of the instance, which are
wrapped while a run is watched: ``training_step`` returns each micro-batch's loss, scaled so that a
step's losses sum to what ``logging_steps=1`` would log; ``accelerator.clip_grad_norm_`` is called
once a step, clipping or not, and returns the norm before clipping.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.distributed.tensor import DTensor

from hf_ftrisk.failopen import Guard
from hf_ftrisk.trainers.ranks import note_lost_peer

# A loss that is a view of something larger would keep that alive until it is fetched.
_SMALL = 1024


@dataclass(frozen=True)
class Step:
    """Values of one optimizer step.

    Args:
        step: its number, from 1.
        loss: training loss, mean over the ranks.
        grad_norm: gradient norm before clipping, None if it was not computed, or computed where
            nobody could see the gradients.
        learning_rate: learning rate it was taken with, None if unknown.
    """

    step: int
    loss: float
    grad_norm: float | None
    learning_rate: float | None


class Tap(Protocol):
    """Brings the values of a run's steps."""

    def open(self) -> None:
        """Begin to listen."""

    def close(self) -> None:
        """Stop listening."""

    def before_optimizer(self, optimizer: Any) -> None:
        """The gradients of a step are complete, the optimizer has not stepped."""

    def end_step(self, step: int) -> None:
        """One optimizer step is over."""

    def fetch(self, mean: Callable[[torch.Tensor], torch.Tensor]) -> list[Step]:
        """The steps since the last fetch; this waits for the device.

        Args:
            mean: mean over the ranks of a tensor.
        """


@dataclass(slots=True)
class _Waiting:
    """What was taken down of one step, still on the device."""

    step: int
    losses: list[torch.Tensor]
    norm: Any
    rate: float | None
    unseen: bool = False


class Waiting:
    """Steps whose values have not been brought over from the device."""

    def __init__(self) -> None:
        self._steps: list[_Waiting] = []

    def add(
        self,
        step: int,
        losses: list[torch.Tensor],
        norm: Any,
        rate: float | None,
        unseen: bool = False,
    ) -> None:
        """One optimizer step.

        Args:
            step: its number, from 1.
            losses: losses of its micro-batches, scaled to sum to the step's.
            norm: gradient norm before clipping, None if it was not computed.
            rate: learning rate it was taken with, None if unknown.
            unseen: nobody could see its gradients.
        """
        self._steps.append(_Waiting(step, losses, norm, rate, unseen))

    def clear(self) -> None:
        """Forget them."""
        self._steps.clear()

    def fetch(self, mean: Callable[[torch.Tensor], torch.Tensor]) -> list[Step]:
        """All of them; this waits for the device.

        Args:
            mean: mean over the ranks of a tensor.
        """
        waiting, self._steps = self._steps, []
        if not waiting:
            return []
        losses = torch.stack([_sum(waited.losses) for waited in waiting])
        norms = [_plain(waited.norm, losses.device) for waited in waiting]
        known_norms = [norm for norm in norms if norm is not None]
        values = mean(
            torch.cat([losses, torch.stack(known_norms)]) if known_norms else losses
        ).tolist()
        other_values = iter(values[len(waiting) :])
        steps = []
        for index, waited in enumerate(waiting):
            norm = None if norms[index] is None else next(other_values)
            step_norm = None if waited.unseen and norm == 0.0 else norm
            steps.append(Step(waited.step, values[index], step_norm, waited.rate))
        return steps


class StepTap:
    """Takes down each step's values of a Trainer on the device.

    Args:
        trainer: the Trainer whose instance methods are wrapped.
        guard: runs a function of ours so that none of its faults reaches the training.
    """

    def __init__(self, trainer: Any, guard: Guard) -> None:
        self._trainer = trainer
        self._guard = guard
        self._losses: list[torch.Tensor] = []
        self._norm: Any = None
        self._rate: float | None = None
        self._unseen = False
        self._waiting = Waiting()
        self._undo: list[Callable[[], None]] = []

    def open(self) -> None:
        """Begin to listen."""
        self._wrap(self._trainer, "training_step", self._take_loss)
        self._wrap(self._trainer.accelerator, "clip_grad_norm_", self._take_norm)
        # A callback that raises ends the training, and no later event will come.
        self._wrap(self._trainer.callback_handler, "call_event", None)
        # The other places where ranks wait for one another, so that a lost one is named there.
        self._wrap(self._trainer, "get_batch_samples", None)
        self._wrap(self._trainer, "store_flos", None)
        self._wrap(self._trainer, "_maybe_log_save_evaluate", None)

    def close(self) -> None:
        """Stop listening and give the methods back."""
        while self._undo:
            self._undo.pop()()
        self._losses.clear()
        self._waiting.clear()
        self._norm = None

    def _wrap(self, owner: Any, name: str, take: Callable[[Any], None] | None) -> None:
        """Wrap a method: its result is taken down; when it fails, everything is given back."""
        original = getattr(owner, name)
        before = vars(owner).get(name)
        listening = [True]

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                note_lost_peer(error)
                self._guard(self.close)
                raise
            if take is not None and listening[0]:
                self._guard(take, result)
            return result

        def undo() -> None:
            listening[0] = False
            if vars(owner).get(name) is not wrapper:
                return  # somebody wrapped it again: stay in the chain, and be silent
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

        setattr(owner, name, wrapper)
        self._undo.append(undo)

    def _take_loss(self, loss: torch.Tensor) -> None:
        if loss.requires_grad:
            loss = loss.detach()
        if loss.untyped_storage().nbytes() > _SMALL:
            loss = loss.clone()
        self._losses.append(loss)

    def _take_norm(self, norm: Any) -> None:
        self._norm = norm

    def before_optimizer(self, optimizer: Any) -> None:
        """The gradients of a step are complete, the optimizer has not stepped."""
        groups = optimizer.param_groups
        rate = groups[0]["lr"]
        # A capturable optimizer keeps it on the device: reading it would wait.
        self._rate = float(rate) if isinstance(rate, int | float) else None
        # Optimizers that step inside the backward pass leave no gradient behind, and its norm is 0.
        self._unseen = not any(
            parameter.grad is not None for group in groups for parameter in group["params"]
        )

    def end_step(self, step: int) -> None:
        """One optimizer step is over."""
        if self._losses:
            self._waiting.add(step, self._losses, self._norm, self._rate, self._unseen)
        self._losses = []
        self._norm = None

    def fetch(self, mean: Callable[[torch.Tensor], torch.Tensor]) -> list[Step]:
        """The steps since the last fetch; this waits for the device."""
        return self._waiting.fetch(mean)


def _sum(losses: list[torch.Tensor]) -> torch.Tensor:
    """A step's loss, scalar, from its micro-batches' losses."""
    total = losses[0].float()
    for loss in losses[1:]:
        total = total + loss.float()
    return total if total.ndim == 0 else total.reshape(())


def _plain(norm: Any, device: torch.device) -> torch.Tensor | None:
    """A gradient norm as a scalar tensor; None for one that was not computed."""
    if norm is None:
        return None
    if type(norm) is torch.Tensor and norm.ndim == 0 and norm.device == device:
        return norm.float()
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    return torch.as_tensor(norm, dtype=torch.float32, device=device).reshape(())
