"""The one place where any exception is caught: no fault of ours may end a person's run.

Nothing else in the package has a broad handler. Whoever calls `fault_of` says what it could not do,
once, and leaves the run to itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def fault_of(
    work: Callable[..., object], *args: Any, passing: tuple[type[Exception], ...] = ()
) -> Exception | None:
    """Do `work`; the exception it ended with, None if it ended well.

    Ctrl-C and ``sys.exit`` are no faults and pass.

    Args:
        work: what is done, with `args`.
        passing: what the user must know, raised as it is: arguments that cannot work.
    """
    try:
        work(*args)
    except passing:
        raise
    except Exception as error:  # noqa: BLE001 - the one broad handler, see above
        return error
    return None
