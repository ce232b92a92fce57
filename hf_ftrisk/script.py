"""Run a training script in this process, as `coverage run` does, with every Trainer in it judged.

The script sees what it would see under ``python script.py args...``: its own ``sys.argv``,
``sys.path[0]``, ``__name__ == "__main__"`` and module ``__main__``; its output, tracebacks and
environment stay as they are.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

import hf_ftrisk.instrument
from hf_ftrisk.instrument import STOPPED, RunOptions, RunRefused, instrumented

FINISHED = 0
FAILED = 1

_OWN_FILES = (__file__, hf_ftrisk.instrument.__file__)


class ScriptNotFoundError(ValueError):
    """There is no such script or module to run."""


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
        module.__dict__["__builtins__"] = __builtins__
        return module


def find_script(path: str) -> Target:
    """The script at `path`.

    Raises:
        ScriptNotFoundError: no such file.
    """
    file = Path(path)
    if not file.is_file():
        raise ScriptNotFoundError(f"can't open file {path!r}: no such file")
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

    Args:
        target: path of the script, or the module's name.
        args: the script's own arguments.
        module: `target` is a module, as with ``python -m``.
        options: what to put into the Trainers; default: everything, with the Trainer's own goal.

    Returns:
        Exit status: 0 finished, 1 the script failed by itself (an exception, printed as Python
        prints it, or a ``sys.exit`` with another status than 0), 3 a run was refused or stopped
        as poor.

    Raises:
        ScriptNotFoundError: there is no such script or module.
    """
    with _path0(os.getcwd()):
        found = find_module(target) if module else find_script(target)
    with (
        _as_main(found, args) as main,
        instrumented(options or RunOptions(), _say) as instruments,
    ):
        failed = _execute(found, main)
        sys.stdout.flush()
    if failed:
        return FAILED
    return STOPPED if instruments.stopped else FINISHED


def _say(message: str) -> None:
    """To stderr: the script's standard output stays its own."""
    for line in message.splitlines():
        print(f"hf-ftrisk: {line}", file=sys.stderr, flush=True)


def _execute(target: Target, main: ModuleType) -> bool:
    """Run the target's code in `main`; whether it failed by itself."""
    try:
        exec(target.code(), main.__dict__)
    except RunRefused:
        return False
    except SystemExit as leaving:
        return _left_with_failure(leaving)
    except Exception as error:  # noqa: BLE001 - the interpreter's place: the script's failure
        _drop_own_frames(error)
        sys.excepthook(type(error), error, error.__traceback__)
        return True
    return False


def _left_with_failure(leaving: SystemExit) -> bool:
    if leaving.code is None or leaving.code == 0:
        return False
    if not isinstance(leaving.code, int):
        print(leaving.code, file=sys.stderr)
    elif leaving.code != FAILED:
        _say(f"the script left with status {leaving.code}")
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
    kept: TracebackType | None = None
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    for entry in reversed(frames):
        if entry.tb_frame.f_code.co_filename not in _OWN_FILES:
            kept = TracebackType(kept, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return kept


@contextmanager
def _path0(folder: str) -> Iterator[None]:
    """`folder` in place of the folder Python itself put first on the import path, if it did."""
    before = list(sys.path)
    if sys.flags.safe_path:
        yield
        return
    sys.path[0] = folder
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def _as_main(target: Target, args: Sequence[str]) -> Iterator[ModuleType]:
    """`sys.argv`, `sys.path[0]` and `__main__` of the target; restored on leaving."""
    argv, own_main = sys.argv, sys.modules["__main__"]
    main = target.main()
    with _path0(target.path0):
        sys.argv = [target.argv0, *args]
        sys.modules["__main__"] = main
        try:
            yield main
        finally:
            sys.argv = argv
            sys.modules["__main__"] = own_main
