"""One fine-tuning run as data: its trajectory, its settings, how it ended.

Pure numpy. Steps are optimiser steps. Columns of equal length hold the trajectory; a value that
was not logged is NaN. `RunRecord` is what history stores, forecasters read and policies judge.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hf_ftrisk.goal import Goal

Status = Literal["finished", "running", "stopped"]

_FORMAT_VERSION = 1
_TRAIN_KEYS = ("loss", "grad_norm", "learning_rate")
_NOT_METRICS = {"step", "epoch", "total_flos"}
_NOT_EVAL_SUFFIXES = (
    "_runtime",
    "_samples_per_second",
    "_steps_per_second",
    "_model_preparation_time",
    "_jit_compilation_time",
    "_num_tokens",
)


def _empty() -> np.ndarray:
    return np.empty(0, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class RunRecord:
    """Trajectory, settings and outcome of one run.

    Args:
        max_steps: planned number of optimiser steps of the full run, > 0.
        train_step: (n_train,) steps of the logged training values, increasing.
        train_loss: (n_train,) training loss; NaN where not logged.
        grad_norm: (n_train,) gradient norm before clipping; NaN where not logged.
        learning_rate: (n_train,) learning rate in use; NaN where not logged.
        eval_step: (n_evals,) steps of the evaluations, increasing.
        evals: metric name (``eval_...``) -> (n_evals,) values; NaN where not evaluated.
        nan_steps: name (``loss``, ``grad_norm``, ``eval_...``) -> (n,) steps at which NaN itself
            was logged: the columns alone cannot tell that from "not logged".
        schedule: (max_steps,) planned learning rate of every step, None if unknown.
        steps_per_epoch: optimiser steps in one pass over the data, None if unknown.
        status: ``"finished"`` reached its planned end, ``"running"`` still goes on (or is cut
            off without saying why), ``"stopped"`` ended early on purpose.
        task: name under which runs are comparable (same data, model, metric), None if unknown.
        seed: random seed of the run, None if unknown.
        load_best: True when the best checkpoint, not the last, is the result.
        metric_for_best: metric that chooses the best checkpoint; None: the goal's own.
        baselines: metric -> value of a trivial predictor.
        final: metric -> value of the finished model measured on its own (a test set, say); takes
            precedence over the trajectory as the outcome.
        settings: JSON scalars describing the run (model, data set, batch size, ...).
        static: signals known before the run, name -> value.
    """

    max_steps: int
    train_step: np.ndarray = field(default_factory=_empty)
    train_loss: np.ndarray = field(default_factory=_empty)
    grad_norm: np.ndarray = field(default_factory=_empty)
    learning_rate: np.ndarray = field(default_factory=_empty)
    eval_step: np.ndarray = field(default_factory=_empty)
    evals: Mapping[str, np.ndarray] = field(default_factory=dict)
    nan_steps: Mapping[str, np.ndarray] = field(default_factory=dict)
    schedule: np.ndarray | None = None
    steps_per_epoch: float | None = None
    status: Status = "finished"
    task: str | None = None
    seed: int | None = None
    load_best: bool = False
    metric_for_best: str | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)
    final: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    static: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if int(self.max_steps) != self.max_steps or self.max_steps <= 0:
            raise ValueError(f"max_steps must be a whole number above 0, got {self.max_steps!r}")
        object.__setattr__(self, "max_steps", int(self.max_steps))
        if self.status not in ("finished", "running", "stopped"):
            raise ValueError(
                f"status must be 'finished', 'running' or 'stopped', got {self.status!r}"
            )
        n_train = len(self.train_step)
        for name in ("train_step", "train_loss", "grad_norm", "learning_rate"):
            column = np.asarray(getattr(self, name), dtype=np.float64)
            if column.size == 0 and n_train:
                column = np.full(n_train, np.nan)
            if column.shape != (n_train,):
                raise ValueError(f"{name} has shape {column.shape}, expected ({n_train},)")
            object.__setattr__(self, name, column)
        eval_step = np.asarray(self.eval_step, dtype=np.float64)
        object.__setattr__(self, "eval_step", eval_step)
        columns = {k: np.asarray(v, dtype=np.float64) for k, v in self.evals.items()}
        for name, column in columns.items():
            if column.shape != eval_step.shape:
                raise ValueError(f"{name} has shape {column.shape}, expected {eval_step.shape}")
        object.__setattr__(self, "evals", columns)
        nan_steps = {k: np.asarray(v, dtype=np.float64) for k, v in self.nan_steps.items()}
        object.__setattr__(self, "nan_steps", nan_steps)
        for name in ("train_step", "eval_step"):
            steps = getattr(self, name)
            if not np.all(np.isfinite(steps)) or np.any(np.diff(steps) <= 0):
                raise ValueError(f"{name} must be finite and strictly increasing, got {steps!r}")
        if self.schedule is not None:
            schedule = np.asarray(self.schedule, dtype=np.float64)
            if schedule.shape != (self.max_steps,):
                raise ValueError(
                    f"schedule has shape {schedule.shape}, expected ({self.max_steps},): "
                    "one learning rate for each planned step"
                )
            object.__setattr__(self, "schedule", schedule)

    # --- reading -----------------------------------------------------------------------------

    @classmethod
    def from_trainer_state(cls, path: str | Path | Mapping[str, Any], **fields: Any) -> RunRecord:
        """Record from a Trainer's ``trainer_state.json``.

        Args:
            path: the file, the checkpoint folder that holds it, or its parsed content.
            fields: any other field of the record (task, seed, load_best, ...).

        Raises:
            FileNotFoundError: no such file.
            ValueError: not JSON, or not a trainer state (no ``log_history``).
        """
        if isinstance(path, Mapping):
            state: Any = path
        else:
            file = Path(path)
            if file.is_dir():
                file = file / "trainer_state.json"
            try:
                state = json.loads(file.read_text(encoding="utf-8"))
            except json.JSONDecodeError as error:
                raise ValueError(f"{file} is not JSON: {error}") from error
        if not isinstance(state, Mapping) or not isinstance(state.get("log_history"), list):
            raise ValueError(
                f"{path if not isinstance(path, Mapping) else 'this mapping'} is no trainer state: "
                "expected an object with a list 'log_history'"
            )
        log_history = state["log_history"]
        seen = int(state.get("global_step") or _last_step(log_history))
        max_steps = int(state.get("max_steps") or 0)
        if max_steps <= 0:
            max_steps = max(seen, 1)
        fields.setdefault("status", "finished" if seen >= max_steps else "running")
        if state.get("epoch") and seen:
            fields.setdefault("steps_per_epoch", seen / float(state["epoch"]))
        return cls.from_log_history(log_history, max_steps=max_steps, **fields)

    @classmethod
    def from_log_history(
        cls, log_history: Iterable[Mapping[str, Any]], *, max_steps: int, **fields: Any
    ) -> RunRecord:
        """Record from a Trainer's ``state.log_history``.

        Entries of one step are merged; after a resume the later entry of a step wins. Values that
        are no numbers are dropped; NaN and infinities stay as they are.

        Args:
            log_history: the Trainer's list of dicts, each with a ``step``.
            max_steps: planned optimiser steps of the full run.
            fields: any other field of the record.
        """
        train: dict[float, dict[str, float]] = {}
        evals: dict[float, dict[str, float]] = {}
        for entry in log_history:
            step = _number(entry.get("step"))
            if step is None or not math.isfinite(step):
                continue
            for key, raw in entry.items():
                value = _number(raw)
                if value is None or key in _NOT_METRICS:
                    continue
                if key in _TRAIN_KEYS:
                    train.setdefault(step, {})[key] = value
                elif key.startswith("eval_") and not key.endswith(_NOT_EVAL_SUFFIXES):
                    evals.setdefault(step, {})[key] = value
        train_steps = sorted(train)
        eval_steps = sorted(evals)
        names = sorted({name for row in evals.values() for name in row})
        nan_steps: dict[str, list[float]] = {}
        for rows in (train, evals):
            for step in sorted(rows):
                for name, value in rows[step].items():
                    if math.isnan(value):
                        nan_steps.setdefault(name, []).append(step)
        nan = math.nan
        return cls(
            max_steps=max_steps,
            train_step=np.array(train_steps),
            train_loss=np.array([train[s].get("loss", nan) for s in train_steps]),
            grad_norm=np.array([train[s].get("grad_norm", nan) for s in train_steps]),
            learning_rate=np.array([train[s].get("learning_rate", nan) for s in train_steps]),
            eval_step=np.array(eval_steps),
            evals={m: np.array([evals[s].get(m, nan) for s in eval_steps]) for m in names},
            nan_steps={name: np.array(steps) for name, steps in nan_steps.items()},
            **fields,
        )

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
        """What was known after `step` optimiser steps: nothing that came later.

        The planned length and schedule, settings, baselines and static signals were known before
        and stay; the outcome does not. A prefix that cuts anything off is ``"running"``.
        """
        seen_train = self.train_step <= step
        seen_eval = self.eval_step <= step
        whole = bool(seen_train.all() and seen_eval.all()) and step >= self.max_steps
        return replace(
            self,
            train_step=self.train_step[seen_train],
            train_loss=self.train_loss[seen_train],
            grad_norm=self.grad_norm[seen_train],
            learning_rate=self.learning_rate[seen_train],
            eval_step=self.eval_step[seen_eval],
            evals={name: column[seen_eval] for name, column in self.evals.items()},
            nan_steps={
                name: steps[steps <= step]
                for name, steps in self.nan_steps.items()
                if np.any(steps <= step)
            },
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
            return _empty(), _empty()
        kept = ~np.isnan(column)
        return self.eval_step[kept], column[kept]

    def train_curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values (n,), (n,) of the training loss where it was logged."""
        kept = ~np.isnan(self.train_loss)
        return self.train_step[kept], self.train_loss[kept]

    def baseline(self, goal: Goal) -> float | None:
        """Trivial baseline of the goal's metric, None if unknown."""
        return self.baselines.get(goal.metric)

    def outcome(self, goal: Goal) -> float:
        """Final value of the goal's metric.

        The separately measured final value when there is one; else the value at the best
        evaluation when the run loads its best checkpoint, else at the last evaluation.

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
        column = self.evals.get(goal.metric)
        if column is None or not np.any(~np.isnan(column)):
            raise ValueError(
                f"this run never evaluated {goal.metric!r}; it has {sorted(self.evals) or 'none'}"
            )
        kept = np.flatnonzero(~np.isnan(column))
        if not self.load_best:
            return float(column[kept[-1]])
        chooser = Goal.parse(self.metric_for_best) if self.metric_for_best else goal
        scores = self.evals.get(chooser.metric, column)[kept]
        if np.all(np.isnan(scores)):
            return float(column[kept[-1]])
        best = np.nanargmax(scores) if chooser.greater_is_better else np.nanargmin(scores)
        return float(column[kept[best]])

    def has_outcome(self, goal: Goal) -> bool:
        """Whether `outcome` has an answer for this goal."""
        if goal.metric in self.final:
            return True
        return self.status == "finished" and self.curve(goal.metric)[0].size > 0

    # --- storage -----------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready dict; `from_dict` restores it. NaN becomes None."""
        return {
            "format_version": _FORMAT_VERSION,
            "max_steps": self.max_steps,
            "train_step": _to_list(self.train_step),
            "train_loss": _to_list(self.train_loss),
            "grad_norm": _to_list(self.grad_norm),
            "learning_rate": _to_list(self.learning_rate),
            "eval_step": _to_list(self.eval_step),
            "evals": {name: _to_list(column) for name, column in self.evals.items()},
            "nan_steps": {name: _to_list(steps) for name, steps in self.nan_steps.items()},
            "schedule": None if self.schedule is None else _to_list(self.schedule),
            "steps_per_epoch": self.steps_per_epoch,
            "status": self.status,
            "task": self.task,
            "seed": self.seed,
            "load_best": self.load_best,
            "metric_for_best": self.metric_for_best,
            "baselines": dict(self.baselines),
            "final": dict(self.final),
            "settings": dict(self.settings),
            "static": dict(self.static),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunRecord:
        """Record from `to_dict`'s form.

        Raises:
            ValueError: another format version, or fields that do not fit.
        """
        version = data.get("format_version")
        if version != _FORMAT_VERSION:
            raise ValueError(
                f"run record has format_version {version!r}, this release reads {_FORMAT_VERSION}"
            )
        known = {name for name in cls.__dataclass_fields__ if name in data}
        fields = {name: data[name] for name in known}
        for name in ("train_step", "train_loss", "grad_norm", "learning_rate", "eval_step"):
            fields[name] = _from_list(fields.get(name, []))
        fields["evals"] = {k: _from_list(v) for k, v in (fields.get("evals") or {}).items()}
        nan_steps = fields.get("nan_steps") or {}
        fields["nan_steps"] = {k: _from_list(v) for k, v in nan_steps.items()}
        if fields.get("schedule") is not None:
            fields["schedule"] = _from_list(fields["schedule"])
        return cls(**fields)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _last_step(log_history: Sequence[Mapping[str, Any]]) -> int:
    steps = [_number(entry.get("step")) for entry in log_history if isinstance(entry, Mapping)]
    return int(max((s for s in steps if s is not None and math.isfinite(s)), default=0))


def _to_list(column: np.ndarray) -> list[Any]:
    """JSON-safe list: None for NaN, the strings "inf" and "-inf" for infinities."""
    return [
        None if math.isnan(v) else v if math.isfinite(v) else ("inf" if v > 0 else "-inf")
        for v in column.tolist()
    ]


def _from_list(values: Sequence[Any]) -> np.ndarray:
    return np.array([math.nan if v is None else float(v) for v in values], dtype=np.float64)
