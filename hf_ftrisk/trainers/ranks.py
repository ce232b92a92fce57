"""Processes that train together see one run: same values, same decision, same step.

Everything here is a collective: each rank calls it at the same point of the run.
"""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


class Ranks:
    """The processes of one training.

    Args:
        device: where this rank's tensors are reduced.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        together = dist.is_available() and dist.is_initialized()
        self.size = dist.get_world_size() if together else 1
        self.rank = dist.get_rank() if together else 0

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which judges for all."""
        return self.rank == 0

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over the ranks of `values` (n,), on the CPU; a NaN on one rank is one on all."""
        if self.size > 1:
            values = values.to(self._device, copy=True)
            dist.all_reduce(values)
            values /= self.size
        return values.cpu()

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set on any rank."""
        if self.size == 1:
            return flag
        flags = torch.tensor([float(flag)], device=self._device)
        dist.all_reduce(flags)
        return bool(flags.item() > 0)

    def from_main(self, value: T) -> T:
        """Rank 0's `value`, on every rank."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self._device)
        return box[0]
