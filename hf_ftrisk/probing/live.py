"""A pre-flight by the training itself, in a process that ends with it.

Nothing has to be put back: the Trainer trains as it will, with its own engine (DeepSpeed, FSDP, an
optimizer that steps inside backward), and is paused between steps to be evaluated. The session that
decides how far it goes runs in a second thread; whatever touches the model is done by the
training's own.
"""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from queue import Queue
from typing import Any, ParamSpec, TypeVar

import numpy as np
from transformers import DefaultFlowCallback, TrainerCallback

from hf_ftrisk.failopen import attempt
from hf_ftrisk.probing.options import PreflightOptions
from hf_ftrisk.probing.report import preflight_report
from hf_ftrisk.probing.session import PreflightSession
from hf_ftrisk.probing.trainer.bounded import bounded_evaluation
from hf_ftrisk.probing.trainer.sample import eval_sample, eval_size
from hf_ftrisk.probing.workload import Evaluation, Facts, ProbeLog
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import RiskReport
from hf_ftrisk.trainers.facts import (
    generates_text,
    goal_sets,
    known_targets,
    planned_evaluations,
    rows_in_batch,
)
from hf_ftrisk.trainers.memory import peak_memory
from hf_ftrisk.trainers.plan import run_plan
from hf_ftrisk.trainers.ranks import Ranks
from hf_ftrisk.trainers.tap import StepTap
from hf_ftrisk.verdict import Diagnosis

P = ParamSpec("P")
T = TypeVar("T")

_NOTE = (
    "Probed in a separate process, which loaded the program again: one probe, no sanity checks of "
    "the wiring and no static signals."
)


class _Left(Exception):  # noqa: N818 - no error: all that was asked for is known
    """Leaves the training."""


class _Abandoned(Exception):  # noqa: N818 - no error: the training began anew
    """Ends a session whose training began anew with a smaller batch."""


class LiveProbe:
    """The training, as a probe: it goes on where it was paused.

    Args:
        training: what it runs in.
    """

    def __init__(self, training: _Training, seed: int) -> None:
        self._training = training
        self.seed = seed
        self.step = 0

    def advance(self, step: int) -> None:
        """Train up to optimizer step `step`; stops early at a non-finite loss."""
        if self.step < step and not self.log.diverged:
            self._training.ask(step)
            self.step = len(self.log.entries)

    def evaluate(self, limit: float | None = None) -> Evaluation:
        """Metrics on the fixed sample; random numbers go on undisturbed."""
        evaluation: Evaluation = self._training.ask(lambda: self._training.evaluate(limit))
        return evaluation

    def record(self, evals: Mapping[int, Mapping[str, float]]) -> RunRecord:
        """The trajectory so far, with the evaluations that were done (step -> metrics)."""
        return self.log.record(self._training.facts, self.seed, evals)

    def step_columns(self) -> Mapping[str, np.ndarray]:
        """None: weights may be sharded."""
        return {}

    @property
    def log(self) -> ProbeLog:
        """What the training has logged of its steps."""
        return self._training.log


