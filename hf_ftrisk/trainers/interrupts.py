"""Ctrl-C and SIGTERM: everything is put back before either ends anything.

A signal that is ignored, as SIGINT is under nohup or after ``&`` in a script, stays ignored; a
handler that somebody else has set is called as ever, only later where it would come too early.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_HELD = (signal.SIGINT, signal.SIGTERM)


class TerminatedError(BaseException):
    """SIGTERM, on its way up the stack; never seen outside `terminations_unwound`."""


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold back SIGINT and SIGTERM while it lasts; one that came is delivered at the end.

    Signals reach the main thread alone: in another one there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # None: a handler that is not Python's, which could not be put back.
    before = {number: signal.getsignal(number) for number in _HELD}
    pending: list[tuple[int, FrameType | None]] = []
    for number, handler in before.items():
        if handler is not None and handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: pending.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        for came, frame in pending[-1:]:
            handler = before[signal.Signals(came)]
            if callable(handler):
                handler(came, frame)
            else:
                signal.raise_signal(came)


@contextmanager
def terminations_unwound() -> Iterator[None]:
    """While it lasts SIGTERM leads up the stack as Ctrl-C does, and then ends the process.

    So that what was changed is put back and temporary files go when Slurm, a spot machine or
    Kubernetes takes the machine away. The process ends by the signal, as without it. Where somebody
    handles SIGTERM already, or in another thread, nothing is changed.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    owner, came = os.getpid(), False

    def unwind(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if os.getpid() != owner:  # a forked child: ends as children do
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        came = True
        raise TerminatedError

    signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if came:  # whatever became of the exception on the way
            signal.raise_signal(signal.SIGTERM)
