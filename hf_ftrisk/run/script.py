"""Run a training script in this process, as `coverage run` does, with every Trainer in it judged.

The script sees what it would see under ``python script.py args...``: its own ``sys.argv``,
``sys.path[0]``, ``__name__ == "__main__"`` and module ``__main__``; its output, tracebacks and
environment stay as they are.
"""

from __future__ import annotations

import builtins
import gc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

from hf_ftrisk.errors import ScriptNotFoundError
from hf_ftrisk.run import instrument
from hf_ftrisk.run.instrument import instrumented
from hf_ftrisk.run.journal import Journal
from hf_ftrisk.run.options import Refusal, RunOptions
from hf_ftrisk.run.orders import FOLLOWED
from hf_ftrisk.run.outcome import Ended, tell_if_not_judged
from hf_ftrisk.run.terminal import say

FAILED = 1
INTERRUPTED = 130

_OWN_FILES = (__file__, instrument.__file__)


@dataclass(frozen=True)
class Target:
    """What is run: where it is, how it names itself, and what it imports from.

    Args:
        argv0: ``sys.argv[0]``.
        path0: ``sys.path[0]``.
        file: source file.
        spec: import spec of a module run with ``-m``; None for a script.
    """

    argv0: str
    path0: str
    file: str
    spec: importlib.machinery.ModuleSpec | None = None

    def code(self) -> CodeType:
        """Compiled source; a SyntaxError is the script's own failure."""
        if self.spec is not None:
            loader = self.spec.loader
            assert isinstance(loader, importlib.machinery.SourceFileLoader)
            code = loader.get_code(self.spec.name)
            assert code is not None
            return code
        return compile(Path(self.file).read_bytes(), self.file, "exec", dont_inherit=True)

    def main(self) -> ModuleType:
        """A fresh module ``__main__``."""
        module = ModuleType("__main__")
        module.__file__ = self.file
        module.__spec__ = self.spec
        module.__package__ = self.spec.parent if self.spec is not None else None
        module.__loader__ = (
            self.spec.loader
            if self.spec is not None
            else importlib.machinery.SourceFileLoader("__main__", self.file)
        )
        module.__dict__.update(__builtins__=builtins, __annotations__={}, __cached__=None)
        return module


def find_script(path: str) -> Target:
    """The script at `path`.

    Raises:
        ScriptNotFoundError: no such file.
    """
    file = Path(path)
    if not file.is_file():
        raise ScriptNotFoundError(
            f"can't open file {path!r}: no such file, and no command of this name"
        )
    return Target(argv0=path, path0=str(file.resolve().parent), file=os.path.abspath(path))


def find_module(name: str) -> Target:
    """The module `name`, or the ``__main__`` of the package `name`, as ``python -m`` finds it.

    Raises:
        ScriptNotFoundError: no such module, or one that is not a source file.
    """
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except ModuleNotFoundError as error:
        raise ScriptNotFoundError(f"no module named {error.name!r}") from error
    if spec is None or spec.origin is None:
        raise ScriptNotFoundError(f"no module named {name!r} that can be run")
    return Target(argv0=spec.origin, path0=os.getcwd(), file=spec.origin, spec=spec)


def run_script(
    target: str,
    args: Sequence[str] = (),
    *,
    module: bool = False,
    options: RunOptions | None = None,
) -> int:
    """Run a script or module with pre-flight and callback in every Trainer it trains.

    The interpreter is as before afterwards: ``sys.argv``, ``sys.path[0]``, ``__main__``.

    Args:
        target: path of the script, or the module's name.
        args: the script's own arguments.
        module: `target` is a module, as with ``python -m``.
        options: what to put into the Trainers; default: everything, with the Trainer's own goal.

    Returns:
        Exit status: 0 finished, 1 the script failed by itself (an exception, printed as Python
        prints it, or a ``sys.exit`` with another status than 0), 2 the goals cannot be measured
        on the first Trainer and nothing was trained, or the script trained in a loop of its own,
        3 a run was refused or stopped as poor.

    Raises:
        ScriptNotFoundError: there is no such script or module.
        KeyboardInterrupt: the script was interrupted.
    """
    argv, path, own_main = sys.argv, list(sys.path), sys.modules["__main__"]
    options = options or RunOptions()
    try:
        return _run(target, args, module, options, _journal(target, args, module, options))
    finally:
        sys.argv, sys.path[:], sys.modules["__main__"] = argv, path, own_main


