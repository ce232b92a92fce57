"""What one request to the Hub may take: seconds, and bytes of its answer.

The client has a time limit between two bytes and none on all of them, and reads an answer whole.
Whoever answers slowly enough, or without end, would hold the program or fill its memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, TypeVar

from huggingface_hub import get_session

from hf_ftrisk.errors import HubError

ANSWER_BYTES = 32 << 20
SHORT_SECONDS = 120.0
LONG_SECONDS = 900.0  # for what sends or fetches a file
# Of a compressed answer; what it unpacks to is some hundred times as much at most.
_PACKED_BYTES = 1 << 18

T = TypeVar("T")


class _Allowed(threading.local):
    """Bytes that an answer to a request of this thread may have; None: not one of ours."""

    max_bytes: int | None = None


_allowed = _Allowed()


def within_bounds(request: Callable[[], T], *, seconds: float, max_bytes: int = ANSWER_BYTES) -> T:
    """What `request` returns, when it does so in time.

    Args:
        request: calls huggingface_hub's client. It runs in a thread of its own, which is left to
            itself when the time is up: nothing that it returns later is used.
        seconds: time for all of it.
        max_bytes: bytes of any one answer.

    Raises:
        HubError: not in time, or too large an answer.
        Exception: what `request` raised.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        _allowed.max_bytes = max_bytes
        try:
            _watch_answers()
            results.append(request())
        except BaseException as error:  # noqa: BLE001 - raised again where it was asked for
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True, name="hf-ftrisk-hub")
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise HubError(f"the Hub did not answer within {seconds:.0f} s; try again later")
    return results[0]


def _watch_answers() -> None:
    """Have the client of this process ask `_bound` about every answer, before it is read."""
    hooks = get_session().event_hooks["response"]
    if _bound not in hooks:
        hooks.append(_bound)


def _bound(response: Any) -> None:
    if _allowed.max_bytes is None:
        return
    max_bytes: int = _allowed.max_bytes
    if response.headers.get("content-encoding", "identity") != "identity":
        max_bytes = min(max_bytes, _PACKED_BYTES)
    length = response.headers.get("content-length", "")
    # The answer to a HEAD has no body, whatever length it tells.
    if length.isdecimal() and int(length) > max_bytes and response.request.method != "HEAD":
        raise _too_large(max_bytes)
    library = import_module(type(response).__module__.partition(".")[0])

    class Counted(library.SyncByteStream):  # type: ignore[name-defined,misc]
        """The body as it comes, up to the bound."""

        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            n_bytes = 0
            for part in self._stream:
                n_bytes += len(part)
                if n_bytes > max_bytes:
                    raise _too_large(max_bytes)
                yield part

        def close(self) -> None:
            self._stream.close()

    response.stream = Counted(response.stream)


def _too_large(max_bytes: int) -> HubError:
    return HubError(f"the Hub's answer is larger than {max_bytes:,} bytes; nothing was taken")
