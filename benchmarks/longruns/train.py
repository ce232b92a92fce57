"""One long run, and what a pre-flight would have seen of it, as `RecordedRun`s.

Two kinds of probe start where the run starts (same weights, same data order; dropout differs):

- ``"squeezed"``: the whole schedule, squeezed into k steps, for k of 2, 5 and 10 % of the run;
- ``"jump"``: the planned schedule from its peak on, without the warm-up, for 10 % of the run. Its
  evaluations lie at 1, 2, 2.5, 5 and 10 %, so that it holds the shorter ones.

Mixed precision (bfloat16) as most runs have it, where the device computes in it; one thread.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import (
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    get_scheduler,
)

from benchmarks.longruns.setting import LongSetting
from benchmarks.longruns.tasks import Metrics, Task, build
from benchmarks.recording.train import environment
from hf_ftrisk.goal import Goal, trivial_baseline
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference.table import RecordedRun
from hf_ftrisk.signals.collect import trainer_signals
from hf_ftrisk.signals.ordering import ORDERING, class_ordering

SQUEEZED_DEPTHS = (0.02, 0.05, 0.1)
JUMP_DEPTH = 0.1
_JUMP_LOOKS = (0.01, 0.02, 0.025, 0.05, 0.1)
# Bits of the mantissa kept of losses and gradient norms: 1e-4 of the value, half the bytes.
_BITS = 13


def record_run(setting: LongSetting, *, probes: bool = True) -> list[RecordedRun]:
    """The run to its end, first, and its probes if they are asked for."""
    task = build(setting)
    with tempfile.TemporaryDirectory(prefix="reference-run-") as folder:
        started = time.process_time()
        static = _signals(bare_trainer(setting, task, folder))
        run, start = _full_run(setting, task, folder, static)
        records = [(run, None, None, time.process_time() - started)]
        for kind, depth, rates, looks in _probes(setting) if probes else ():
            started = time.process_time()
            probe = _probe(setting, task, folder, rates, looks, start)
            records.append((probe, kind, depth, time.process_time() - started))
    return [
        RecordedRun(record, setting.run_id, setting.setting_id, seconds, environment(), kind, depth)
        for record, kind, depth, seconds in records
    ]


def jump_orderings(setting: LongSetting) -> dict[int, float]:
    """Step of the probe that jumps the warm-up -> how well its scores order the evaluation rows."""
    *_, (_, _, rates, looks) = _probes(setting)
    with tempfile.TemporaryDirectory(prefix="reference-run-") as folder:
        log = _probe_log(setting, build(setting), folder, rates, looks)
    return {int(entry["step"]): entry[ORDERING] for entry in log if ORDERING in entry}


def untrained_signals(setting: LongSetting) -> dict[str, float]:
    """Static signals of a planned run, as a pre-flight of its Trainer would measure them."""
    with tempfile.TemporaryDirectory(prefix="reference-run-") as folder:
        return _signals(bare_trainer(setting, build(setting), folder))


def _signals(trainer: Trainer) -> dict[str, float]:
    signals = trainer_signals(trainer, seconds=None)
    return {name: float(f"{value:.5g}") for name, value in signals.items()}


class _ScheduledTrainer(Trainer):
    """A Trainer with the learning rates of a list; by its arguments where none is given."""

    rates: np.ndarray | None = None

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        if self.rates is None:
            return super().create_scheduler(num_training_steps, optimizer)
        factors = self.rates / self.args.learning_rate
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer or self.optimizer, lambda step: float(factors[min(step, len(factors) - 1)])
        )
        return self.lr_scheduler


class _EvaluateAt(TrainerCallback):
    def __init__(self, steps: Iterable[int]) -> None:
        self.steps = frozenset(steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step in self.steps:
            control.should_evaluate = True


def precision() -> str:
    """``"bf16"``; ``"fp32"`` on a processor that only emulates it, several times slower."""
    fast = torch.cuda.is_available() or "AVX512" in torch.backends.cpu.get_cpu_capability()
    return "bf16" if fast else "fp32"


def bare_trainer(
    setting: LongSetting, task: Task, folder: str, steps: int | None = None
) -> Trainer:
    """The run's Trainer; with `steps` one that trains so long and evaluates only when told."""
    steps_of_eval = {"eval_strategy": "no"}
    if steps is None:
        every = setting.max_steps // setting.evaluations
        steps_of_eval = {"eval_strategy": "steps", "eval_steps": every, "eval_on_start": True}
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=steps or setting.max_steps,
        learning_rate=setting.learning_rate,
        lr_scheduler_type=setting.scheduler,
        warmup_steps=setting.warmup_steps,
        weight_decay=setting.weight_decay,
        per_device_train_batch_size=setting.batch_size,
        per_device_eval_batch_size=64,
        bf16=precision() == "bf16",
        use_cpu=not torch.cuda.is_available(),
        logging_steps=1,
        # The filter would put the running mean in place of a NaN loss.
        logging_nan_inf_filter=False,
        save_strategy="no",
        seed=setting.seed,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        **steps_of_eval,
    )
    trainer = _ScheduledTrainer(
        model=task.model(),
        args=arguments,
        train_dataset=task.train_rows,
        eval_dataset=task.eval_rows,
        data_collator=task.collator,
        compute_metrics=task.metrics,
    )
    trainer.remove_callback(PrinterCallback)  # no line of output per log entry
    return trainer


