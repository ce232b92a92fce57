"""The watched run so far, value by value, and the record made of it. No torch."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from hf_ftrisk.record import RunRecord, Status
from hf_ftrisk.record.trainer_log import evaluation_values

# Rows of training values a record holds at most: longer runs become means over equal windows of
# steps, as a Trainer's own log is. The last steps always stay single.
MAX_ROWS = 1000
TAIL = 64
# The first steps stay single as well: what the loss began with is what an explosion is told by.
HEAD = 2

# Columns and their array types: norms and rates need no more than single precision.
_TRAIN: dict[str, Literal["d", "f"]] = {"loss": "d", "grad_norm": "f", "learning_rate": "f"}


class Trace:
    """Collects a run's values; 20 bytes a step.

    Args:
        plan: the run before its first step: length, schedule, settings, baselines.
        log: the log that a resumed run begins with.
        start: step the run resumes from; what the log says of later steps was abandoned.
    """

    def __init__(self, plan: RunRecord, log: list[dict[str, Any]] | None = None, start: int = 0):
        self.plan = plan
        self._steps = array("I")
        self._train = {name: array(kind) for name, kind in _TRAIN.items()}
        self._nan: dict[str, array[int]] = {}
        self._eval_steps: list[int] = []
        self._evals: dict[str, list[float]] = {}
        if log:
            self._continue(RunRecord.from_log_history(log, max_steps=plan.max_steps), start)

    def _continue(self, earlier: RunRecord, start: int) -> None:
        before_start = earlier.prefix(start)
        nan_steps = {name: set(steps.tolist()) for name, steps in before_start.nan_steps.items()}
        columns = (
            before_start.train_step,
            before_start.train_loss,
            before_start.grad_norm,
            before_start.learning_rate,
        )
        for step, *values in zip(*(column.tolist() for column in columns), strict=True):
            row = {
                name: value
                for name, value in zip(_TRAIN, values, strict=True)
                if not math.isnan(value) or step in nan_steps.get(name, ())
            }
            self.add_step(int(step), **row)
        for index, step in enumerate(before_start.eval_step.tolist()):
            self.add_eval(
                int(step),
                {
                    name: column[index]
                    for name, column in before_start.evals.items()
                    if not math.isnan(column[index]) or step in nan_steps.get(name, ())
                },
            )

    def add_step(
        self,
        step: int,
        loss: float | None = None,
        grad_norm: float | None = None,
        learning_rate: float | None = None,
    ) -> None:
        """One optimizer step's training values; None: not known. A step seen before is skipped."""
        if self._steps and step <= self._steps[-1]:
            return
        self._steps.append(step)
        for name, value in zip(_TRAIN, (loss, grad_norm, learning_rate), strict=True):
            if value is not None and math.isnan(value):
                self._nan.setdefault(name, array("I")).append(step)
            self._train[name].append(math.nan if value is None else value)

    def add_eval(self, step: int, metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """The metrics of one evaluation; several at one step are merged.

        Values that are no numbers are left out.

        Returns:
            Names of the metrics that were taken.
        """
        values = dict(sorted(evaluation_values(metrics).items()))
        if self._eval_steps and step < self._eval_steps[-1]:
            return ()
        if not self._eval_steps or step > self._eval_steps[-1]:
            self._eval_steps.append(step)
            for column in self._evals.values():
                column.append(math.nan)
        for name, value in values.items():
            column = self._evals.setdefault(name, [math.nan] * len(self._eval_steps))
            column[-1] = value
            if math.isnan(value):
                self._nan.setdefault(name, array("I")).append(step)
        return tuple(values)

    @property
    def metrics(self) -> frozenset[str]:
        """Names of the evaluation metrics so far."""
        return frozenset(self._evals)

    def record(self, status: Status = "running") -> RunRecord:
        """The run so far as a record."""
        steps = np.array(self._steps)
        columns = {name: np.array(values) for name, values in self._train.items()}
        nan_steps = {name: np.unique(np.array(values)) for name, values in self._nan.items()}
        width = self._width()
        if width > 1:
            steps, columns = self._windows(steps, columns, width)
            for name in nan_steps.keys() & set(_TRAIN):
                rows = steps[np.searchsorted(steps, nan_steps[name])]
                nan_steps[name] = np.unique(rows)
        return replace(
            self.plan,
            train_step=steps,
            train_loss=columns["loss"],
            grad_norm=columns["grad_norm"],
            learning_rate=columns["learning_rate"],
            eval_step=np.array(self._eval_steps, dtype=np.float64),
            evals={name: np.array(values) for name, values in self._evals.items()},
            nan_steps=nan_steps,
            status=status,
        )

    def _width(self) -> int:
        """Steps in a window of the record's rows."""
        return max(1, math.ceil((len(self._steps) - HEAD - TAIL) / MAX_ROWS))

    def _windows(
        self, steps: np.ndarray, columns: dict[str, np.ndarray], width: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Mean loss, last norm and last rate of each window; the steps after the last one as is."""
        windows_end = HEAD + (steps.size - HEAD - TAIL) // width * width

        def last(values: np.ndarray) -> np.ndarray:
            windows = values[HEAD + width - 1 : windows_end : width]
            return np.concatenate([values[:HEAD], windows, values[windows_end:]])

        loss = columns["loss"]
        means = loss[HEAD:windows_end].reshape(-1, width).mean(axis=1)
        return last(steps), {
            "loss": np.concatenate([loss[:HEAD], means, loss[windows_end:]]),
            "grad_norm": last(columns["grad_norm"]),
            "learning_rate": last(columns["learning_rate"]),
        }
