"""Pre-flight and callback for every Trainer a program trains, without the program knowing.

`transformers.Trainer.train` is replaced once and restored afterwards. transformers is not imported
for that: the program may set environment variables before it does so itself.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hf_ftrisk.failopen import fault_of
from hf_ftrisk.run.journal import Journal
from hf_ftrisk.run.options import Refusal, RunOptions
from hf_ftrisk.run.outcome import Outcome

if TYPE_CHECKING:
    from hf_ftrisk.run.training import Training

TRAINER_MODULE = "transformers.trainer"
_OPTIMIZER_MODULE = "torch.optim.optimizer"

# The original ``train``, the Trainer, positional and keyword arguments of the call.
Train = Callable[[Callable[..., Any], Any, Sequence[Any], dict[str, Any]], Any]


class Instruments:
    """An instrumented program, and what became of the trainings in it.

    Args:
        options: what to put into them.
        say: where messages go.
        journal: what is kept of them.

    Attributes:
        outcome: what became of them so far.
        trainings: trainings that were looked at, in the order they began.
    """

    def __init__(self, options: RunOptions, say: Callable[[str], None], journal: Journal) -> None:
        self.options = options
        self.say = say
        self.outcome = Outcome()
        self.trainings = 0
        self._journal = journal
        self._said: set[str] = set()
        self._probing = False

    def train(
        self,
        original: Callable[..., Any],
        trainer: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> Any:
        """Train with pre-flight and callback; a probe of the pre-flight trains without them."""
        if self._probing:
            return original(trainer, *args, **kwargs)
        self._become(trained=True)
        if _is_trial(trainer, args, kwargs):
            self._say_once(
                trainer,
                "the trials of a hyperparameter search are neither probed nor stopped: "
                "the search judges them",
            )
            return original(trainer, *args, **kwargs)
        training = self._begin(trainer, resumed=_is_resumed(args, kwargs))
        with training.watched():
            result = original(trainer, *args, **kwargs)
        if training.stopped:
            self._become(stopped=True)
        return result

    def _become(self, **changes: Any) -> None:
        """Keep what has become of the program at once: it may be ended at any time."""
        outcome = replace(self.outcome, **changes)
        if outcome != self.outcome:
            self.outcome = outcome
            self._journal.keep_outcome(outcome)

    def _begin(self, trainer: Any, resumed: bool) -> Training:
        from hf_ftrisk.run.training import Training

        self.trainings += 1
        training = Training(trainer, self.options, self.trainings, self.say, self._journal)
        self._probing = True
        try:
            fault = fault_of(training.begin, resumed)
        except Refusal as refusal:
            self._become(refused=refusal.status)
            raise
        finally:
            self._probing = False
        if fault is not None:
            kind = type(fault).__name__
            self.say(f"the training goes on without hf-ftrisk: {kind}: {fault}")
        return training

    def _say_once(self, trainer: Any, message: str) -> None:
        if message not in self._said and trainer.is_world_process_zero():
            self._said.add(message)
            self.say(message)

    def count_step(self, *_: Any) -> None:
        """A step of some optimizer; those of a Trainer are none of the program's own."""
        if self.outcome.trained:
            return
        first = self.outcome.loop_steps == 0
        self.outcome = replace(self.outcome, loop_steps=self.outcome.loop_steps + 1)
        if first:
            self._journal.keep_outcome(self.outcome)

    def find_trainer(self) -> None:
        """transformers' Trainer was imported."""
        self._become(has_trainer=True)

    @property
    def status(self) -> int:
        """Exit status of a program that did not fail by itself."""
        return self.outcome.status


def _is_trial(trainer: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    trial = args[1] if len(args) > 1 else kwargs.get("trial")
    return trial is not None or trainer.hp_search_backend is not None


def _is_resumed(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    return bool(args[0] if args else kwargs.get("resume_from_checkpoint"))


@contextmanager
def instrumented(
    options: RunOptions, say: Callable[[str], None], journal: Journal | None = None
) -> Iterator[Instruments]:
    """While it lasts, every Trainer that trains in this process is probed and watched.

    Args:
        options: what to put into them.
        say: where messages go.
        journal: what is kept of them; None: their reports.
    """
    instruments = Instruments(options, say, journal or Journal(options.report_dir))
    hooks: list[Any] = []

    def listen(module: ModuleType) -> None:
        register = module.register_optimizer_step_post_hook
        fault_of(lambda: hooks.append(register(instruments.count_step)))

    try:
        with (
            _when_imported(_OPTIMIZER_MODULE, listen),
            every_training(instruments.train, instruments.find_trainer),
        ):
            yield instruments
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def every_training(train: Train, found: Callable[[], None] = lambda: None) -> Iterator[None]:
    """While it lasts, every call of a Trainer's ``train`` goes through a function.

    Args:
        train: given the original, the Trainer, and the call's arguments.
        found: called when a program has imported the Trainer.
    """
    patched: list[tuple[type, Callable[..., Any]]] = []

    def patch(module: ModuleType) -> None:
        owner = module.Trainer
        original = owner.train

        @functools.wraps(original)
        def through(trainer: Any, *args: Any, **kwargs: Any) -> Any:
            return train(original, trainer, args, kwargs)

        patched.append((owner, original))
        owner.train = through
        found()

    try:
        with _when_imported(TRAINER_MODULE, patch):
            yield
    finally:
        for owner, original in patched:
            owner.train = original  # type: ignore[attr-defined]  # owner is transformers.Trainer


@contextmanager
def _when_imported(name: str, then: Callable[[ModuleType], None]) -> Iterator[None]:
    """While it lasts, `then` gets a module as soon as it is imported, or at once if it has been."""
    finder = _OnImport(name, then)
    if name in sys.modules:
        then(sys.modules[name])
    else:
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


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
