"""One fine-tuning run as data: its trajectory, its settings, how it ended.

Pure numpy. Steps are optimizer steps. Columns of equal length hold the trajectory; a value that
was not logged is NaN. `RunRecord` is what history stores, forecasters read and policies judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_scale import goal_for_values, unsure_scale
from hf_ftrisk.record.columns import (
    MAX_STEPS,
    FrozenDict,
    check_length,
    empty,
    finite_points,
    frozen_column,
    kept_schedule,
    scalar,
    to_json,
    to_list,
)
from hf_ftrisk.record.selection import ModelSelection
from hf_ftrisk.record.state_file import state_fields
from hf_ftrisk.record.stored import FORMAT_VERSION, record_fields
from hf_ftrisk.record.trainer_log import log_fields, number, read_log, rows_of

Status = Literal["finished", "running", "stopped"]


@dataclass(frozen=True, eq=False)
class RunRecord:
    """Trajectory, settings and outcome of one run.

    Args:
        max_steps: planned number of optimizer steps of the full run, > 0.
        train_step: (n_train,) steps of the logged training values, increasing.
        train_loss: (n_train,) training loss; NaN where not logged.
        grad_norm: (n_train,) gradient norm before clipping; NaN where not logged.
        learning_rate: (n_train,) learning rate in use; NaN where not logged.
        eval_step: (n_evals,) steps of the evaluations, increasing.
        evals: metric name (``eval_...``) -> (n_evals,) values; NaN where not evaluated.
        nan_steps: name (``loss``, ``grad_norm``, ``eval_...``) -> (n,) steps at which NaN itself
            was logged: the columns alone cannot tell that from "not logged".
        schedule: (n_rates,) planned learning rate of every step, or of the `schedule_steps` of a
            run of more than `columns.MAX_RATES` steps; None if unknown. A longer one is thinned.
        steps_per_epoch: optimizer steps in one pass over the data, None if unknown.
        status: ``"finished"`` reached its planned end, ``"running"`` still goes on (or is cut
            off without saying why), ``"stopped"`` ended early on purpose.
        task: name under which runs are comparable (same data, model, metric), None if unknown.
        seed: random seed of the run, None if unknown.
        load_best: True when the best checkpoint, not the last, is the result.
        selection: what chooses the best checkpoint; None: the goal's own metric.
        baselines: metric -> value of a trivial predictor.
        final: metric -> value of the finished model measured on its own (a test set, say); takes
            precedence over the trajectory as the outcome.
        settings: JSON scalars describing the run (model, data set, batch size, ...).
        static: signals known before the run, name -> value.
    """

    max_steps: int
    train_step: np.ndarray = field(default_factory=empty)
    train_loss: np.ndarray = field(default_factory=empty)
    grad_norm: np.ndarray = field(default_factory=empty)
    learning_rate: np.ndarray = field(default_factory=empty)
    eval_step: np.ndarray = field(default_factory=empty)
    evals: Mapping[str, np.ndarray] = field(default_factory=dict)
    nan_steps: Mapping[str, np.ndarray] = field(default_factory=dict)
    schedule: np.ndarray | None = None
    steps_per_epoch: float | None = None
    status: Status = "finished"
    task: str | None = None
    seed: int | None = None
    load_best: bool = False
    selection: ModelSelection | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)
    final: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    static: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        planned = number(self.max_steps)
        if planned is None or not planned.is_integer() or not 0 < planned <= MAX_STEPS:
            raise ValueError(
                f"max_steps must be a whole number from 1 to 2**53, got {self.max_steps!r}"
            )
        if self.status not in ("finished", "running", "stopped"):
            raise ValueError(
                f"status must be 'finished', 'running' or 'stopped', got {self.status!r}"
            )
        self._set(max_steps=int(planned))
        n_train, n_evals = len(self.train_step), len(self.eval_step)
        for name in ("train_step", "train_loss", "grad_norm", "learning_rate"):
            values = frozen_column(getattr(self, name))
            if values.size == 0 and n_train:
                values = frozen_column(np.full(n_train, np.nan))
            check_length(name, values, n_train)
            self._set(**{name: values})
        evals = {name: frozen_column(values) for name, values in self.evals.items()}
        for name, values in evals.items():
            check_length(name, values, n_evals)
        self._set(eval_step=frozen_column(self.eval_step), evals=FrozenDict(evals))
        nan_steps = {name: frozen_column(steps) for name, steps in self.nan_steps.items()}
        self._set(nan_steps=FrozenDict(nan_steps))
        for name in ("train_step", "eval_step"):
            steps = getattr(self, name)
            if not np.all(np.isfinite(steps)) or np.any(np.diff(steps) <= 0):
                raise ValueError(f"{name} must be finite and strictly increasing, got {steps!r}")
        if self.schedule is not None:
            self._set(schedule=kept_schedule(self.schedule, self.max_steps))
        for name in ("baselines", "final", "static"):
            scalars = {str(key): scalar(value) for key, value in getattr(self, name).items()}
            self._set(**{name: FrozenDict(scalars)})
        self._set(settings=FrozenDict(self.settings))

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    # --- reading -----------------------------------------------------------------------------

    @classmethod
    def from_trainer_state(
        cls,
        path: str | Path | Mapping[str, Any],
        *,
        planned_steps: int | None = None,
        **fields: Any,
    ) -> RunRecord:
        """Record from a Trainer's ``trainer_state.json``.

        Args:
            path: the file, the checkpoint folder that holds it, or its parsed content.
            planned_steps: optimizer steps of a state that does not say how many were planned;
                None: as many as it holds.
            fields: any other field of the record (task, seed, load_best, ...).

        A log without steps gets them from its epochs. A run that went beyond the steps its state
        plans (resumed for more epochs) counts as planned as long as it is; the setting
        ``stated_max_steps`` keeps what the state says.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not JSON, not a trainer state (no ``log_history``), or a log of which no
                entry has a step or an epoch.
        """
        return cls(**state_fields(path, fields, planned_steps))

    @classmethod
    def from_log_history(
        cls, log_history: Iterable[Any], *, max_steps: int, **fields: Any
    ) -> RunRecord:
        """Record from a Trainer's ``state.log_history``.

        Entries of one step are merged; after a resume the later branch wins. Values that are no
        numbers and entries that are no mapping are dropped; NaN and infinities stay as they are.
        The log also fills `final`, `steps_per_epoch` and the setting ``reinforcement_learning``,
        unless `fields` gives them.

        Args:
            log_history: the Trainer's list of dicts, each with a ``step``.
            max_steps: planned optimizer steps of the full run.
            fields: any other field of the record.
        """
        return cls(max_steps=max_steps, **log_fields(read_log(log_history), fields))

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Sequence[Any] | np.ndarray], *, max_steps: int, **fields: Any
    ) -> RunRecord:
        """Record from one table with a row for each logged step.

        Args:
            columns: ``step`` and any of ``loss`` (or ``train_loss``), ``grad_norm``,
                ``learning_rate``, ``eval_...``: each (n_rows,), None or NaN where a row has no
                value. Rows may come in any order; rows of one step are merged.
            max_steps: planned optimizer steps of the full run.
            fields: any other field of the record.

        Raises:
            ValueError: no ``step`` column, a column of another length or name.

        Examples:
            >>> record = RunRecord.from_columns(
            ...     {"step": [50, 100], "loss": [0.9, 0.7], "eval_accuracy": [0.6, 0.7]},
            ...     max_steps=100,
            ... )
            >>> record.outcome(Goal("accuracy"))
            0.7
        """
        return cls.from_log_history(rows_of(columns), max_steps=max_steps, **fields)

    # --- views -------------------------------------------------------------------------------

    @property
    def last_step(self) -> int:
        """Last step at which anything was logged; 0 for an empty trajectory."""
        ends = [steps[-1] for steps in (self.train_step, self.eval_step) if steps.size]
        return int(max(ends, default=0))

    @property
    def progress(self) -> float:
        """Share of the planned run that is recorded, in [0, 1]."""
        return min(self.last_step / self.max_steps, 1.0)

    def prefix(self, step: float) -> RunRecord:
        """What was known after `step` optimizer steps: nothing that came later.

        The planned length and schedule, settings, baselines and static signals were known before
        and stay; the outcome does not. A prefix that cuts anything off is ``"running"``.
        """
        seen_train = self.train_step <= step
        seen_eval = self.eval_step <= step
        whole = bool(seen_train.all() and seen_eval.all()) and step >= self.max_steps
        nan_steps = {n: steps[steps <= step] for n, steps in self.nan_steps.items()}
        nan_steps = {name: steps for name, steps in nan_steps.items() if steps.size}
        evals = {name: column[seen_eval] for name, column in self.evals.items()}
        if not seen_eval.all():
            # A metric that was first evaluated later was not known by name either.
            evals = {n: c for n, c in evals.items() if n in nan_steps or not np.isnan(c).all()}
        return replace(
            self,
            train_step=self.train_step[seen_train],
            train_loss=self.train_loss[seen_train],
            grad_norm=self.grad_norm[seen_train],
            learning_rate=self.learning_rate[seen_train],
            eval_step=self.eval_step[seen_eval],
            evals=evals,
            nan_steps=nan_steps,
            status=self.status if whole else "running",
            final=self.final if whole else {},
        )

    def curve(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values (n,), (n,) of one evaluation metric where it was evaluated.

        An empty pair when the metric was never evaluated. NaN of a diverged model is dropped as
        well: `nan_steps` has their steps.
        """
        column = self.evals.get(metric)
        if column is None:
            return empty(), empty()
        is_evaluated = ~np.isnan(column)
        return self.eval_step[is_evaluated], column[is_evaluated]

    def train_curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values (n,), (n,) of the training loss where it was logged."""
        is_logged = ~np.isnan(self.train_loss)
        return self.train_step[is_logged], self.train_loss[is_logged]

    def finite(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """The `curve` without its infinite values."""
        return finite_points(*self.curve(metric))

    def trained(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """The `finite` evaluations after step 0: those of a model that has been trained."""
        steps, values = self.finite(metric)
        return steps[steps > 0], values[steps > 0]

    def finite_losses(self) -> tuple[np.ndarray, np.ndarray]:
        """The `train_curve` without its infinite values."""
        return finite_points(self.train_step, self.train_loss)

    def goal_scale(self, goal: Goal, *, trivial: float | None = None) -> tuple[Goal, str | None]:
        """The goal on the scale on which this run reports its metric (`goal_for_values`).

        Training losses below 0 say before the first evaluation that a loss is no positive number.

        Returns:
            The goal, the same object when nothing changes, and what has changed in one sentence.
        """
        values = [*self.curve(goal.metric)[1].tolist()]
        if goal.metric in self.final:
            values.append(self.final[goal.metric])
        if goal.metric.endswith("loss"):
            values += self.train_loss[self.train_loss < 0].tolist()[:1]
        return goal_for_values(goal, values, others=self.evals, trivial=trivial)

    def rescored(self, metric: str, change: Callable[[Any], Any]) -> RunRecord:
        """The run with one evaluation metric, its baseline and final value, on another scale."""

        def changed(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: change(v) if name == metric else v for name, v in values.items()}

        return replace(
            self,
            evals=changed(self.evals),
            baselines=changed(self.baselines),
            final=changed(self.final),
        )

    def baseline(self, goal: Goal) -> float | None:
        """Trivial baseline of the goal's metric, None if unknown."""
        return self.baselines.get(goal.metric)

    def with_baseline(self, goal: Goal, baseline: float | None) -> RunRecord:
        """The run with a trivial baseline of the goal's metric; as it is where there is none."""
        if baseline is None:
            return self
        return replace(self, baselines={**self.baselines, goal.metric: baseline})

    def outcome(self, goal: Goal) -> float:
        """Final value of the goal's metric.

        The separately measured final value when there is one; else the value at the best
        evaluation when the run loads its best checkpoint, else at the last evaluation. NaN where
        that gave NaN (no goal is met by it); for a correlation 0, since NaN is what a constant
        prediction's correlation comes out as.

        Raises:
            ValueError: the run has not finished, or never evaluated this metric.
        """
        if goal.metric in self.final:
            return float(self.final[goal.metric])
        if self.status != "finished":
            raise ValueError(
                f"this run has no outcome: it is {self.status} at step {self.last_step} "
                f"of {self.max_steps}"
            )
        steps, values = self.curve(goal.metric)
        lost = self.nan_steps.get(goal.metric, empty())
        if not steps.size and not lost.size:
            raise ValueError(
                f"this run never evaluated {goal.metric!r}; it has {sorted(self.evals) or 'none'}"
            )
        if self.load_best and steps.size:
            return float(values[self._best(goal, steps, values)])
        if lost.size and (not steps.size or lost[-1] > steps[-1]):
            return 0.0 if goal.kind == "correlation" else math.nan
        return float(values[-1])

    def _best(self, goal: Goal, steps: np.ndarray, values: np.ndarray) -> int:
        """Index into the goal's curve of the evaluation whose checkpoint is the best."""
        scores, greater = values, goal.greater_is_better
        chooser = self.selection
        if chooser is not None and chooser.metric in self.evals:
            scores = self.evals[chooser.metric][np.isin(self.eval_step, steps)]
            greater = chooser.greater_is_better
        if np.all(np.isnan(scores)):
            return int(values.size - 1)
        return int(np.nanargmax(scores) if greater else np.nanargmin(scores))

    def has_outcome(self, goal: Goal) -> bool:
        """Whether `outcome` has an answer for this goal."""
        if goal.metric in self.final:
            return True
        evaluated = self.curve(goal.metric)[0].size > 0 or goal.metric in self.nan_steps
        return self.status == "finished" and evaluated

    def met(self, goal: Goal) -> bool | None:
        """Whether the run ended as the goal asks; None where its end or scale leaves that open."""
        goal, _ = self.goal_scale(goal)
        baseline = self.baseline(goal)
        if not self.has_outcome(goal) or goal.threshold(baseline) is None:
            return None
        if goal.meets(self.outcome(goal), baseline):
            return True
        return False if unsure_scale(goal, self.curve(goal.metric)[1]) is None else None

    # --- storage -----------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready dict; `from_dict` restores it. NaN becomes None."""
        return {
            "format_version": FORMAT_VERSION,
            "max_steps": self.max_steps,
            "train_step": to_list(self.train_step),
            "train_loss": to_list(self.train_loss),
            "grad_norm": to_list(self.grad_norm),
            "learning_rate": to_list(self.learning_rate),
            "eval_step": to_list(self.eval_step),
            "evals": {name: to_list(column) for name, column in self.evals.items()},
            "nan_steps": {name: to_list(steps) for name, steps in self.nan_steps.items()},
            "schedule": None if self.schedule is None else to_list(self.schedule),
            "steps_per_epoch": self.steps_per_epoch,
            "status": self.status,
            "task": self.task,
            "seed": self.seed,
            "load_best": self.load_best,
            **(self.selection.to_dict() if self.selection else {"metric_for_best": None}),
            "baselines": {name: to_json(value) for name, value in self.baselines.items()},
            "final": {name: to_json(value) for name, value in self.final.items()},
            "settings": dict(self.settings),
            "static": {name: to_json(value) for name, value in self.static.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunRecord:
        """Record from `to_dict`'s form.

        Raises:
            ValueError: another format version, or fields that do not fit.
        """
        return cls(**record_fields(data, {item.name for item in fields(cls)}))