def _unguarded(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """A guard that lets everything through: a pre-flight's faults are the caller's."""
    return work(*args, **kwargs)


class LiveWorkload:
    """One training as something to probe.

    Args:
        training: what is probed.
    """

    can_jump = False
    same_start = True
    snapshot_bytes = None

    def __init__(self, training: _Training) -> None:
        self._training = training
        self._untrained: Evaluation | None = None
        self.ranks = training.ranks

    def facts(self) -> Facts:
        """What is known of the full run."""
        return self._training.facts

    def faults(self) -> tuple[Diagnosis, ...]:
        """None are looked for."""
        return ()

    def signals(self, seconds: float) -> dict[str, float]:
        """None: the engine has the model."""
        return {}

    def set_eval_rows(self, rows: int | None) -> None:
        """Rows of the evaluation sample from now on; None: the whole set."""
        self._training.eval_rows = rows

    def open(self, index: int, first: int = 0) -> LiveProbe:
        """The training itself; there is one."""
        assert index == 0, "a second probe needs a second process"
        return LiveProbe(self._training, self._training.seed)

    def activate(self, probe: Any) -> None:
        """Nothing to do: there is one."""

    def evaluate_untrained(self, probe: LiveProbe, limit: float | None = None) -> Evaluation:
        """The model before any step; after one, what was found before it."""
        if self._untrained is None or probe.step == 0:
            self._untrained = probe.evaluate(limit)
        return self._untrained

    def close(self) -> None:
        """Nothing is put back."""


class _Training(TrainerCallback):
    """The training's side: does between two steps what the session asks for.

    Args:
        trainer: the Trainer, whose process ends with the pre-flight.
        options: what the pre-flight is asked to do.
    """

    def __init__(self, trainer: Any, options: PreflightOptions) -> None:
        self._trainer = trainer
        self._options = options
        self.ranks = Ranks(trainer.args.device)
        self._sets = goal_sets(trainer.eval_dataset, options.goal.metric)
        self._planned = copy.copy(trainer.args)
        self._asked: Queue[Any] = Queue()
        self._answers: Queue[Any] = Queue()
        self._thread: threading.Thread | None = None
        self._target = 0
        self._mark = 0.0
        self.seed = int(trainer.args.seed)
        self.eval_rows: int | None = None
        self.result: RiskReport | BaseException | None = None

    # --- the session's side ---------------------------------------------------------------------

    def ask(self, what: int | Callable[[], Any]) -> Any:
        """Train up to a step, or do something between two of them.

        Raises:
            BaseException: what the training raised.
        """
        self._asked.put(what)
        answer = self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _judge(self) -> None:
        def failed(error: Exception) -> None:
            if not isinstance(error, _Abandoned):
                self.result = error

        def work() -> None:
            session = PreflightSession(LiveWorkload(self), self._options)
            session.run()
            self.result = session.on_main(lambda: preflight_report(session))

        attempt(work, failed)
        self._asked.put(None)

    # --- the training's side --------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """A training begins, or begins anew with a smaller batch."""
        if self._thread is not None:
            self._answers.put(_Abandoned())
            self._thread.join()
            self._asked = Queue()
        self.log = ProbeLog()
        self.facts = self._facts(state, given)
        self._tap = StepTap(self._trainer, _unguarded)
        self._tap.open()
        self._thread = threading.Thread(target=self._judge, name="hf-ftrisk pre-flight")
        self._thread.start()
        self._serve()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The gradients of a step are complete."""
        self._tap.before_optimizer(given["optimizer"])

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """A step is over."""
        control.should_evaluate = control.should_save = control.should_log = False
        self._tap.end_step(state.global_step)
        log = self.log
        for step in self._tap.fetch(self.ranks.mean):  # waits for the device
            values = asdict(step).items()
            log.entries.append({name: value for name, value in values if value is not None})
            log.non_finite = 0 if math.isfinite(step.loss) else log.non_finite + 1
        log.step_seconds.append(time.perf_counter() - self._mark)
        log.peak = peak_memory(args.device, log.peak)
        self._mark = time.perf_counter()
        if state.global_step >= self._target or log.diverged:
            self._answers.put(None)
            self._serve()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """What an epoch's end asks for is not done here."""
        control.should_evaluate = control.should_save = control.should_log = False

    def _serve(self) -> None:
        """Do what is asked until it is to train on, or leave the training."""
        while True:
            asked = self._asked.get()
            if asked is None:
                raise _Left
            if isinstance(asked, int):
                self._target, self._mark = asked, time.perf_counter()
                return
            self._answers.put(_answer(asked))

    def end(self, error: BaseException | None) -> None:
        """The training is over, or was left; a session that waits for it ends."""
        if self._thread is not None and self._thread.is_alive():
            self._answers.put(error or _Abandoned())
            self._thread.join()

    def evaluate(self, limit: float | None) -> Evaluation:
        """Metrics on the fixed sample."""
        trainer, given = self._trainer, self._trainer.eval_dataset
        trainer.eval_dataset = eval_sample(self._sets, self.eval_rows, self.seed)
        try:
            return bounded_evaluation(trainer, limit, self.ranks)
        finally:
            trainer.eval_dataset = given

    def _facts(self, state: Any, given: Mapping[str, Any]) -> Facts:
        trainer, args, sets = self._trainer, self._planned, self._sets
        plan = run_plan(self._options.goal, args, state, dict(given), trainer, self._options.task)
        batch = rows_in_batch(args, args.eval_batch_size * args.world_size, "eval")
        size = eval_size(sets, batch, generates_text(args))
        parts = list(sets.values()) if isinstance(sets, dict) else [sets]
        names = list(trainer.label_names or [])
        rows = trainer._train_batch_size * args.gradient_accumulation_steps * args.world_size
        per_epoch = int(plan.steps_per_epoch or plan.max_steps)
        evaluations = planned_evaluations(args, plan.max_steps, per_epoch)
        return Facts(
            max_steps=plan.max_steps,
            schedule=plan.schedule,
            steps_per_epoch=plan.steps_per_epoch,
            rows_per_step=float(rows_in_batch(args, rows, "train")),
            eval=size,
            evaluations=evaluations if size is not None else 0,
            load_best=plan.load_best,
            selection=plan.selection,
            labels=known_targets(parts[0], names) if len(parts) == 1 else None,
            settings=plan.settings,
            task=plan.task,
            notes=(_NOTE,),
        )


def _answer(work: Callable[[], Any]) -> Any:
    """What `work` returns, or the exception it ended with."""
    faults: list[Exception] = []
    answer = attempt(work, faults.append)
    return faults[0] if faults else answer


def preflight_by_training(
    trainer: Any, original: Callable[..., Any], options: PreflightOptions, folder: str
) -> RiskReport:
    """Train as far as a pre-flight goes; afterwards the Trainer is of no use any more.

    Args:
        trainer: the Trainer.
        original: its ``train``.
        options: what the pre-flight is asked to do; one probe is made.
        folder: where the training may write instead of its ``output_dir``.

    Raises:
        BaseException: what the training, or the session, raised.
    """
    training = _Training(trainer, options)
    args = trainer.args
    args.output_dir, args.push_to_hub, args.disable_tqdm = folder, False, True
    args.load_best_model_at_end = False
    # No tracker, no callback of the program's own.
    trainer.callback_handler.callbacks = [DefaultFlowCallback(), training]
    error: BaseException | None = None
    try:
        original(trainer)
    except _Left:
        pass
    except BaseException as raised:
        error = raised
        raise
    finally:
        training.end(error)
    if isinstance(training.result, BaseException):
        raise training.result
    assert training.result is not None
    return training.result
