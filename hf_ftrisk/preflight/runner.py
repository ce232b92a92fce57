"""The pre-flight of a Trainer or of a loop: opened in lockstep, run, put back, reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any

from tqdm.auto import tqdm

from hf_ftrisk.goal import Goal
from hf_ftrisk.preflight.cost import Prices
from hf_ftrisk.preflight.distributed import Lockstep
from hf_ftrisk.preflight.options import Options
from hf_ftrisk.preflight.plan import allowed_steps
from hf_ftrisk.preflight.session import Session
from hf_ftrisk.preflight.snapshot import check_storage
from hf_ftrisk.preflight.trainer_workload import TrainerWorkload
from hf_ftrisk.preflight.workload import Workload
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import RiskReport


class PreflightRunner:
    """Probes a Trainer before it trains and leaves it as it was; `preflight` in two steps.

    Args:
        trainer: the user's Trainer, which has not to be prepared in any way.
        goal: what the run is judged by: a `Goal`, or text such as ``"eval_accuracy>=0.85"``.
        budget: hard cap on the share of the full run's optimiser steps to spend, in (0, 1].
            Evaluations count at their measured cost.
        seeds: probes with different data order, dropout, and where untouched a fresh head and
            fresh adapters. Fewer are run where the budget is small; the notes say so.
        history: completed runs of the same task (a RunHistory or records); None: packaged runs.
        depths: optimiser steps to look at; None: a doubling grid as deep as the budget goes.
        eval_samples: rows of the evaluation set to measure on at most, always the same ones;
            None: all.
        snapshot: where copies of trainable weights are kept: ``"cpu"``, ``"pinned"`` host memory,
            or on the ``"device"``.
        signal_seconds: bound on the time for static signals; 0: none.
        timeout: seconds after which a rank that waits for the others gives up.
        price_per_hour: price of one hour of all machines together, in `currency`.
        currency: unit of the price.
        power_watts: power that all machines together draw.
        run_value: what avoiding one wasted run is worth, in `currency`; sets the price of probing.
        false_stop_rate: allowed chance that a good run is called NO_GO.
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
        history: Iterable[RunRecord] | None = None,
        depths: Sequence[int] | None = None,
        eval_samples: int | None = 512,
        snapshot: str = "cpu",
        signal_seconds: float = 30.0,
        timeout: float = 300.0,
        price_per_hour: float | None = None,
        currency: str = "USD",
        power_watts: float | None = None,
        run_value: float | None = None,
        false_stop_rate: float = 0.05,
        progress: bool | None = None,
    ) -> None:
        storage = check_storage(snapshot)
        self._options = Options(
            goal=Goal.parse(goal),
            budget=budget,
            seeds=seeds,
            history=None if history is None else tuple(history),
            depths=depths,
            eval_samples=eval_samples,
            signal_seconds=signal_seconds,
            timeout=timeout,
            false_stop_rate=false_stop_rate,
            prices=Prices(price_per_hour, currency, power_watts),
            run_value=run_value,
            progress=progress,
        )
        self._shows_progress = not trainer.args.disable_tqdm if progress is None else progress
        self._open: Callable[[Lockstep], Workload] = lambda ranks: TrainerWorkload(
            trainer, self._options.goal.metric, storage, ranks.from_main
        )

    def run(self) -> RiskReport:
        """Probe, put everything back, report.

        Raises:
            PeerFailedError: another rank failed.
            Exception: whatever the user's own code raises in a probe; all is put back first.
        """
        with Lockstep(self._options.timeout) as ranks, closing(self._open(ranks)) as workload:
            allowed = allowed_steps(self._options.budget, workload.facts().max_steps)
            shown = self._shows_progress and ranks.is_main
            with tqdm(total=round(allowed, 1), desc="pre-flight", disable=not shown) as bar:

                def show(spent: float) -> None:
                    bar.update(round(min(spent, allowed), 1) - bar.n)

                return Session(workload, ranks, self._options, show).run()


def preflight(trainer: Any, goal: Goal | str, **settings: Any) -> RiskReport:
    """Probe a Trainer before it trains: how the run will end, how sure that is, go or no-go.

    Everything is put back before it returns or raises: weights, random states, trainer state,
    files. A run after it is bit-identical to one without.

    Args:
        trainer: any transformers Trainer: subclasses, Seq2SeqTrainer, TRL's, with adapters or not.
        goal: a `Goal`, or text such as ``"eval_accuracy>=0.85"``.
        settings: budget, seeds, history, depths, ...: see `PreflightRunner`.

    Example:
        >>> report = preflight(trainer, goal="eval_accuracy>=0.85", budget=0.05, seeds=3)
        >>> if report.verdict is not Verdict.NO_GO:
        ...     trainer.train()
    """
    return PreflightRunner(trainer, goal=goal, **settings).run()