def _full_run(
    setting: LongSetting, task: Task, folder: str, static: dict[str, float]
) -> tuple[RunRecord, dict[str, float]]:
    """The run's record, and the log entry of its evaluation at step 0."""
    trainer = bare_trainer(setting, task, folder)
    trainer.train()
    start = next(entry for entry in trainer.state.log_history if "eval_loss" in entry)
    rates = planned_schedule(setting, setting.max_steps)
    record = _to_record(trainer.state.log_history, setting, task, rates, start)
    return _with_static(record, static), start


def _probes(setting: LongSetting) -> Iterable[tuple[str, float, np.ndarray, list[int]]]:
    """Kind, depth, (k,) learning rates and steps of the evaluations of every probe."""
    for depth in SQUEEZED_DEPTHS:
        steps = _steps(setting, depth)
        yield "squeezed", depth, planned_schedule(setting, steps), [max(steps // 2, 1), steps]
    rates = planned_schedule(setting, setting.max_steps)
    steps = _steps(setting, JUMP_DEPTH)
    peak = int(np.argmax(rates))
    looks = [_steps(setting, depth) for depth in _JUMP_LOOKS]
    yield "jump", JUMP_DEPTH, rates[peak : peak + steps], looks


def _steps(setting: LongSetting, depth: float) -> int:
    return max(round(depth * setting.max_steps), 1)


def _probe(
    setting: LongSetting,
    task: Task,
    folder: str,
    rates: np.ndarray,
    looks: Sequence[int],
    start: dict[str, float],
) -> RunRecord:
    log = [start, *_probe_log(setting, task, folder, rates, looks)]
    return _to_record(log, setting, task, rates, start)


def _probe_log(
    setting: LongSetting, task: Task, folder: str, rates: np.ndarray, looks: Sequence[int]
) -> list[dict[str, Any]]:
    """Log of a probe, whose evaluations say as well how its scores order the rows."""
    trainer = bare_trainer(setting, task, folder, len(rates))
    trainer.rates = rates
    if task.metrics is not None:
        trainer.compute_metrics = partial(_with_ordering, task.metrics)
    trainer.add_callback(_EvaluateAt(looks))
    trainer.train()
    log: list[dict[str, Any]] = trainer.state.log_history
    return log


def _with_ordering(metrics: Metrics, prediction: EvalPrediction) -> dict[str, float]:
    """The task's metrics and, of a classifier of rows, `ORDERING`, as a pre-flight measures it."""
    area = class_ordering(prediction.predictions, prediction.label_ids)
    ordering = {} if area is None else {ORDERING: float(f"{area:.4g}")}
    return ordering | metrics(prediction)


def planned_schedule(setting: LongSetting, steps: int) -> np.ndarray:
    """(steps,) learning rates of the setting's schedule over so many steps."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=setting.learning_rate)
    scheduler = get_scheduler(
        setting.scheduler,
        optimizer,
        num_warmup_steps=math.ceil(setting.warmup * steps),
        num_training_steps=steps,
    )
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def _to_record(
    log_history: Sequence[dict[str, Any]],
    setting: LongSetting,
    task: Task,
    rates: np.ndarray,
    start: dict[str, float],
) -> RunRecord:
    loss = trivial_baseline(Goal("eval_loss"), labels=task.labels, untrained=start["eval_loss"])
    baselines = {"eval_loss": loss} | dict(task.trivial or {})
    for name in ("eval_loss", "eval_mse"):  # never worse than the untrained model's own value
        if name in baselines:
            baselines[name] = min(baselines[name], start[name])
    settings = asdict(setting) | {"setting_id": setting.setting_id, "n_labels": task.n_labels}
    settings |= {"eval_rows": len(task.eval_rows), "precision": precision()}
    return RunRecord.from_log_history(
        [_shortened(entry) for entry in log_history if "train_runtime" not in entry],
        max_steps=len(rates),
        schedule=rates,
        steps_per_epoch=math.ceil(setting.train_rows / setting.batch_size),
        task=setting.task,
        seed=setting.seed,
        baselines=baselines,
        settings=settings,
    )


def _shortened(entry: dict[str, Any]) -> dict[str, Any]:
    """A log entry without what takes space and says nothing."""
    short = {name: value for name, value in entry.items() if name not in _SPEED}
    for name in ("loss", "grad_norm"):
        if name in short:
            short[name] = shortened(float(short[name]))
    return short


_SPEED = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")


def shortened(value: float) -> float:
    """`value` with 13 bits of its mantissa."""
    mantissa, exponent = math.frexp(value)
    if not math.isfinite(value):
        return value
    return math.ldexp(round(mantissa * 2**_BITS), exponent - _BITS)


def _with_static(record: RunRecord, static: dict[str, float]) -> RunRecord:
    return replace(record, static=static)
