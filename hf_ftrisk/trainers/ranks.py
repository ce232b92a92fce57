"""Processes that train together see one run: same values, same decision, same step.

Everything here is a collective: each rank calls it at the same point of the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist

from hf_ftrisk.errors import PeerFailedError

T = TypeVar("T")

# How gloo, NCCL and torch's store say that the process at the other end is not there any more.
# Most of it is a plain RuntimeError: the words are all there is to tell it by.
_LOST = re.compile(
    r"gloo.*(?:closed|closure|reset|refused|timed? ?out|pipe)|connection (?:closed|reset|refused)|"
    r"broken pipe|socket timeout|failed to recv|remote process has exited|nccl.*(?:error|timeout)|"
    r"monitoredbarrier|store.*(?:timed? ?out|wait|recv)|wait timeout after",
    re.IGNORECASE | re.DOTALL,
)
# What is said of it, whoever says it.
WENT_AWAY = (
    "another rank disappeared: it was killed, ran out of memory, ended with an error shown in its "
    "own output, or its machine or the network failed"
)


def is_lost_peer(error: BaseException) -> bool:
    """Whether a collective failed because the process at its other end is gone."""
    if isinstance(error, PeerFailedError | dist.DistNetworkError | dist.DistStoreError):
        return True
    return isinstance(error, RuntimeError | ConnectionError) and bool(_LOST.search(str(error)))


def note_lost_peer(error: BaseException) -> None:
    """Put the reason below a person's own error, where a collective of theirs failed over it."""
    note = f"[ftrisk] {WENT_AWAY}."
    notes = getattr(error, "__notes__", ())
    if not isinstance(error, PeerFailedError) and is_lost_peer(error) and note not in notes:
        error.add_note(note)


@contextmanager
def peers_present() -> Iterator[None]:
    """Say in our words that a peer is gone.

    Raises:
        PeerFailedError: a collective inside failed over it.
    """
    try:
        yield
    except (RuntimeError, ConnectionError) as error:
        if not is_lost_peer(error):
            raise
        raise PeerFailedError(f"{WENT_AWAY} ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    """The end of what a collective says first, where the reason stands."""
    return (str(error).splitlines() or [type(error).__name__])[0][-160:].strip()


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
            with peers_present():
                dist.all_reduce(values)
            values /= self.size
        return values.cpu()

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set on any rank."""
        if self.size == 1:
            return flag
        flags = torch.tensor([float(flag)], device=self._device)
        with peers_present():
            dist.all_reduce(flags)
            return bool(flags.item() > 0)

    def from_main(self, value: T) -> T:
        """Rank 0's `value`, on every rank."""
        if self.size == 1:
            return value
        box = [value]
        with peers_present():
            dist.broadcast_object_list(box, src=0, device=self._device)
        return box[0]


class SharedWord:
    """A word that any rank may leave and the others find: no collective, nobody waits.

    Args:
        ranks: the processes of one training.
        name: the same on every rank, and used once.
    """

    def __init__(self, ranks: Ranks, name: str) -> None:
        self._key = f"hf_ftrisk/{name}"
        self._store = dist.distributed_c10d._get_default_store() if ranks.size > 1 else None

    def leave(self, word: str) -> None:
        """Leave a word; the last one counts."""
        if self._store is not None:
            with peers_present():
                self._store.set(self._key, word)

    def found(self) -> str | None:
        """The word that a rank left, None where none has."""
        if self._store is None:
            return None
        with peers_present():
            return self._store.get(self._key).decode() if self._store.check([self._key]) else None
