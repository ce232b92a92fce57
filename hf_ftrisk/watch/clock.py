"""Where the watched run's time goes: steps, evaluations. No torch."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Splits wall time at the events of a run.

    Args:
        steps: optimizer steps counted.
        step_seconds: their time, data loading included.
        evaluations: evaluations counted.
        eval_seconds: their time.
    """

    steps: int = 0
    step_seconds: float = 0.0
    evaluations: int = 0
    eval_seconds: float = 0.0
    _began: float = field(default_factory=time.perf_counter)
    _mark: float = field(default_factory=time.perf_counter)
    _first_step: float | None = None

    def mark(self) -> None:
        """What comes next begins now."""
        self._mark = time.perf_counter()

    def end_step(self) -> None:
        """A step has ended."""
        now = time.perf_counter()
        if self._first_step is None:
            self._first_step = self._mark
        self.steps += 1
        self.step_seconds += now - self._mark
        self._mark = now

    def end_evaluation(self) -> None:
        """An evaluation has ended."""
        now = time.perf_counter()
        self.evaluations += 1
        self.eval_seconds += now - self._mark
        self._mark = now

    @property
    def seconds(self) -> float:
        """Wall time since the run began."""
        return time.perf_counter() - self._began

    @property
    def other_per_step(self) -> float:
        """Mean seconds beside a step that were no evaluation either: saving, other callbacks.

        What came before the first step, such as compilation of the data, is not of this kind.
        """
        if not self.steps or self._first_step is None:
            return 0.0
        passed = self._mark - self._first_step
        return max(passed - self.step_seconds - self.eval_seconds, 0.0) / self.steps

    @property
    def per_step(self) -> float | None:
        """Mean seconds of a step; None before the first."""
        return self.step_seconds / self.steps if self.steps else None

    @property
    def per_evaluation(self) -> float | None:
        """Mean seconds of an evaluation; None before the first."""
        return self.eval_seconds / self.evaluations if self.evaluations else None
