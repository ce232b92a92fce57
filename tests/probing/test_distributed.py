"""Two processes probe in lockstep, and one that fails ends the pre-flight on both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.probing.two_ranks import FAULTS, TIMEOUT

pytestmark = pytest.mark.slow
_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    """What each of two gloo processes saw."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    command += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    command += ["-m", "tests.probing.two_ranks", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT)}
    finished = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=280
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def test_there_really_are_two_processes(ranks) -> None:
    assert [rank["world"] for rank in ranks] == [2, 2]
    assert ranks[0]["full"]["world_size"] == 2


@pytest.mark.parametrize("case", ["full", "lora"])
def test_both_ranks_hold_the_same_report(ranks, case) -> None:
    assert ranks[0][case]["report"] == ranks[1][case]["report"]
    assert ranks[0][case]["looks"][-1] == 2


@pytest.mark.parametrize("case", ["full", "lora"])
def test_a_run_of_two_processes_is_bit_identical_after_it(ranks, case) -> None:
    for rank in ranks:
        assert rank[case]["differences"] == []
        assert rank[case]["identical"]


@pytest.mark.parametrize("case", ["full", "lora"])
def test_the_first_probe_is_the_beginning_of_the_run_of_two_processes(ranks, case) -> None:
    probe = ranks[0][case]["losses"][0]
    assert probe == pytest.approx(ranks[0][case]["real_losses"][: len(probe)], rel=1e-4)


def test_progress_is_shown_on_the_main_process_only(ranks) -> None:
    assert [rank["full"]["progress"] for rank in ranks] == [True, False]


@pytest.mark.parametrize("index", range(2 * len(FAULTS)))
def test_a_failure_on_one_rank_ends_it_on_both(ranks, index) -> None:
    seen = [rank["faults"][index] for rank in ranks]
    name, _, culprit = seen[0]["fault"]
    assert f"planted in {name}" in seen[culprit]["seen"]
    assert not seen[culprit]["seen"].startswith("PeerFailedError")
    other = seen[1 - culprit]["seen"]
    assert other.startswith(f"PeerFailedError: the pre-flight ended because rank {culprit} failed")
    assert all(rank["seconds"] < TIMEOUT + 5 for rank in seen)
    assert [rank["differences"] for rank in seen] == [[], []]


def test_the_run_after_all_failures_is_bit_identical(ranks) -> None:
    assert [rank["after"] for rank in ranks] == [True, True]


def test_a_refusal_is_each_ranks_own_however_late_it_comes_to_it(ranks) -> None:
    """Who decides by its kind what comes next decides alike on all ranks."""
    assert [rank["refused"] for rank in ranks] == ["PreflightUnsupportedError"] * 2
