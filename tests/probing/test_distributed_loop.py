"""A plain accelerate loop on two processes: one report, no trace, and a failure ends it on both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.probing.two_loops import TIMEOUT

pytestmark = pytest.mark.slow
_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    """What each of two gloo processes saw."""
    folder = tmp_path_factory.mktemp("loops")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "tests.probing.two_loops", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT)}
    finished = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=180
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def test_there_really_are_two_processes(ranks) -> None:
    assert [rank["world"] for rank in ranks] == [2, 2]


KINDS = pytest.mark.parametrize("kind", ["clean", "sharded"])


@KINDS
def test_both_ranks_hold_the_same_report(ranks, kind) -> None:
    assert ranks[0][kind]["report"] == ranks[1][kind]["report"]
    assert ranks[0][kind]["looks"][-1] == 15


@KINDS
def test_the_loop_goes_on_bit_by_bit_as_without_a_preflight(ranks, kind) -> None:
    assert [rank[kind]["untouched"] for rank in ranks] == [True, True]
    assert [rank[kind]["identical"] for rank in ranks] == [True, True]


@KINDS
def test_the_first_probe_is_the_beginning_of_rank_0s_run(ranks, kind) -> None:
    probe = ranks[0][kind]["losses"]
    assert probe == ranks[0][kind]["real_losses"][: len(probe)]
    assert ranks[1][kind]["losses"] == probe


def test_the_sharded_loop_really_is_sharded(ranks) -> None:
    assert sum(rank["sharded"]["local_share"] for rank in ranks) == 1.0
    assert ranks[0]["sharded"]["local_share"] < 1.0


def test_ranks_that_see_other_losses_take_the_same_steps(ranks) -> None:
    assert ranks[0]["diverging"] == ranks[1]["diverging"]
    # Rank 0's losses are the run's: lost on rank 0 it has failed, lost on rank 1 alone it has not.
    lost, kept = (seen["verdict"] for seen in ranks[0]["diverging"])
    assert lost == "NO_GO"
    assert kept != "NO_GO"


@pytest.mark.parametrize("culprit", [0, 1])
@pytest.mark.parametrize("where", ["step", "evaluate"])
def test_a_failure_on_one_rank_ends_it_on_both(ranks, where, culprit) -> None:
    seen = [rank[where][culprit] for rank in ranks]
    assert seen[culprit]["seen"] == f"RuntimeError: planted in {where}"
    assert f"because rank {culprit} failed" in seen[1 - culprit]["seen"]
    assert [part["untouched"] for part in seen] == [True, True]
    assert all(part["seconds"] < TIMEOUT - 3 for part in seen)


def test_the_loops_own_group_still_works_afterwards(ranks) -> None:
    assert [rank["after"] for rank in ranks] == [True, True]


def test_a_rank_that_waits_in_the_loops_own_group_ends_by_its_timeout(ranks) -> None:
    seen = [rank["early"] for rank in ranks]
    assert seen[1]["seen"] == "RuntimeError: planted in step"
    assert "because rank 1 failed" in seen[0]["seen"]
    assert [part["untouched"] for part in seen] == [True, True]
    assert all(part["seconds"] < 2 * TIMEOUT for part in seen)
