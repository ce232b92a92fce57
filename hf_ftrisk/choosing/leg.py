"""One leg of one candidate's training: built, continued from a checkpoint, paused at a step.

A pause changes nothing about the run: the checkpoint is written before anything of ours draws a
random number, and the evaluation of the look comes after it. What is trained on from it is bit by
bit the run that was never paused.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, set_seed

from hf_ftrisk.choosing.orders import Order, Reached
from hf_ftrisk.diagnoses.certain import certain_failure
from hf_ftrisk.diagnoses.wiring import check_wiring
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.signals.collect import trainer_signals
from hf_ftrisk.trainers.plan import check_arguments, run_plan

Make = Callable[[], Any]


def run_order(make: Make, order: Order) -> Reached:
    """Build a candidate's Trainer, do what is ordered, and let go of it.

    Whatever the candidate raises, out of memory included, becomes its fault; only an interrupt
    passes.
    """
    set_seed(order.seed)
    trainer = None
    try:
        trainer = make()
        return do_order(trainer, order)
    except Exception as error:  # noqa: BLE001 - a fault of one candidate is that candidate's
        return faulty(order, error)
    finally:
        del trainer
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def do_order(trainer: Any, order: Order) -> Reached:
    """Survey a Trainer or train it on.

    Raises:
        TypeError: no Trainer.
        ValueError: a Trainer whose evaluations cannot answer the goal.
    """
    if not isinstance(trainer, Trainer):
        raise TypeError(
            f"the factory of candidate {order.name!r} must return a transformers Trainer, "
            f"got {type(trainer).__name__}"
        )
    check_arguments(trainer, order.goal, needs_data=True)
    if trainer.eval_dataset is None:
        raise ValueError(
            f"candidate {order.name!r} has no eval_dataset: candidates are compared by "
            f"{order.goal.metric}, measured at each look"
        )
    return _survey(trainer, order) if order.target == 0 else _train(trainer, order)


def faulty(order: Order, error: BaseException) -> Reached:
    """What is reported of a candidate that raised."""
    text = " ".join(str(error).split())
    return Reached(
        order.name,
        checkpoint=order.checkpoint,
        looked=order.looked,
        fault=f"{type(error).__name__}: {text[:300]}",
    )


class _Known(Exception):  # noqa: N818 - no error: what was asked for is known
    """Leaves a training at its beginning: what is planned is known."""


class _Surveyor(TrainerCallback):
    def __init__(self, trainer: Trainer, goal: Goal) -> None:
        self._trainer, self._goal = trainer, goal
        self.plan: RunRecord | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The plan of the run is complete."""
        self.plan = run_plan(self._goal, args, state, kwargs, self._trainer, None)
        raise _Known


def _survey(trainer: Any, order: Order) -> Reached:
    """Wiring faults, static signals and the plan of the run, before any step of it."""
    fatal = [fault for fault in check_wiring(trainer) if fault.severity == "fatal"]
    if fatal:
        reason = f"{fatal[0].message} {fatal[0].advice}"
        return Reached(order.name, fault=reason)
    static: Mapping[str, float] = {}
    if order.signal_seconds > 0:
        static = trainer_signals(trainer, seconds=order.signal_seconds)
    surveyor = _Surveyor(trainer, order.goal)
    trainer.args.output_dir = order.folder
    # Before trackers, which would begin a run of their own.
    trainer.callback_handler.callbacks.insert(0, surveyor)
    with suppress(_Known):
        trainer.train()
    assert surveyor.plan is not None
    return Reached(order.name, record=replace(surveyor.plan, static=static))


class _Pause(TrainerCallback):
    """Saves and stops at a step; at the end of an epoch after the epoch's own evaluation."""

    def __init__(self, trainer: Trainer, goal: Goal, target: int) -> None:
        self._trainer, self._goal, self._target = trainer, goal, target
        self.plan: RunRecord | None = None
        self.saved_at = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The plan of the run is complete."""
        self.plan = run_plan(self._goal, args, state, kwargs, self._trainer, None)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for the checkpoint."""
        # An evaluation under save_strategy="best" withdraws it: then the next step asks again.
        if state.global_step >= self._target and not _is_epoch_end(state):
            control.should_save = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The epoch is over, or was left at the pause."""
        if self.saved_at:
            control.should_log = control.should_evaluate = control.should_save = False
        elif state.global_step >= self._target:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The checkpoint is written: leave."""
        if state.global_step >= self._target:
            self.saved_at = state.global_step
            control.should_training_stop = True


def _is_epoch_end(state: Any) -> bool:
    return state.epoch is not None and float(state.epoch).is_integer()


def _train(trainer: Any, order: Order) -> Reached:
    args = trainer.args
    load_best = bool(args.load_best_model_at_end)
    args.output_dir, args.save_only_model, args.push_to_hub = order.folder, False, False
    args.load_best_model_at_end = False  # what is looked at is the model where it stands
    pause = _Pause(trainer, order.goal, order.target)
    trainer.add_callback(pause)
    start = time.perf_counter()
    trainer.train(resume_from_checkpoint=order.checkpoint)
    state = trainer.state
    step = int(state.global_step)
    log = [entry for entry in state.log_history if "train_runtime" not in entry]
    looked = {int(at): dict(metrics) for at, metrics in order.looked.items()}
    if not any(entry.get("step") == step and order.goal.metric in entry for entry in log):
        metrics = trainer.evaluate()
        looked[step] = {
            name: float(value)
            for name, value in metrics.items()
            if name.startswith("eval_") and isinstance(value, int | float)
        }
    seconds = time.perf_counter() - start
    assert pause.plan is not None
    ended = step >= pause.plan.max_steps or pause.saved_at == 0
    record = _record(pause.plan, log, looked, load_best, ended)
    failure = certain_failure(record)
    fault = None if failure is None else f"{failure.message} {failure.advice}"
    if fault is None and not _measured(record, order.goal):
        fault = f"{order.goal.metric} is not a finite number at step {step}"
    checkpoint = Path(order.folder) / f"checkpoint-{step}"
    return Reached(
        order.name,
        record=record,
        step=step,
        seconds=seconds,
        checkpoint=str(checkpoint) if checkpoint.is_dir() else order.checkpoint,
        looked=looked,
        ended=ended,
        fault=fault,
    )


def _measured(record: RunRecord, goal: Goal) -> bool:
    values = record.curve(goal.metric)[1]
    return bool(values.size) and math.isfinite(float(values[-1]))


def _record(
    plan: RunRecord,
    log: list[dict[str, Any]],
    looked: Mapping[int, Mapping[str, float]],
    load_best: bool,
    ended: bool,
) -> RunRecord:
    """The run so far: its own log, and the looks that came after checkpoints."""
    rows = [*log, *({**metrics, "step": step} for step, metrics in looked.items())]
    rows.sort(key=lambda row: int(row.get("step", 0)))
    return RunRecord.from_log_history(
        rows,
        max_steps=plan.max_steps,
        schedule=plan.schedule,
        steps_per_epoch=plan.steps_per_epoch,
        status="finished" if ended else "running",
        task=plan.task,
        seed=plan.seed,
        load_best=load_best,
        selection=plan.selection,
        baselines=plan.baselines,
        settings=plan.settings,
        final={},
    )
