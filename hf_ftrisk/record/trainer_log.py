"""Reading a Trainer's log: from a list of dicts of any shape to columns.

Pure numpy. A log is written by many versions of many tools, is cut off, resumed, merged, and
passed through JSON writers that disagree on NaN. What can be read is read; what is no number is
dropped. `hf_ftrisk.record.RunRecord` is built from what this module returns.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from hf_ftrisk.record.settings import declared
from hf_ftrisk.text import printable

_TRAIN_KEYS = ("loss", "grad_norm", "learning_rate")
# What the summary of a whole `train` holds under this prefix. An evaluation of the training set
# (``metric_key_prefix="train"``) has metrics besides.
_SUMMARY_KEYS = frozenset(
    {
        "train_loss",
        "train_runtime",
        "train_samples_per_second",
        "train_steps_per_second",
        "train_tokens_per_second",
    }
)
_SUMMARY_PREFIXES = ("train_mem_", "train_jit_")
_NOT_EVAL_SUFFIXES = (
    "_runtime",
    "_samples_per_second",
    "_steps_per_second",
    "_model_preparation_time",
    "_jit_compilation_time",
    "_num_tokens",
)
# What policy-gradient trainers (GRPO, RLOO, PPO) log and supervised ones do not. Preference
# trainers log "rewards/chosen" and the like: those have a loss that means something.
_RL_KEYS = frozenset({"reward", "reward_std", "episode", "objective/kl", "objective/rlhf_reward"})
# A value measured again after training belongs to a checkpoint of the trajectory when it equals
# the value measured there, up to the rounding of a repeated evaluation.
_SAME_VALUE = 1e-4

Rows = dict[float, dict[str, float]]


@dataclass(frozen=True)
class TrainerLog:
    """Columns of one log.

    Args:
        train: name (``loss``, ``grad_norm``, ``learning_rate``) -> (n_train,) values, NaN where
            not logged.
        train_step: (n_train,) steps, increasing.
        evals: metric -> (n_evals,) values, NaN where not evaluated.
        eval_step: (n_evals,) steps, increasing.
        nan_steps: name -> steps at which NaN itself was logged.
        final: metric -> value that was measured once more after training had ended.
        ended: the log holds the summary a Trainer writes when `train` returns.
        steps_per_epoch: optimizer steps in one pass over the data, None if no epoch was logged.
        reinforcement_learning: the log is that of a policy-gradient trainer.
    """

    train_step: np.ndarray
    train: dict[str, np.ndarray]
    eval_step: np.ndarray
    evals: dict[str, np.ndarray]
    nan_steps: dict[str, np.ndarray] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    ended: bool = False
    steps_per_epoch: float | None = None
    reinforcement_learning: bool = False

    @property
    def last_step(self) -> int:
        """Last step at which anything was logged; 0 for an empty log."""
        ends = [steps[-1] for steps in (self.train_step, self.eval_step) if steps.size]
        return int(max(ends, default=0))


def log_fields(log: TrainerLog, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record from a log, besides those that are given.

    Args:
        log: the columns.
        given: fields of the record; they count before what the log says of the whole run (`final`,
            `steps_per_epoch`, the setting ``reinforcement_learning``).

    Raises:
        TypeError: a column of the log is given as well.
    """
    settings = dict(given.get("settings", {}))
    if log.reinforcement_learning:
        settings = {**declared(reinforcement_learning=True), **settings}
    fields = {"final": log.final, "steps_per_epoch": log.steps_per_epoch, **given}
    # By keyword: a column that is given besides its log is refused.
    return dict(
        train_step=log.train_step,
        train_loss=log.train["loss"],
        grad_norm=log.train["grad_norm"],
        learning_rate=log.train["learning_rate"],
        eval_step=log.eval_step,
        evals=log.evals,
        nan_steps=log.nan_steps,
        **{**fields, "settings": settings},
    )


def number(value: Any) -> float | None:
    """A logged value as a float: numbers, and strings that spell one ("NaN", "-Infinity", "0.5").

    None for anything else; a bool is no number.
    """
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, Real | str):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return None
    return None


def step_of(entry: Mapping[Any, Any]) -> float | None:
    """Step of an entry of a log, None for one without a finite number of 0 or more."""
    step = number(entry.get("step"))
    return step if step is not None and math.isfinite(step) and step >= 0 else None


def read_log(log_history: Iterable[Any]) -> TrainerLog:
    """Columns of a Trainer's ``state.log_history``.

    - Entries of one step are merged. Where a step was logged twice with later steps in between,
      the run was resumed from before it: what the abandoned branch logged from there on goes.
    - An evaluation after the summary of a finished `train` is no point of the trajectory (with
      ``load_best_model_at_end`` it is the best checkpoint, measured again): it goes to `final`
      when it repeats a value of the trajectory, or when the trajectory has none of that metric,
      and is dropped otherwise, being of another set.
    - An evaluation of the training set (prefix "train") is neither a summary nor a point of the
      trajectory.
    - Entries that are no mapping, or without a step that is a number of 0 or more, are skipped.
    """
    train: Rows = {}
    evals: Rows = {}
    again: Rows = {}
    epochs: list[tuple[float, float]] = []
    summary_step: float | None = None
    policy_gradient = False
    entries = list(log_history)
    last_summary = _last_summary(entries)
    for index, entry in enumerate(entries):
        step = step_of(entry) if isinstance(entry, Mapping) else None
        if step is None:
            continue
        epoch = number(entry.get("epoch"))
        if epoch is not None and math.isfinite(epoch) and epoch > 0 and step > 0:
            epochs.append((step, epoch))
        trained, evaluated = _split(entry)
        if trained:
            policy_gradient = policy_gradient or not _RL_KEYS.isdisjoint(entry)
            summary_step = None  # training went on: an earlier summary was not the end
            _put(train, step, trained)
        if evaluated and summary_step is not None and step <= summary_step:
            _put(again, step, evaluated)
        elif evaluated:
            _put(evals, step, evaluated)
        if not evaluated and (index == last_summary or _says_flops(entry)):
            summary_step = step
    train_step, train_columns = _columns(train, _TRAIN_KEYS)
    eval_step, eval_columns = _columns(evals, sorted({n for row in evals.values() for n in row}))
    return TrainerLog(
        train_step=train_step,
        train=train_columns,
        eval_step=eval_step,
        evals=eval_columns,
        nan_steps=_nan_steps(train) | _nan_steps(evals),
        final=_measured_again(again, eval_columns),
        ended=summary_step is not None,
        steps_per_epoch=_steps_per_epoch(epochs),
        reinforcement_learning=policy_gradient,
    )