def run_program(target: str, args: Sequence[str], *, module: bool, options: RunOptions) -> Ended:
    """`run_script` in an interpreter that ends with the script.

    Its threads and ``atexit`` functions, which outlive it, find ``sys.argv`` and ``__main__`` as
    they left them. An interrupt is printed as Python prints it and gives status 130.

    Returns:
        The exit status, as `run_script` gives it, and what was found.

    Raises:
        ScriptNotFoundError: there is no such script or module.
    """
    journal = _journal(target, args, module, options)
    try:
        status = _run(target, args, module, options, journal)
    except KeyboardInterrupt as stop:
        _print(stop)
        status = INTERRUPTED
    return Ended(status, journal.reports)


def _journal(target: str, args: Sequence[str], module: bool, options: RunOptions) -> Journal:
    command = [sys.executable, *(["-m"] if module else []), target, *args]
    return Journal(options.report_dir, command)


def _run(
    target: str, args: Sequence[str], module: bool, options: RunOptions, journal: Journal
) -> int:
    os.environ.pop(FOLLOWED, None)  # where a followed command runs us, this is the nearer one
    with instrumented(options, say, journal) as instruments:
        if execute(target, args, module=module):
            return FAILED
        tell_if_not_judged(instruments.outcome)
        return instruments.status


def execute(target: str, args: Sequence[str], *, module: bool) -> bool:
    """Execute a program as the interpreter would; ``sys.argv`` and ``__main__`` stay its own.

    Returns:
        Whether it failed by itself, which is printed as Python prints it.

    Raises:
        ScriptNotFoundError: there is no such script or module.
        KeyboardInterrupt: the program was interrupted.
    """
    _set_path0(os.getcwd())
    program = find_module(target) if module else find_script(target)
    main = program.main()
    _set_path0(program.path0)
    sys.argv = [program.argv0, *args]
    sys.modules["__main__"] = main
    with _Ending() as ending:
        exec(program.code(), main.__dict__)
    sys.stdout.flush()
    return ending.failed


def _set_path0(folder: str) -> None:
    """Put `folder` where Python itself put a folder first on the import path, if it did."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


class _Ending:
    """What the interpreter does with what reaches it from a program: print, and set the status.

    Attributes:
        failed: the program ended by an exception of its own, or said that it failed.
    """

    failed = False

    def __enter__(self) -> _Ending:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if isinstance(error, Refusal):
            leave_process_group()
            return True
        if isinstance(error, SystemExit):
            self.failed = _left_with_failure(error)
            return True
        if isinstance(error, Exception):
            _print(error)
            self.failed = True
            return True
        return False


def leave_process_group() -> None:
    """What a refused script never came to: ranks that just end may abort one another."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        # Wrappers of probed models must go before the group they reduce in.
        gc.collect()
        distributed.destroy_process_group()


def _print(error: BaseException) -> None:
    """As the interpreter prints it, through the program's own hook if it set one."""
    _drop_own_frames(error)
    sys.excepthook(type(error), error, error.__traceback__)


def _left_with_failure(leaving: SystemExit) -> bool:
    if leaving.code is None or leaving.code == 0:
        return False
    if not isinstance(leaving.code, int):
        print(leaving.code, file=sys.stderr)
    elif leaving.code != FAILED:
        say(f"the script ended with status {leaving.code}")
    return True


def _drop_own_frames(error: BaseException) -> None:
    """Remove this package's frames from the tracebacks of an exception and of what led to it."""
    pending, seen = [error], set()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        current.__traceback__ = _without_own(current.__traceback__)
        pending += [e for e in (current.__cause__, current.__context__) if e is not None]


def _without_own(traceback: TracebackType | None) -> TracebackType | None:
    stack: TracebackType | None = None
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    for entry in reversed(frames):
        if entry.tb_frame.f_code.co_filename not in _OWN_FILES:
            stack = TracebackType(stack, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return stack
