"""The place where a fault of ours is caught, of any kind: none may end a person's run.

Whoever asks for a guard says what could not be done, once, and the run goes on without it. Other
handlers as broad raise what they caught, here or in the thread that waits for it; where a candidate
of a ranking fails by itself, the ranking goes on without it (`choosing`). tests/test_failopen.py
lists them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class Guard(Protocol):
    """Runs a function of ours so that none of its faults reaches the training."""

    def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What `work` returns; None where it failed."""


def attempt(
    work: Callable[P, T],
    failed: Callable[[Exception], object],
    passing: tuple[type[Exception], ...] = (),
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T | None:
    """What `work` returns; None where it failed.

    Ctrl-C and ``sys.exit`` are no faults and pass.

    Args:
        work: what is done, with `args` and `kwargs`.
        failed: is told the exception.
        passing: what the user must know, raised as it is: arguments that cannot work.
        args: for `work`.
        kwargs: for `work`.
    """
    try:
        return work(*args, **kwargs)
    except passing:
        raise
    except Exception as error:  # noqa: BLE001 - the one broad handler, see above
        failed(error)
        return None


def fault_of(
    work: Callable[..., object], *args: Any, passing: tuple[type[Exception], ...] = ()
) -> Exception | None:
    """Do `work`; the exception it ended with, None if it ended well.

    Ctrl-C and ``sys.exit`` are no faults and pass.

    Args:
        work: what is done, with `args`.
        passing: what the user must know, raised as it is: arguments that cannot work.
    """
    faults: list[Exception] = []
    attempt(work, faults.append, passing, *args)
    return faults[0] if faults else None
