"""Pre-flight and callback for every Trainer a program trains, without the program knowing.

`transformers.Trainer.train` is replaced once and restored afterwards. transformers is not imported
for that: the program may set environment variables before it does so itself.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from hf_ftrisk.goal import Goal

if TYPE_CHECKING:
    from hf_ftrisk.report import RiskReport

STOPPED = 3
_TRAINER_MODULE = "transformers.trainer"


@dataclass(frozen=True)
class RunOptions:
    """What is put into the Trainers of a program.

    Args:
        preflight: probe each Trainer before it trains.
        watch: follow each training with the callback.
        goal: what a run is judged by; None: the Trainer's ``metric_for_best_model``, else
            ``eval_loss``.
        budget: share of the full run's steps the pre-flight may spend, in (0, 1].
        seeds: probe runs of the pre-flight.
        action: ``"stop"``: a no-go is not started and a poor run is stopped; ``"warn"``: say so.
        report_dir: folder the reports are written to; None: none are written.
        history: file of the run history; None: none is used.

    Raises:
        ValueError: a value outside its range.
    """

    preflight: bool = True
    watch: bool = True
    goal: Goal | None = None
    budget: float = 0.05
    seeds: int = 3
    action: Literal["warn", "stop"] = "stop"
    report_dir: Path | None = None
    history: Path | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.budget <= 1.0:
            raise ValueError(f"budget is a share of the full run in (0, 1], got {self.budget!r}")
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds!r}")
        if self.action not in ("warn", "stop"):
            raise ValueError(f"action must be 'warn' or 'stop', got {self.action!r}")


class RunRefused(SystemExit):
    """A pre-flight said no: leaves the program with status 3 where its training would have begun.

    A SystemExit, so that a program's ``except Exception`` does not swallow it.
    """

    def __init__(self) -> None:
        super().__init__(STOPPED)


def goal_of(trainer: Any) -> Goal:
    """The goal a Trainer states itself: ``metric_for_best_model``, else ``eval_loss``."""
    metric = trainer.args.metric_for_best_model or "eval_loss"
    direction = trainer.args.greater_is_better if trainer.args.metric_for_best_model else None
    return Goal(metric, greater_is_better=direction)


@dataclass
class Instruments:
    """The state of an instrumented program: what was found on the Trainers it trained.

    Args:
        options: what to put into them.
        say: where messages go.
        stopped: a run was refused or stopped as poor.
        reports: reports of the pre-flights and watched runs, in order.
    """

    options: RunOptions
    say: Callable[[str], None]
    stopped: bool = False
    reports: list[RiskReport] = field(default_factory=list)
    _seen: weakref.WeakSet[Any] = field(default_factory=weakref.WeakSet)
    _probing: bool = False

    def train(
        self,
        original: Callable[..., Any],
        trainer: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> Any:
        """Train with pre-flight and callback; a probe of the pre-flight trains without them."""
        if self._probing or trainer in self._seen:
            return original(trainer, *args, **kwargs)
        self._seen.add(trainer)
        goal = self.options.goal or goal_of(trainer)
        if self.options.preflight:
            reason = _reason_to_skip(trainer, args, kwargs)
            if reason is None:
                self._preflight(trainer, goal)
            else:
                self._tell(trainer, f"no pre-flight: {reason}")
        if not self.options.watch:
            return original(trainer, *args, **kwargs)
        callback = self._watch(trainer, goal)
        result = original(trainer, *args, **kwargs)
        if callback.report is not None:
            self._add(trainer, callback.report)
            self.stopped = self.stopped or callback.report.stopped_at is not None
        return result

    def _preflight(self, trainer: Any, goal: Goal) -> None:
        from hf_ftrisk.policy.verdict import Verdict
        from hf_ftrisk.preflight import preflight

        self._probing = True
        try:
            report = preflight(
                trainer,
                goal=goal,
                budget=self.options.budget,
                seeds=self.options.seeds,
                history=self._history(),
            )
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the program
            self._tell(trainer, f"the pre-flight failed and is left out: {error!r}")
            return
        finally:
            self._probing = False
        self._add(trainer, report)
        self._tell(trainer, "\n".join([f"pre-flight: {report.verdict}", *report.reasons]))
        if report.verdict is Verdict.NO_GO and self.options.action == "stop":
            self.stopped = True
            raise RunRefused

    def _watch(self, trainer: Any, goal: Goal) -> Any:
        from hf_ftrisk.callback import FineTuneRiskCallback

        callback = FineTuneRiskCallback(
            goal=goal, action=self.options.action, history=self._history()
        )
        callback.attach(trainer)
        return callback

    def _history(self) -> Any:
        if self.options.history is None:
            return None
        from hf_ftrisk.history import RunHistory

        return RunHistory(self.options.history)

    def _add(self, trainer: Any, report: RiskReport) -> None:
        self.reports.append(report)
        if self.options.report_dir is not None and trainer.is_world_process_zero():
            number = sum(other.stage == report.stage for other in self.reports)
            suffix = "" if number == 1 else f"-{number}"
            report.save(self.options.report_dir / f"{report.stage}{suffix}.json")

    def _tell(self, trainer: Any, message: str) -> None:
        if trainer.is_world_process_zero():
            self.say(message)


def _reason_to_skip(trainer: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> str | None:
    resumed = args[0] if args else kwargs.get("resume_from_checkpoint")
    trial = args[1] if len(args) > 1 else kwargs.get("trial")
    if resumed:
        return "the run resumes from a checkpoint"
    if trial is not None:
        return "the run is a trial of a hyperparameter search"
    if trainer.eval_dataset is None:
        return "the Trainer has no eval_dataset to judge a probe by"
    return None


@contextmanager
def instrumented(options: RunOptions, say: Callable[[str], None]) -> Iterator[Instruments]:
    """While it lasts, every Trainer that trains in this process is probed and watched."""
    instruments = Instruments(options, say)
    patched: list[tuple[type, Callable[..., Any]]] = []

    def patch(module: ModuleType) -> None:
        owner = module.Trainer
        original = owner.train

        @functools.wraps(original)
        def train(trainer: Any, *args: Any, **kwargs: Any) -> Any:
            return instruments.train(original, trainer, args, kwargs)

        patched.append((owner, original))
        owner.train = train

    finder = _OnImport(_TRAINER_MODULE, patch)
    if _TRAINER_MODULE in sys.modules:
        patch(sys.modules[_TRAINER_MODULE])
    else:
        sys.meta_path.insert(0, finder)
    try:
        yield instruments
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
        for owner, original in patched:
            owner.train = original  # type: ignore[attr-defined]  # owner is transformers.Trainer


class _OnImport:
    """A finder that lets the others find one module, and calls `then` once it has been executed."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._then = then
        self._asking = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self._name or self._asking:
            return None
        self._asking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asking = False
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self._then(module)

        # A source file's loader belongs to its module alone.
        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # this one instance
        return spec
