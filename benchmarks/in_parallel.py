"""Work that is shared out to processes; what comes out is the same however many there are.

Each job draws its random numbers by itself, if any. Processes are forked where the system can, so
that what was read or fitted before is at hand in each; elsewhere each makes it anew.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from typing import TypeVar

# Many short jobs are handed out in so many lots for each process.
_CHUNKS = 50

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_parallel(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int | None = None
) -> list[Result]:
    """Results of the work on each job, in the jobs' order.

    Args:
        work: a function that a process can import: no lambda, none inside another.
        jobs: in the order in which they are begun; the longest first end soonest.
        workers: number of processes; None: one for each processor.
    """
    count = min(workers or os.cpu_count() or 1, len(jobs))
    if count < 2:
        return [work(job) for job in jobs]
    forks = "fork" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if forks else None)
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        return list(pool.map(work, jobs, chunksize=max(1, len(jobs) // (_CHUNKS * count))))


def parts(n: int, count: int = 32) -> list[range]:
    """The numbers from 0 to n - 1 in order, in so many parts of about the same length."""
    ends = [n * i // count for i in range(count + 1)]
    return [range(a, b) for a, b in pairwise(ends) if b > a]
