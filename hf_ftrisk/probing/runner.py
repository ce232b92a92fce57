"""The pre-flight of a Trainer or of a loop: opened in lockstep, run, put back, reported."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, ParamSpec

from tqdm.auto import tqdm

from hf_ftrisk.goal import Goal
from hf_ftrisk.history import RunHistory
from hf_ftrisk.history.given import history_of
from hf_ftrisk.policy import RuleMaker, rule_maker
from hf_ftrisk.probing.budget import allowed_steps
from hf_ftrisk.probing.cost import Prices
from hf_ftrisk.probing.loop.loop import TrainingLoop
from hf_ftrisk.probing.loop.workload import LoopWorkload
from hf_ftrisk.probing.options import PreflightOptions
from hf_ftrisk.probing.report import preflight_report
from hf_ftrisk.probing.session import PreflightSession
from hf_ftrisk.probing.trainer.workload import TrainerWorkload
from hf_ftrisk.probing.workload import Workload
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import RiskReport
from hf_ftrisk.report.preflight_findings import keep_findings
from hf_ftrisk.trainers.interrupts import interrupts_held, terminations_unwound
from hf_ftrisk.trainers.lockstep import Lockstep
from hf_ftrisk.trainers.state import check_storage

P = ParamSpec("P")


class PreflightRunner:
    """Probes a Trainer before it trains and leaves it as it was; `preflight` in two steps.

    Args:
        trainer: the Trainer as it is, not prepared in any way; or a `TrainingLoop`.
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
        rule: what calls a run poor: a name of `hf_ftrisk.policy.RULES` or a
            `hf_ftrisk.policy.RuleMaker`; see `FineTuneRiskCallback`.
        progress: show a progress bar on the main process; None: as the Trainer does.

    Raises:
        TypeError: no goal.
        ValueError: a value out of range, by name.
        PreflightUnsupportedError: a training setup that could not be put back.
    """

    def __init__(
        self,
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
    ) -> None:
        if goal is None:
            raise TypeError(
                "a pre-flight needs a goal: what makes the run a good one, such as "
                "preflight(trainer, goal='eval_accuracy>=0.85'), or goal='eval_loss' for a loss "
                "below the trivial baseline's"
            )
        self._trainer, self._storage = trainer, check_storage(snapshot)
        self._options = PreflightOptions(
            goal=Goal.parse(goal),
            budget=budget,
            seeds=seeds,
            history=history_of(history),
            task=task,
            depths=depths,
            eval_samples=eval_samples,
            signal_seconds=signal_seconds,
            timeout=timeout,
            false_stop_rate=false_stop_rate,
            make_rule=rule_maker(rule),
            prices=Prices(price_per_hour, currency, power_watts),
            run_value=run_value,
        )
        # Something else than a Trainer is refused when it is opened, with a better message.
        quiet = bool(getattr(getattr(trainer, "args", None), "disable_tqdm", False))
        self._shows_progress = not quiet if progress is None else progress

    @classmethod
    def from_loop(cls, loop: TrainingLoop | None = None, **settings: Any) -> PreflightRunner:
        """A runner for a training loop of your own; ``PreflightRunner(loop, ...)`` is the same.

        Args:
            loop: the loop.
            settings: as of `PreflightRunner`. Without a task, a history is taken to be of this
                task where it names one task at most. In place of `loop`, the arguments of
                `TrainingLoop` may stand among them.

        Raises:
            TypeError: something that is no function, or an unknown setting.
            ValueError: a value out of range, by name.

        Examples:
            >>> loop = TrainingLoop(
            ...     batches=lambda seed: train_loader(seed),
            ...     step=train_step,
            ...     evaluate=lambda rows: metrics_on(eval_set.select(range(rows))),
            ...     state_dict=lambda: [model.state_dict(), optimizer.state_dict()],
            ...     load_state_dict=lambda state: (
            ...         model.load_state_dict(state[0]), optimizer.load_state_dict(state[1])
            ...     ),
            ...     max_steps=1000,
            ...     eval_rows=len(eval_set),
            ... )
            >>> report = PreflightRunner.from_loop(loop, goal="eval_accuracy>=0.85").run()
        """
        if loop is None:
            parts = {field.name for field in fields(TrainingLoop)} & set(settings)
            loop = TrainingLoop(**{name: settings.pop(name) for name in parts})
        return cls(loop, **settings)

    def _opened_on(self, ranks: Lockstep) -> Workload:
        if isinstance(self._trainer, TrainingLoop):
            return LoopWorkload(self._trainer, self._storage, ranks)
        return TrainerWorkload(self._trainer, self._options.goal.metric, self._storage, ranks)

    def run(self) -> RiskReport:
        """Probe, put everything back, report.

        Raises:
            PeerFailedError: another rank failed.
            Exception: whatever the user's own code raises in a probe; all is put back first.
        """
        with (
            terminations_unwound(),
            Lockstep(self._options.timeout) as ranks,
            _opened(self._opened_on, ranks) as workload,
        ):
            allowed = allowed_steps(self._options.budget, workload.facts().max_steps)
            shows = self._shows_progress and ranks.is_main
            with tqdm(total=round(allowed, 1), desc="pre-flight", disable=not shows) as bar:

                def show(spent: float) -> None:
                    bar.update(round(min(spent, allowed), 1) - bar.n)

                session = PreflightSession(workload, self._options, show)
                session.run()
                report = session.on_main(lambda: preflight_report(session))
        if not isinstance(self._trainer, TrainingLoop):
            keep_findings(self._trainer, report)
        return report


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


def _with_arguments_of(
    made: Callable[P, PreflightRunner],
) -> Callable[[Callable[..., RiskReport]], Callable[P, RiskReport]]:
    """Give a function the arguments of `made`, for editors, `help` and type checkers."""

    def named(function: Callable[..., RiskReport]) -> Callable[P, RiskReport]:
        own = inspect.signature(function)
        shown = inspect.signature(made).replace(return_annotation=own.return_annotation)
        function.__signature__ = shown  # type: ignore[attr-defined]  # functions have attributes
        return function

    return named


@_with_arguments_of(PreflightRunner)
def preflight(*args: Any, **settings: Any) -> RiskReport:
    """Probe a Trainer before it trains: how the run will end, how sure that is, go or no-go.

    Everything is put back before it returns or raises: weights, random states, trainer state,
    files. A run after it is bit-identical to one without. The arguments are those of
    `PreflightRunner`.

    Raises:
        TypeError: no goal, or neither a transformers Trainer nor a `TrainingLoop`.
        ValueError: a value out of range, by name.
        PreflightUnsupportedError: a training setup that could not be put back.

    Examples:
        >>> report = preflight(trainer, goal="eval_accuracy>=0.85", budget=0.05, seeds=3)
        >>> if report.verdict is not Verdict.NO_GO:
        ...     trainer.train()
    """
    return PreflightRunner(*args, **settings).run()
