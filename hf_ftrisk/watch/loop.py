"""`watch_loop`: the callback for a training loop without a Trainer, accelerate's or a bare one.

A loop says what a Trainer's events say: a step is over, an evaluation is over. Everything else is
the callback's own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from transformers import TrainerControl, TrainerState

from hf_ftrisk.goal import Goal, trivial_baseline
from hf_ftrisk.history import RunHistory
from hf_ftrisk.policy import RuleMaker
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.settings import declared
from hf_ftrisk.report import RiskReport
from hf_ftrisk.report.findings import FinishWay
from hf_ftrisk.trainers.facts import scheduler_rates
from hf_ftrisk.trainers.ranks import Ranks
from hf_ftrisk.trainers.tap import Step, Waiting
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from hf_ftrisk.watch.judged import Judged
from hf_ftrisk.watch.session import WatchSession
from hf_ftrisk.watch.setup import Action, Setup

Log = Callable[..., object]


class LoopTap:
    """What a loop says of its steps, kept on the device until it is looked at."""

    def __init__(self) -> None:
        self._step: tuple[torch.Tensor, Any, float | None] | None = None
        self._rate: float | None = None
        self._waiting = Waiting()

    def open(self) -> None:
        """Nothing to do: a loop says its values itself."""

    def close(self) -> None:
        """Forget what was not looked at."""
        self._waiting.clear()

    def say(self, loss: Any, grad_norm: Any, learning_rate: float | None) -> None:
        """Values of the step that is ending."""
        if isinstance(loss, torch.Tensor):
            # The loop may reuse its tensor, or hold a graph by it.
            loss = loss.detach().clone()
        else:
            loss = torch.tensor(float(loss))
        rate = self._rate if learning_rate is None else float(learning_rate)
        self._step = (loss.mean() if loss.ndim else loss, grad_norm, rate)

    def before_optimizer(self, optimizer: Any) -> None:
        """The learning rate of the step to come."""
        self._rate = float(optimizer.param_groups[0]["lr"])

    def end_step(self, step: int) -> None:
        """One optimizer step is over."""
        if self._step is not None:
            loss, norm, rate = self._step
            self._waiting.add(step, [loss], norm, rate)
        self._step = None

    def fetch(self, mean: Callable[[torch.Tensor], torch.Tensor]) -> list[Step]:
        """The steps since the last fetch; this waits for the device."""
        return self._waiting.fetch(mean)


class _LoopCallback(FineTuneRiskCallback):
    """The callback of a loop, which knows no Trainer.

    Args:
        setup: the run before its first step.
        log: takes name -> value, and ``step=``, for the loop's trackers; None: none.
        settings: those of the callback.
    """

    def __init__(self, setup: Setup, log: Log | None, **settings: Any) -> None:
        super().__init__(**settings)
        self._setup = setup
        self._log = log
        self.tap = LoopTap()

    def _open(self, args: Any, state: Any, kwargs: Mapping[str, Any], ranks: Ranks) -> None:
        self._state = state
        self._session = WatchSession(self._options, self._setup, state, None, self.tap, ranks)

    def _publish(self, session: WatchSession, judged: Judged, control: Any) -> None:
        logs = judged.logs()
        if logs and self._log is not None:
            self._log(logs, step=judged.step)
        super()._publish(session, judged, control)


class WatchedLoop:
    """A training loop that is being watched; made by `watch_loop`.

    Every process of the loop calls `step` and `evaluate` alike: what is concluded is the same on
    all of them, and so is `should_stop`.
    """

    def __init__(self, callback: _LoopCallback, setup: Setup, first_step: int, optimizer: Any):
        self._callback = callback
        self._setup = setup
        self._optimizer = optimizer
        self._control = TrainerControl()
        self._state = TrainerState(max_steps=setup.plan.max_steps, global_step=first_step)

    def __enter__(self) -> WatchedLoop:
        self._tell("on_train_begin")
        self._before_step()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._tell("on_train_end")
        else:
            self._callback.close()

    def step(self, *, loss: Any, grad_norm: Any = None, learning_rate: float | None = None) -> None:
        """One optimizer step is over, and the schedule's step as well.

        Args:
            loss: its training loss, a number or a tensor on any device; of this process, the mean
                over all is taken. A tensor is read only once in `check_steps` steps.
            grad_norm: its gradient norm before clipping, alike; None: not known. What
                ``clip_grad_norm_`` returns.
            learning_rate: the learning rate it was taken with; None: the optimizer's, if
                `watch_loop` was given one.
        """
        self._state.global_step += 1
        per_epoch = self._setup.plan.steps_per_epoch
        if per_epoch:
            self._state.epoch = self._state.global_step / per_epoch
        self._callback._guard(self._callback.tap.say, loss, grad_norm, learning_rate)
        self._tell("on_step_end")
        self._before_step()

    def _before_step(self) -> None:
        if self._optimizer is not None:
            self._tell("on_pre_optimizer_step", optimizer=self._optimizer)

    def evaluate(self, metrics: Mapping[str, Any]) -> None:
        """An evaluation is over.

        Args:
            metrics: name -> value, the same on every process; ``accuracy`` and ``eval_accuracy``
                are the same metric. Before the first step they are those of the untrained model.
        """
        named = {
            name if name.startswith("eval_") else f"eval_{name}": _plain(value)
            for name, value in metrics.items()
        }
        self._tell("on_evaluate", metrics=named)

    def _tell(self, event: str, **kwargs: Any) -> None:
        getattr(self._callback, event)(self._setup, self._state, self._control, **kwargs)

    @property
    def should_stop(self) -> bool:
        """Whether the loop is to end now: it is poor, or has nothing more to gain."""
        return bool(self._control.should_training_stop)

    @property
    def should_save(self) -> bool:
        """Whether a stop asks for a checkpoint: with ``save_on_stop=True`` alone."""
        return bool(self._control.should_save)

    @property
    def goal(self) -> Goal:
        """What the loop is judged by, on the scale on which it reports its metric."""
        return self._callback.goal

    @property
    def report(self) -> RiskReport | None:
        """The report as of now, on every process after the loop, on rank 0 in it; None before."""
        return self._callback.report


def watch_loop(
    goal: Goal | str,
    max_steps: int,
    *,
    learning_rates: Any = None,
    optimizer: Any = None,
    accelerator: Any = None,
    log: Log | None = None,
    action: Action = "stop",
    history: RunHistory | str | os.PathLike[str] | Iterable[RunRecord] | None = None,
    report_dir: str | os.PathLike[str] | None = None,
    false_stop_rate: float = 0.05,
    rule: str | RuleMaker = "calibrated",
    task: str | None = None,
    check_steps: int = 20,
    save_on_stop: bool = False,
    finish: FinishWay | None = None,
    tolerance: float | None = None,
    baseline: float | None = None,
    eval_labels: Sequence[int] | None = None,
    evaluations: int | None = None,
    steps_per_epoch: float | None = None,
    load_best: bool = False,
    first_step: int = 0,
    run_settings: Mapping[str, Any] | None = None,
    to_stderr: bool = False,
) -> WatchedLoop:
    """Watch a training loop without a Trainer: `FineTuneRiskCallback` for accelerate and PyTorch.

    Forecasts, stopping rule, certain failures, finishing, report and history are the callback's.
    No fault of ours ends the loop: it is told once, and the watching ends.

    Args:
        goal: what the loop is judged by: a `Goal`, or ``"eval_accuracy>=0.85"``, or a metric alone.
        max_steps: planned optimizer steps.
        learning_rates: the plan: (max_steps,) rates, or a scheduler of torch or transformers, which
            is only read; None: unknown.
        optimizer: its learning rate is read before each step; ``finish="anneal"`` needs it.
        accelerator: accelerate's, for the device of this process.
        log: takes the forecasts, ``log({"ftrisk/...": value}, step=...)``, such as
            ``accelerator.log``.
        action, history, report_dir, false_stop_rate, rule: as in `FineTuneRiskCallback`.
        check_steps, finish, tolerance, baseline: likewise.
        task: name under which runs are comparable; None: a history that names one task is of it.
        save_on_stop: a stop asks for a checkpoint by `WatchedLoop.should_save`.
        eval_labels: class indices (n,) of the evaluation set, for the majority baseline.
        evaluations: planned evaluations, for the cost; 0: none, the training loss is forecast;
            None: unknown.
        steps_per_epoch: optimizer steps in one pass over the data.
        load_best: the loop keeps its best checkpoint, not its last.
        first_step: optimizer steps done before, where a run is resumed.
        run_settings: JSON scalars that describe the run, for the report and the history.
        to_stderr: write to standard error.

    Raises:
        ValueError: a value out of range, by name.
        TypeError: a history or a rule of another type.

    Examples:
        >>> with watch_loop("eval_accuracy>=0.85", max_steps=1000, learning_rates=schedule) as w:
        ...     for step, batch in enumerate(batches):
        ...         loss, norm = train_step(batch)
        ...         w.step(loss=loss, grad_norm=norm)
        ...         if step % 100 == 99:
        ...             w.evaluate({"accuracy": accuracy()})
        ...         if w.should_stop:
        ...             break
    """
    _check_whole("max_steps", max_steps, 1)
    _check_whole("first_step", first_step, 0)
    if finish == "anneal" and optimizer is None:
        raise ValueError("finish='anneal' lowers the learning rate: pass optimizer=... as well")
    goal = Goal.parse(goal)
    plan = RunRecord(
        max_steps=max_steps,
        schedule=_rates(learning_rates, max_steps),
        steps_per_epoch=steps_per_epoch,
        status="running",
        task=task,
        load_best=load_best,
        settings={**declared(max_steps=max_steps, trainer="loop"), **(run_settings or {})},
    )
    labels = None if eval_labels is None else np.asarray(eval_labels)
    setup = Setup(
        plan=plan.with_baseline(goal, trivial_baseline(goal, labels=labels)),
        device=_device(accelerator),
        forecasts=evaluations != 0,
        evaluations=evaluations or 0,
        saves=save_on_stop,
    )
    callback = _LoopCallback(
        setup,
        log,
        goal=goal,
        action=action,
        history=history,
        report_dir=report_dir,
        false_stop_rate=false_stop_rate,
        rule=rule,
        task=task,
        check_steps=check_steps,
        save_on_stop=save_on_stop,
        finish=finish,
        tolerance=tolerance,
        to_stderr=to_stderr,
        baseline=baseline,
    )
    return WatchedLoop(callback, setup, first_step, optimizer)


def _check_whole(name: str, value: Any, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{name} must be a whole number of {minimum} or more, got {value!r}")


def _rates(planned: Any, max_steps: int) -> np.ndarray | None:
    """(n_rates,) planned learning rates, from them or a scheduler."""
    if planned is None:
        return None
    scheduler = getattr(planned, "scheduler", planned)  # accelerate's wrapper keeps it there
    if isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler):
        return scheduler_rates(scheduler, max_steps)
    rates = np.asarray(planned, dtype=np.float64)
    if rates.shape != (max_steps,):
        raise ValueError(
            f"learning_rates must hold one rate for each of the {max_steps} steps, or be a "
            f"scheduler, got {rates.size} rates"
        )
    return rates


def _device(accelerator: Any) -> torch.device:
    """Where this process's values are reduced."""
    if accelerator is not None:
        return torch.device(accelerator.device)
    together = dist.is_available() and dist.is_initialized()
    if together and dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def _plain(value: Any) -> Any:
    """The number in a tensor or array of one; anything else as it is."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value.detach())
    return float(value) if isinstance(value, np.generic) else value
