"""One of two ranks in lockstep; the one that is told to kills itself at the given moment."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import torch.distributed as dist

from hf_ftrisk.errors import PeerFailedError
from hf_ftrisk.trainers import lockstep
from hf_ftrisk.trainers.lockstep import Lockstep

TIMEOUT = 20.0
# In place of half a minute, so that the test is short.
MAKING_SECONDS = 3.0


def main(moment: str, victim: int) -> None:
    """Print how long it took to hear that the other one is gone, and what was heard."""
    dist.init_process_group("gloo")
    lockstep._MAKING_SECONDS = MAKING_SECONDS
    began = time.monotonic()

    def reach(here: str) -> None:
        if here == moment and dist.get_rank() == victim:
            os.kill(os.getpid(), signal.SIGKILL)

    def new_group(**settings: Any) -> Any:
        reach("making")
        return make(**settings)

    make, dist.new_group = dist.new_group, new_group
    try:
        reach("before")
        with Lockstep(TIMEOUT) as ranks:
            ranks.from_main(1)
            reach("inside")
            ranks.from_main(2)
            if moment == "slow" and dist.get_rank() == victim:
                time.sleep(MAKING_SECONDS + 1)
            ranks.from_main(3)
        print(time.monotonic() - began, "nothing happened", flush=True)
    except PeerFailedError as error:
        print(time.monotonic() - began, error, flush=True)
    os._exit(0)  # the group is broken: nothing is to be said to it any more


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
