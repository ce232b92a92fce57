"""A Hub that answers with anything, in any size, at any pace: one clear error, in time."""

import json
import socket
import threading
import time

import pytest

from hf_ftrisk.errors import HubError
from hf_ftrisk.hub import publish
from hf_ftrisk.hub_repo import bounds, repository
from hf_ftrisk.hub_repo.bounds import within_bounds
from hf_ftrisk.hub_repo.problems import blot
from hf_ftrisk.hub_repo.repository import Repository
from tests.local_hub import hub, hub_server

__all__ = ["hub", "hub_server"]
REPO = "me/tiny"


@pytest.mark.parametrize("route", ["info", "preupload", "commit"])
@pytest.mark.parametrize("answer", [None, [], {}, "text", 5, {"sha": 5}, {"sha": None, "id": []}])
def test_an_answer_of_any_shape_is_one_error_and_the_files_are_kept(
    hub, full_report, tmp_path, route, answer
):
    hub.make(REPO)
    hub.fail(route, 200, times=99, body=json.dumps(answer).encode())
    with pytest.raises(HubError, match=REPO):
        publish(full_report, REPO, figure=False, keep_in=tmp_path / "unsent")
    assert (tmp_path / "unsent" / "me--tiny" / "ftrisk" / "report.json").is_file()


def test_what_the_hub_says_commands_no_terminal(hub):
    hub.make(REPO)
    said = "\x1b]0;owned\x07\x1b[2Jno \u202ewrite\u202c access\x00"
    hub.fail("info", 403, times=9, body=json.dumps({"error": said}).encode())
    with pytest.raises(HubError) as told:
        Repository(REPO, "model").head()
    assert str(told.value).isprintable()
    assert blot(said).isprintable()


def test_a_file_larger_than_any_card_is_not_taken(hub, monkeypatch):
    monkeypatch.setattr(repository, "ANSWER_BYTES", 1000)
    at = hub.make(REPO, {"README.md": b"x" * 5000, "small.md": b"y" * 900}).history()[0].oid
    card = Repository(REPO, "model")
    with pytest.raises(HubError, match=r"larger than 1,000 bytes; nothing was taken"):
        card.read("README.md", at, max_bytes=1000)
    assert card.read("small.md", at, max_bytes=1000) == b"y" * 900


@pytest.mark.parametrize("declared", [True, False])
def test_an_answer_larger_than_any_is_not_read(monkeypatch, declared):
    sent = []

    def serve(connection):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        head += b"Content-Length: 300000000\r\n\r\n" if declared else b"Connection: close\r\n\r\n"
        connection.sendall(head)
        for _ in range(300):
            connection.sendall(b" " * 1_000_000)
            sent.append(1)

    with pytest.raises(HubError, match="larger than"):
        ask(monkeypatch, serve)
    assert len(sent) < 100


def test_an_answer_that_drips_has_a_bound(monkeypatch):
    def serve(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-Slow: 1\r\n"[:1])
            time.sleep(0.05)

    monkeypatch.setattr(repository, "SHORT_SECONDS", 1.0)
    started = time.monotonic()
    with pytest.raises(HubError, match="did not answer within 1 s"):
        ask(monkeypatch, serve, seconds=1.0)
    assert time.monotonic() - started < 20


def ask(monkeypatch, serve, seconds=30.0):
    """One request to a server of one connection after another, each served by `serve`."""
    import huggingface_hub.constants as constants
    from huggingface_hub import HfApi
    from huggingface_hub.utils import close_session

    listening = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            try:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    serve(connection)
            except OSError:
                if listening.fileno() < 0:
                    return

    threading.Thread(target=accept, daemon=True).start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    close_session()
    try:
        api = HfApi(endpoint=url, token="hf_x")
        within_bounds(lambda: api.repo_info(REPO), seconds=seconds)
    finally:
        listening.close()
        close_session()


def test_requests_of_others_in_the_process_are_not_bounded(hub):
    hub.make(REPO)
    assert within_bounds(lambda: 5, seconds=5) == 5
    assert bounds._allowed.max_bytes is None


def test_what_a_request_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        within_bounds(lambda: 1 // 0, seconds=5)
