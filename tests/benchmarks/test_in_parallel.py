"""Work shared out to processes: in order, and the same however many there are."""

from __future__ import annotations

import numpy as np

from benchmarks.in_parallel import in_parallel, parts


def drawn(seed: int) -> float:
    return float(np.random.default_rng(seed).normal())


def test_results_come_in_the_order_of_the_jobs_however_many_processes_work():
    jobs = list(range(40))
    alone = in_parallel(drawn, jobs, workers=1)
    assert alone == [drawn(job) for job in jobs]
    assert in_parallel(drawn, jobs, workers=3) == alone


def test_parts_hold_every_number_once_and_in_order():
    for n in (0, 1, 7, 100):
        assert [i for part in parts(n, 8) for i in part] == list(range(n))
    assert {len(part) for part in parts(100, 8)} == {12, 13}
