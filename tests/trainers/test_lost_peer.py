"""A peer that is gone is told in our words; a fault of the user's own is not taken for one."""

import pytest

from hf_ftrisk.errors import PeerFailedError
from hf_ftrisk.trainers.ranks import is_lost_peer, peers_present


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
    with pytest.raises(PeerFailedError, match="another rank went away"), peers_present():
        raise RuntimeError(said)


def test_a_fault_of_the_users_own_is_none_of_a_peer():
    for error in (RuntimeError("CUDA error: out of memory"), ValueError("Connection closed")):
        assert not is_lost_peer(error)
        with pytest.raises(type(error)), peers_present():
            raise error
