"""Exceptions of every kind are caught where this page says, and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hf_ftrisk
from hf_ftrisk.failopen import attempt, fault_of

ROOT = Path(hf_ftrisk.__file__).parent
BROAD = {"Exception", "BaseException"}
# Broad handlers that do not raise at their own end, and what becomes of what they caught.
KEPT = {
    "failopen.attempt": "told once; the run goes on",
    "trainers.state.restore_all": "raised when everything is put back",
    "hub_repo.bounds.within_bounds.work": "raised in the thread that waits",
    "choosing.leg.run_order": "the candidate's own fault, in its report",
    "choosing.child._carried_out.train": "the candidate's own fault, in its report",
}


def broad_handlers(node: ast.AST, name: str) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """(qualified name of the function, handler) of handlers of any exception."""
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = f"{name}.{child.name}"
        if isinstance(child, ast.ExceptHandler) and _is_broad(child):
            yield inner, child
        yield from broad_handlers(child, inner)


def _is_broad(handler: ast.ExceptHandler) -> bool:
    kinds = [] if handler.type is None else ast.walk(handler.type)
    return handler.type is None or any(isinstance(k, ast.Name) and k.id in BROAD for k in kinds)


def _raises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_what_catches_everything_is_listed_or_raises_it_again() -> None:
    handlers = {
        name
        for path in ROOT.rglob("*.py")
        for name, handler in broad_handlers(
            ast.parse(path.read_text(encoding="utf-8")),
            ".".join(path.relative_to(ROOT).with_suffix("").parts),
        )
        if not _raises(handler)
    }
    assert handlers == KEPT.keys()


def test_a_fault_is_told_and_gives_none() -> None:
    told: list[Exception] = []
    assert attempt(lambda: 1 / 0, told.append) is None
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert isinstance(fault_of(int, "x"), ValueError)
    assert fault_of(int, "1") is None


@pytest.mark.parametrize("passes", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_fault(passes: type[BaseException]) -> None:
    def work() -> None:
        raise passes

    with pytest.raises(passes):
        attempt(work, lambda error: None)


def test_what_the_user_must_know_passes() -> None:
    with pytest.raises(ValueError, match="goal"):
        fault_of(_refuse, passing=(ValueError,))


def _refuse() -> None:
    raise ValueError("goal")
