"""Several ranks in lockstep: one decides, all obey; one fails, all end.

Every collective of a pre-flight (gradient reduction, gathering of predictions, decisions) runs in
a process group of its own that stands in for the default one. So a rank that fails can close that
group, which ends the collectives its peers wait in, while the user's own group stays untouched
and usable afterwards.
"""

from __future__ import annotations

import datetime
import time
from types import TracebackType
from typing import Any, TypeVar

import torch.distributed as dist

from hf_ftrisk.errors import FtriskError, PeerFailedError
from hf_ftrisk.trainers.ranks import WENT_AWAY, is_lost_peer

T = TypeVar("T")

# A rank that fails says so at once; one that says nothing for this long was killed.
_WORD_SECONDS = 3.0
# All ranks have met just before a group is made: one that is not there after this long was killed.
_MAKING_SECONDS = 30.0
_sessions = 0  # counts up equally on every rank: keys of one pre-flight never meet another's


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class Lockstep:
    """Context in which all ranks probe together; does nothing for a single process.

    Args:
        timeout: seconds after which a rank that waits for the others gives up.

    Raises:
        PeerFailedError: on leaving, on the ranks that a failure elsewhere ended.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.size = world_size()
        self.rank = dist.get_rank() if self.size > 1 else 0
        self._group: Any = None
        self._default: Any = None
        self._key = ""

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def __enter__(self) -> Lockstep:
        if self.size > 1:
            global _sessions
            _sessions += 1
            self._key = f"hf_ftrisk/preflight/{_sessions}/failed"
            self._default = dist.group.WORLD
            try:
                self._group = _new_group(datetime.timedelta(seconds=self.timeout))
            except (RuntimeError, ConnectionError) as error:
                if not is_lost_peer(error):
                    raise
                raise _peer_failed(WENT_AWAY) from error
            _set_default_group(self._group)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.size == 1:
            return
        try:
            if error is None:
                self.meet()  # nobody leaves with success before everybody has succeeded
        except RuntimeError as closed:
            error = closed
        finally:
            _set_default_group(self._default)
        failure = None if error is None else self._report(error)
        # Closing the connections wakes the ranks that wait for this one. They close once nothing
        # holds the group any more: whoever wrapped a model in it has dropped it by now.
        dist.destroy_process_group(self._group)
        self._group = None
        if failure is not None:
            raise failure from error

    def _report(self, error: BaseException) -> PeerFailedError | None:
        """Tell the others of this rank's failure, or learn which rank's failure caused it.

        A refusal is each rank's own, also of the one that comes to it second.
        """
        lost = is_lost_peer(error)
        refused = isinstance(error, FtriskError) and not isinstance(error, PeerFailedError)
        try:
            store = dist.distributed_c10d._get_default_store()
            # Whoever fails by itself tells so before it closes its connections; nobody waits long.
            ends = time.monotonic() + (_WORD_SECONDS if lost else 0.0)
            while not (answered := store.check([self._key])) and time.monotonic() < ends:
                time.sleep(0.05)
            if answered and not refused:
                rank, _, message = store.get(self._key).decode().partition(":")
                if int(rank) == self.rank:
                    return None
                return _peer_failed(f"rank {rank} failed: {message}")
            if not (lost or answered):
                store.set(self._key, f"{self.rank}:{type(error).__name__}: {error}")
        except (RuntimeError, ConnectionError):
            # The store is gone, with the rank that kept it.
            lost = True
        return _peer_failed(WENT_AWAY) if lost else None

    def meet(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            dist.barrier(group=self._group)

    def from_main(self, value: T) -> T:
        """Rank 0's `value`, on every rank: how a decision is taken once for all.

        No rank goes on before all have it, so that one which failed is missed here, not in a
        collective of the user's own group.
        """
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self._group)
        self.meet()
        return box[0]


def _new_group(timeout: datetime.timedelta) -> Any:
    """A group of all ranks, once all of them are there.

    Making a group waits out its timeout for a rank that is gone; the connections of a gloo group
    that is there already tell at once. So all meet first, and what is left to wait is short.
    """
    if dist.get_backend() != dist.Backend.GLOO:
        return dist.new_group(timeout=timeout)
    dist.monitored_barrier(timeout=timeout)
    group = dist.new_group(timeout=min(timeout, datetime.timedelta(seconds=_MAKING_SECONDS)))
    dist.distributed_c10d._set_pg_timeout(timeout, group)
    return group


def _peer_failed(why: str) -> PeerFailedError:
    return PeerFailedError(f"the pre-flight ended because {why}. Nothing was changed on this rank.")


def _set_default_group(group: Any) -> None:
    # torch has no public way to say which group collectives without one use.
    dist.distributed_c10d._update_default_pg(group)
