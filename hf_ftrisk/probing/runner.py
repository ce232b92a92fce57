"""The pre-flight of a Trainer or of a loop: opened in lockstep, run, put back, reported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

from hf_ftrisk.goal import Goal
from hf_ftrisk.history import RunHistory
from hf_ftrisk.history.given import history_of
from hf_ftrisk.policy import RuleMaker, rule_maker
from hf_ftrisk.probing.budget import allowed_steps
from hf_ftrisk.probing.conclude import conclude
from hf_ftrisk.probing.cost import Prices
from hf_ftrisk.probing.loop.loop import Loop
from hf_ftrisk.probing.loop.workload import LoopWorkload
from hf_ftrisk.probing.options import Options
from hf_ftrisk.probing.session import Session
from hf_ftrisk.probing.trainer.workload import TrainerWorkload
from hf_ftrisk.probing.workload import Workload
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import RiskReport
from hf_ftrisk.trainers.interrupts import interrupts_held, terminations_unwound
from hf_ftrisk.trainers.lockstep import Lockstep
from hf_ftrisk.trainers.state import check_storage


class PreflightRunner:
    """Probes a Trainer before it trains and leaves it as it was; `preflight` in two steps.

    Args:
        trainer: the user's Trainer, which has not to be prepared in any way.
        goal: what the run is judged by: a `Goal`, or text such as ``"eval_accuracy>=0.85"``.
        budget: hard cap on the share of the full run's optimizer steps to spend, in (0, 1].
            Evaluations count at their measured cost.
        seeds: probes at most, with different data order, dropout, and where untouched a fresh
            head and fresh adapters. One deep probe comes first; each has a tenth of the run at
            least, and the notes say how many there were.
        history: completed runs (a `RunHistory`, its file, or records), of which those of this
            task are used; ``"default"``: those that are remembered by default
            (docs/guides/history.md); None: packaged runs alone.
        task: name under which runs are comparable; None: made from model and data, as
            `FineTuneRiskCallback` does when it adds a run.
        depths: optimizer steps to look at; None: a doubling grid as deep as the budget goes.
        eval_samples: rows of the evaluation set to measure on at most, always the same ones;
            None: all.
        snapshot: where copies of trainable weights are kept: ``"cpu"``, ``"pinned"`` host memory,
            or on the ``"device"``.
        signal_seconds: bound on the time for static signals; 0: none. None: 15 seconds, or the
            time that the budget is worth where that is more; they end sooner where all is seen.
        timeout: seconds after which a rank that waits for the others gives up.
        price_per_hour: price of one hour of all machines together, in `currency`.
        currency: unit of the price.
        power_watts: power that all machines together draw.
        run_value: what avoiding one wasted run is worth, in `currency`; sets the price of probing.
        false_stop_rate: allowed chance that a good run is called NO_GO.
        rule: what calls a run poor: ``"calibrated"``, ``"patience"`` or a
            `hf_ftrisk.policy.RuleMaker`; see `FineTuneRiskCallback`.
        progress: show a progress bar on the main process; None: as the Trainer does.

    Raises:
        TypeError: no Trainer.
        ValueError: a value out of range, by name.
        PreflightUnsupportedError: a training setup that could not be put back.
    """

    def __init__(
        self,
        trainer: Any,
        *,
        goal: Goal | str,
        budget: float = 0.05,
        seeds: int = 3,
        history: RunHistory | str | os.PathLike[str] | Iterable[RunRecord] | None = "default",
        task: str | None = None,
        depths: Sequence[int] | None = None,
        eval_samples: int | None = 512,
        snapshot: str = "cpu",
        signal_seconds: float | None = None,
        timeout: float = 300.0,
        price_per_hour: float | None = None,
        currency: str = "USD",
        power_watts: float | None = None,
        run_value: float | None = None,
        false_stop_rate: float = 0.05,
        rule: str | RuleMaker = "calibrated",
        progress: bool | None = None,
    ) -> None:
        storage = check_storage(snapshot)
        self._options = _options(
            goal,
            budget=budget,
            seeds=seeds,
            history=history,
            task=task,
            depths=depths,
            eval_samples=eval_samples,
            signal_seconds=signal_seconds,
            timeout=timeout,
            price_per_hour=price_per_hour,
            currency=currency,
            power_watts=power_watts,
            run_value=run_value,
            false_stop_rate=false_stop_rate,
            rule=rule,
        )
        self._open: Callable[[Lockstep], Workload] = lambda ranks: TrainerWorkload(
            trainer, self._options.goal.metric, storage, ranks.from_main
        )
        # Something else than a Trainer is refused when it is opened, with a better message.
        quiet = bool(getattr(getattr(trainer, "args", None), "disable_tqdm", False))
        self._shows_progress = not quiet if progress is None else progress

    @classmethod
    def from_loop(
        cls,
        *,
        goal: Goal | str,
        step: Callable[..., Any],
        evaluate: Callable[[int], Mapping[str, Any]],
        state_dict: Callable[[], Any],
        load_state_dict: Callable[[Any], Any],
        max_steps: int,
        eval_rows: int,
        batches: Callable[[int], Iterable[Any]] | None = None,
        begin: Callable[[int], Any] | None = None,
        learning_rates: Sequence[float] | None = None,
        steps_per_epoch: float | None = None,
        rows_per_step: float | None = None,
        eval_batch_size: int = 1,
        evaluations: int = 0,
        eval_labels: Sequence[int] | None = None,
        run_settings: Mapping[str, Any] | None = None,
        accelerator: Any = None,
        seed: int = 42,
        snapshot: str = "cpu",
        progress: bool | None = None,
        **settings: Any,
    ) -> PreflightRunner:
        """A runner for a training loop of your own, such as a plain accelerate loop.

        Random numbers (python, numpy, torch, every CUDA device) are put aside and back by the
        runner. All else that a step changes has to be in `state_dict`.

        Args:
            goal: what the run is judged by: a `Goal`, or text such as ``"eval_accuracy>=0.85"``.
            step: makes one optimizer step, gradient accumulation included, and returns its loss,
                or a dict with ``loss`` and, if known, ``grad_norm`` and ``learning_rate``. It is
                given the next of `batches`, or nothing when there are none.
            evaluate: metrics on the first so many rows of the evaluation set, in an order that
                is always the same; called with the number of rows. ``accuracy`` and
                ``eval_accuracy`` are the same metric.
            state_dict: all that a step changes: model (with adapters: theirs alone), optimizer,
                scheduler, scaler; nested dicts and lists of tensors and plain values. Without
                `batches` also the position in the data.
            load_state_dict: brings back what `state_dict` gave. Tried before the first step.
            max_steps: optimizer steps of the full run.
            eval_rows: rows of the evaluation set.
            batches: what one epoch's `step` calls are given, in the order of this seed; begun
                anew at each epoch's end. Return a new loader for each call.
            begin: draws anew, for a seed, what the run draws at random (head, adapters). Not
                called for the first probe, which is the run as it stands.
            learning_rates: (max_steps,) planned learning rates; without them the risk curve
                cannot use the schedule.
            steps_per_epoch: optimizer steps in one pass over the data.
            rows_per_step: training rows of one optimizer step over all processes.
            eval_batch_size: rows of one evaluation batch over all processes.
            evaluations: evaluations of the whole set that the full run will do, for its cost.
            eval_labels: class indices of the evaluation set, for the majority baseline.
            run_settings: JSON scalars that describe the run, for the report.
            accelerator: the Accelerator, whose own bookkeeping is then put back as well.
            seed: of the run.
            snapshot: where copies of the state are kept: ``"cpu"``, ``"pinned"``, ``"device"``.
            progress: show a progress bar on the main process; None: yes.
            settings: budget, seeds, history, task, depths, eval_samples, timeout, prices,
                false_stop_rate: see `PreflightRunner`. Without a task, a history is taken to be
                of this task where it names one task at most.

        Raises:
            TypeError: something that is no function, or an unknown setting.
            ValueError: a value out of range, by name.

        Examples:
            >>> runner = PreflightRunner.from_loop(
            ...     goal="eval_accuracy>=0.85",
            ...     batches=lambda seed: train_loader(seed),
            ...     step=train_step,
            ...     evaluate=lambda rows: metrics_on(eval_set.select(range(rows))),
            ...     state_dict=lambda: [model.state_dict(), optimizer.state_dict()],
            ...     load_state_dict=lambda state: (
            ...         model.load_state_dict(state[0]), optimizer.load_state_dict(state[1])
            ...     ),
            ...     max_steps=1000,
            ...     eval_rows=len(eval_set),
            ...     budget=0.05,
            ... )
            >>> report = runner.run()
        """
        storage = check_storage(snapshot)
        loop = Loop(
            step=step,
            evaluate=evaluate,
            state_dict=state_dict,
            load_state_dict=load_state_dict,
            max_steps=max_steps,
            eval_rows=eval_rows,
            batches=batches,
            begin=begin,
            learning_rates=learning_rates,
            steps_per_epoch=steps_per_epoch,
            rows_per_step=rows_per_step,
            eval_batch_size=eval_batch_size,
            evaluations=evaluations,
            eval_labels=eval_labels,
            settings=run_settings,
            accelerator=accelerator,
            seed=seed,
        )
        runner = cls.__new__(cls)
        runner._options = _options(goal, **settings)
        runner._open = lambda ranks: LoopWorkload(loop, storage, ranks.from_main)
        runner._shows_progress = True if progress is None else progress
        return runner

    def run(self) -> RiskReport:
        """Probe, put everything back, report.

        Raises:
            PeerFailedError: another rank failed.
            Exception: whatever the user's own code raises in a probe; all is put back first.
        """
        with (
            terminations_unwound(),
            Lockstep(self._options.timeout) as ranks,
            _opened(self._open, ranks) as workload,
        ):
            allowed = allowed_steps(self._options.budget, workload.facts().max_steps)
            shown = self._shows_progress and ranks.is_main
            with tqdm(total=round(allowed, 1), desc="pre-flight", disable=not shown) as bar:

                def show(spent: float) -> None:
                    bar.update(round(min(spent, allowed), 1) - bar.n)

                session = Session(workload, ranks, self._options, show)
                session.run()
                return session.on_main(lambda: conclude(session))


@contextmanager
def _opened(open_workload: Callable[[Lockstep], Workload], ranks: Lockstep) -> Iterator[Workload]:
    """The workload, put back at the end whatever happened and whoever interrupts it."""
    workload: Workload | None = None
    try:
        with interrupts_held():
            workload = open_workload(ranks)
        yield workload
    finally:
        if workload is not None:
            with interrupts_held():
                workload.close()


def _options(
    goal: Goal | str,
    *,
    history: RunHistory | str | os.PathLike[str] | Iterable[RunRecord] | None = "default",
    price_per_hour: float | None = None,
    currency: str = "USD",
    power_watts: float | None = None,
    rule: str | RuleMaker = "calibrated",
    **settings: Any,
) -> Options:
    return Options(
        goal=Goal.parse(goal),
        make_rule=rule_maker(rule),
        history=history_of(history),
        prices=Prices(price_per_hour, currency, power_watts),
        **settings,
    )


def preflight(
    trainer: Any,
    goal: Goal | str | None = None,
    *,
    budget: float = 0.05,
    seeds: int = 3,
    history: RunHistory | str | os.PathLike[str] | Iterable[RunRecord] | None = "default",
    task: str | None = None,
    depths: Sequence[int] | None = None,
    eval_samples: int | None = 512,
    snapshot: str = "cpu",
    signal_seconds: float | None = None,
    timeout: float = 300.0,
    price_per_hour: float | None = None,
    currency: str = "USD",
    power_watts: float | None = None,
    run_value: float | None = None,
    false_stop_rate: float = 0.05,
    rule: str | RuleMaker = "calibrated",
    progress: bool | None = None,
) -> RiskReport:
    """Probe a Trainer before it trains: how the run will end, how sure that is, go or no-go.

    Everything is put back before it returns or raises: weights, random states, trainer state,
    files. A run after it is bit-identical to one without. The arguments are those of
    `PreflightRunner`.

    Raises:
        TypeError: no goal, or no transformers Trainer.
        ValueError: a value out of range, by name.
        PreflightUnsupportedError: a training setup that could not be put back.

    Examples:
        >>> report = preflight(trainer, goal="eval_accuracy>=0.85", budget=0.05, seeds=3)
        >>> if report.verdict is not Verdict.NO_GO:
        ...     trainer.train()
    """
    if goal is None:
        raise TypeError(
            "preflight needs a goal: what makes the run a good one, such as "
            "preflight(trainer, goal='eval_accuracy>=0.85'), or goal='eval_loss' for better than "
            "trivial"
        )
    return PreflightRunner(
        trainer,
        goal=goal,
        budget=budget,
        seeds=seeds,
        history=history,
        task=task,
        depths=depths,
        eval_samples=eval_samples,
        snapshot=snapshot,
        signal_seconds=signal_seconds,
        timeout=timeout,
        price_per_hour=price_per_hour,
        currency=currency,
        power_watts=power_watts,
        run_value=run_value,
        false_stop_rate=false_stop_rate,
        rule=rule,
        progress=progress,
    ).run()
