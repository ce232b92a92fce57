"""A peer that is gone is told in our words; a fault of the user's own is not taken for one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.ranks import BOUND, free_port, one_killed
from hf_ftrisk.errors import PeerFailedError
from hf_ftrisk.trainers.ranks import WENT_AWAY, is_lost_peer, note_lost_peer, peers_present
from tests.trainers.one_goes import TIMEOUT

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "said",
    [
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer "
        "[127.0.0.1]:41234",
        "[../gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 30000ms for recv operation",
        "NCCL error in: ProcessGroupNCCL.cpp:2000, remote process exited or there was a network "
        "error",
        "Broken pipe",
        "Connection reset by peer",
    ],
)
def test_the_words_of_a_lost_peer_are_known(said):
    with pytest.raises(PeerFailedError, match="another rank disappeared"), peers_present():
        raise RuntimeError(said)


def test_a_fault_of_the_users_own_is_none_of_a_peer():
    for error in (RuntimeError("CUDA error: out of memory"), ValueError("Connection closed")):
        assert not is_lost_peer(error)
        with pytest.raises(type(error)), peers_present():
            raise error


def test_a_persons_own_error_over_a_lost_peer_is_given_the_reason_once():
    error = RuntimeError("gloo/transport/tcp/pair.cc:553] Connection closed by peer")
    for _ in range(2):
        note_lost_peer(error)
    assert error.__notes__ == [f"[ftrisk] {WENT_AWAY}."]


def test_another_error_of_theirs_is_given_none():
    error = RuntimeError("CUDA error: out of memory")
    note_lost_peer(error)
    assert not hasattr(error, "__notes__")


def heard_by_both(moment, victim):
    """What each rank says, where the one that is told to goes at a moment."""
    port = str(free_port())
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.trainers.one_goes", moment, str(victim)],
            cwd=ROOT,
            env=os.environ
            | {"RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    return [rank.communicate(timeout=120)[0] for rank in ranks]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "victim"), [("before", 1), ("making", 0), ("making", 1), ("inside", 0)]
)
def test_a_rank_that_is_killed_ends_the_lockstep_of_the_other_with_the_reason(moment, victim):
    seconds, _, said = heard_by_both(moment, victim)[1 - victim].partition(" ")
    assert f"the pre-flight ended because {WENT_AWAY}" in said
    assert float(seconds) < TIMEOUT / 2


@pytest.mark.slow
def test_a_rank_that_is_slow_is_waited_for_longer_than_the_making_of_the_group():
    for said in heard_by_both("slow", victim=1):
        assert said.endswith("nothing happened\n")


@pytest.mark.slow
def test_a_rank_that_is_killed_in_a_watched_run_is_named_below_the_error_of_the_other():
    survivor = one_killed("look 5", victim=1, later=0.05)
    assert WENT_AWAY in survivor.output
    assert survivor.own_seconds is not None
    assert survivor.own_seconds <= BOUND