def _last_summary(entries: list[Any]) -> int | None:
    """Place of the last entry that can be the summary of a `train`, None if there is none.

    A summary without the count of operations (as older versions write it) and a loss-only
    evaluation of the training set look alike: it has to be the only one of its kind, and nothing
    is trained after it.
    """
    candidates = [i for i, entry in enumerate(entries) if _may_be_summary(entry)]
    sure = [i for i in candidates if _says_flops(entries[i])]
    if sure or len(candidates) != 1:
        return sure[-1] if sure else None
    after = (entry for entry in entries[candidates[0] + 1 :] if isinstance(entry, Mapping))
    return None if any("loss" in entry for entry in after) else candidates[0]


def _may_be_summary(entry: Any) -> bool:
    if not isinstance(entry, Mapping) or "train_runtime" not in entry:
        return False
    measured = [key for key in entry if isinstance(key, str) and key.startswith("train_")]
    return all(key in _SUMMARY_KEYS or key.startswith(_SUMMARY_PREFIXES) for key in measured)


def _says_flops(entry: Mapping[Any, Any]) -> bool:
    return _may_be_summary(entry) and "total_flos" in entry


def no_number(value: Any) -> str:
    """What a metric's value is in place of a number, and what to do."""
    shown = printable(reprlib.repr(value), 80)
    return f"{shown}, which is no number: compute_metrics has to return one for each name"


def evaluation_values(entry: Mapping[Any, Any]) -> dict[str, float]:
    """The evaluation metrics in one entry of a log; values that are no numbers are left out."""
    return {
        key: value
        for key, raw in entry.items()
        if isinstance(key, str)
        and key.startswith("eval_")
        and not key.endswith(_NOT_EVAL_SUFFIXES)
        and (value := number(raw)) is not None
    }


def _split(entry: Mapping[Any, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Training values and evaluation values of one entry."""
    trained = {
        key: value
        for key, raw in entry.items()
        if key in _TRAIN_KEYS and (value := number(raw)) is not None
    }
    # Hand-written loops log "train_loss"; a Trainer writes it once, in its summary, as the mean
    # over the whole run.
    if "loss" not in trained and "train_runtime" not in entry:
        loss = number(entry.get("train_loss"))
        if loss is not None:
            trained["loss"] = loss
    return trained, evaluation_values(entry)


def _put(rows: Rows, step: float, values: Mapping[str, float]) -> None:
    """Merge the values of one step; a repeated step that others followed was a resume."""
    row = rows.get(step)
    if row is not None and not row.keys().isdisjoint(values) and step < max(rows):
        for later in [other for other in rows if other > step]:
            del rows[later]
        rows[step] = dict(values)
        return
    rows.setdefault(step, {}).update(values)


def _columns(rows: Rows, names: Iterable[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    steps = sorted(rows)
    columns = {
        name: np.array([rows[step].get(name, math.nan) for step in steps], dtype=np.float64)
        for name in names
    }
    return np.array(steps, dtype=np.float64), columns


def _nan_steps(rows: Rows) -> dict[str, np.ndarray]:
    steps_by_name: dict[str, list[float]] = {}
    for step in sorted(rows):
        for name, value in rows[step].items():
            if math.isnan(value):
                steps_by_name.setdefault(name, []).append(step)
    return {name: np.array(steps) for name, steps in steps_by_name.items()}


def _measured_again(again: Rows, evals: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Values of post-training evaluations that repeat a value of the trajectory, or have none."""
    values_by_name: dict[str, float] = {}
    for row in again.values():
        for name, value in row.items():
            column = evals.get(name)
            if column is None or np.any(np.isclose(column, value, rtol=_SAME_VALUE, atol=1e-12)):
                values_by_name[name] = value
    return values_by_name


def _steps_per_epoch(epochs: list[tuple[float, float]]) -> float | None:
    """Slope of the step over the epoch, from the latest entry: its rounding weighs least."""
    if not epochs:
        return None
    step, epoch = max(epochs)
    return step / epoch


def rows_of(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> list[dict[str, float]]:
    """Rows of a table of logged steps, in order of step, as entries of a log.

    Raises:
        ValueError: no ``step`` column, a column of another length or name.
    """
    if "step" not in columns:
        raise ValueError(f"columns need a 'step', got {sorted(columns)}")
    known_names = {"step", "loss", "train_loss", "grad_norm", "learning_rate"}
    unknown_names = sorted(k for k in columns if k not in known_names and not k.startswith("eval_"))
    if unknown_names:
        raise ValueError(
            f"unknown columns {unknown_names}: expected {sorted(known_names)} and eval_..."
        )
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns must have one length, got {lengths}")
    rows = [
        {
            name: value
            for name, column in columns.items()
            if (value := number(column[row])) is not None and not math.isnan(value)
        }
        for row in range(lengths["step"])
    ]
    rows.sort(key=lambda row: row.get("step", math.inf))
    return rows
