"""One of two ranks in lockstep; the one that is told to kills itself at the given moment."""

from __future__ import annotations

import os
import signal
import sys
import time

import torch.distributed as dist

from hf_ftrisk.errors import PeerFailedError
from hf_ftrisk.trainers.lockstep import Lockstep

TIMEOUT = 20.0


def main(moment: str, victim: int) -> None:
    """Print how long it took to hear that the other one is gone, and what was heard."""
    dist.init_process_group("gloo")
    began = time.monotonic()

    def reach(here: str) -> None:
        if here == moment and dist.get_rank() == victim:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        reach("before")
        with Lockstep(TIMEOUT) as ranks:
            ranks.from_main(1)
            reach("inside")
            ranks.from_main(2)
    except PeerFailedError as error:
        print(time.monotonic() - began, error, flush=True)
    os._exit(0)  # the group is broken: nothing is to be said to it any more


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
