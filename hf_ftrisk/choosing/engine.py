"""Rank candidates: their probes trained where an engine says, their order told by forecasts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from hf_ftrisk.choosing.options import RankOptions, Unit
from hf_ftrisk.choosing.orders import Order, Reached
from hf_ftrisk.choosing.ranking import Ranking
from hf_ftrisk.choosing.study import Study
from hf_ftrisk.goal import Goal
from hf_ftrisk.history import RunHistory
from hf_ftrisk.history.given import history_of
from hf_ftrisk.history.remembered import Remembered
from hf_ftrisk.record import RunRecord

Make = Callable[[], Any]


class Engine(Protocol):
    """Carries out orders."""

    def carry_out(self, orders: Sequence[Order]) -> list[Reached]:
        """One report for each order, in their order; faults of candidates are in the reports."""
        ...


class LocalEngine:
    """One process, one Trainer alive at a time.

    Args:
        candidates: name -> function that builds the Trainer.
    """

    def __init__(self, candidates: Mapping[str, Make]) -> None:
        self._candidates = candidates

    def carry_out(self, orders: Sequence[Order]) -> list[Reached]:
        """One after the other."""
        from hf_ftrisk.choosing.leg import run_order

        return [run_order(self._candidates[order.name], order) for order in orders]


def rank(
    candidates: Mapping[str, Make],
    goal: Goal | str,
    *,
    budget: float = 0.2,
    engine: Literal["local", "ray"] | Engine = "local",
    folder: str | os.PathLike[str] = "ftrisk-rank",
    unit: Unit = "steps",
    price_per_hour: float | Mapping[str, float] | None = None,
    currency: str = "USD",
    at_once: int | None = None,
    seed: int = 0,
    signal_seconds: float = 5.0,
    history: RunHistory | str | os.PathLike[str] | Iterable[RunRecord] | None = None,
    resources: Mapping[str, Mapping[str, float]] | None = None,
) -> Ranking:
    """Which of several fine-tunes will end best, for a share of the cost of running them all.

    Every candidate is surveyed (wiring, static signals), then trained a little and paused at a
    checkpoint; those for which a deeper look is worth most are trained on, the others are left.
    The winner's run goes on from its checkpoint and is bit by bit the run that was never paused.

    Args:
        candidates: name -> function that builds a fresh Trainer, with a data set to evaluate on.
            Each is called several times, one Trainer lives at a time. Its ``output_dir`` is set to
            a folder of its own under `folder`.
        goal: a `Goal`, or text such as ``"eval_accuracy"``.
        budget: share of the cost of all full runs that may be spent, in (0, 1].
        engine: ``"local"``: this process; ``"ray"``: tasks of a Ray cluster.
        folder: where checkpoints and the state of the ranking are kept. A ranking that was
            interrupted goes on from there.
        unit: what costs are counted in. ``"steps"``: optimizer steps, alike for all candidates,
            and deterministic; ``"time"``: measured seconds, evaluations included; ``"money"``:
            the same at `price_per_hour`.
        price_per_hour: price of an hour, of all candidates or of each.
        currency: unit of the price.
        at_once: candidates trained side by side; None: 1, with Ray 2. The looks that are taken
            depend on it, not on the engine.
        seed: random numbers are set to it before each Trainer is built, so that models with fresh
            parts begin alike; ``transformers.set_seed(seed)`` before your own run gives that run.
        signal_seconds: bound on the time for each candidate's static signals; 0: none.
        history: completed runs to forecast from.
        resources: with Ray: candidate -> resources of its task, such as ``{"num_gpus": 1}``.

    Raises:
        ValueError: no candidate, a value out of range, several processes, or a folder that holds
            another ranking.

    Examples:
        >>> ranking = rank(
        ...     {f"lr={lr}": lambda lr=lr: make_trainer(lr) for lr in (1e-5, 3e-5, 1e-4)},
        ...     goal="eval_accuracy",
        ... )
        >>> print(ranking)
        >>> trainer = make_trainer(...)  # of ranking.best.name
        >>> trainer.train(resume_from_checkpoint=ranking.best.checkpoint)
    """
    if not candidates:
        raise ValueError("rank needs candidates: name -> function that builds a Trainer, got none")
    _check_single_process()
    distributed = engine == "ray"
    if resources is not None and not distributed:
        raise ValueError("resources=... are those of Ray tasks: use engine='ray'")
    options = RankOptions(
        goal=Goal.parse(goal),
        budget=budget,
        unit=unit,
        price_per_hour=price_per_hour,
        currency=currency,
        at_once=at_once if at_once is not None else (2 if distributed else 1),
        seed=seed,
        signal_seconds=signal_seconds,
        history=_runs(history),
    )
    study = Study.open(tuple(candidates), options, Path(folder).absolute())
    return run_study(study, _engine(engine, candidates, resources))


def _check_single_process() -> None:
    n_processes = os.environ.get("WORLD_SIZE", "1")
    if n_processes not in ("", "1"):
        raise ValueError(
            f"rank runs in one process, and this is one of {n_processes} processes: start it "
            "without torchrun or accelerate launch, or use engine='ray'"
        )


def _runs(
    history: RunHistory | str | os.PathLike[str] | Iterable[RunRecord] | None,
) -> tuple[RunRecord, ...]:
    """The completed runs of a history as it was given."""
    given = history_of(history)
    if isinstance(given, Remembered):
        raise ValueError(
            "history='default' names no task to take runs of: give a history of this task's runs"
        )
    return tuple(given.records() if isinstance(given, RunHistory) else given or ())


def run_study(study: Study, engine: Engine) -> Ranking:
    """Carry a study out to its end."""
    while orders := study.next_orders():
        for reached in engine.carry_out(orders):
            study.take(reached)
    study.save()
    return study.ranking()


def _engine(
    engine: Literal["local", "ray"] | Engine,
    candidates: Mapping[str, Make],
    resources: Mapping[str, Mapping[str, float]] | None,
) -> Engine:
    if engine == "local":
        return LocalEngine(candidates)
    if engine == "ray":
        from hf_ftrisk.choosing.cluster import RayEngine

        return RayEngine(candidates, resources or {})
    if isinstance(engine, str):
        raise ValueError(f"engine must be 'local', 'ray' or an Engine, got {engine!r}")
    return engine
