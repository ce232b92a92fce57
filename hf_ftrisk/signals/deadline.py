"""Bounded work: when to end, and whether the next piece still fits. No torch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Deadline:
    """Ends bounded work after `seconds`, on every rank at the same piece through `agree`.

    Args:
        seconds: time from now on; None: no limit.
        agree: turns this rank's "late" into everyone's; several ranks that run collectives must
            not disagree about how many batches they look at.
    """

    seconds: float | None = None
    agree: Callable[[bool], bool] | None = None

    def __post_init__(self) -> None:
        self._end = math.inf if self.seconds is None else time.monotonic() + self.seconds

    def part(self, share: float) -> Deadline:
        """A deadline that ends once `share` of the time still left has passed."""
        seconds_left = self._left()
        return self if seconds_left is None else Deadline(seconds_left * share, self.agree)

    def alone(self) -> Deadline:
        """The same without the other ranks: for work that does not wait for them."""
        return self if self.agree is None else Deadline(self._left(), None)

    def _left(self) -> float | None:
        return None if self.seconds is None else max(0.0, self._end - time.monotonic())

    def allows(self, expected: float) -> bool:
        """Whether work that takes `expected` seconds would end in time."""
        late = time.monotonic() + expected >= self._end
        if self.agree is not None and self.seconds is not None:
            late = self.agree(late)
        return not late

    def passed(self) -> bool:
        """Whether it is time to stop."""
        return not self.allows(0.0)


class Pace:
    """How long work on batches takes, learned as it goes on and carried to the next kind of work.

    Batches should grow from few rows: then the first piece of work, whose time nobody knows, is
    small.
    """

    def __init__(self) -> None:
        self._cheapest = 0.0  # forward pass seen so far, seconds; of no batch yet

    def over(
        self,
        batches: Iterable[T],
        deadline: Deadline,
        rows_of: Callable[[T], int],
        passes: float = 1.0,
    ) -> Iterator[T]:
        """The batches, each only if the work on it is expected to end in time.

        What is done with a batch before the next one is asked for is the work. A batch is expected
        to take as long for each of its rows as the one before; the first, as long as the cheapest
        forward pass so far.

        Args:
            batches: to work on.
            deadline: when to end.
            rows_of: rows of a batch.
            passes: forward passes that the work on a batch is worth.
        """
        per_row: float | None = None
        for batch in batches:
            rows = max(1, rows_of(batch))
            expected = self._cheapest * passes if per_row is None else per_row * rows
            if not deadline.allows(expected):
                return
            begun = time.monotonic()
            yield batch
            took = time.monotonic() - begun
            per_row = took / rows
            self._cheapest = min(self._cheapest or math.inf, took / passes)
