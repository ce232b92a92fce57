"""Imports between rooms go one way; what may load torch is named."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import hf_ftrisk

ROOT = Path(hf_ftrisk.__file__).parent

# Floors of the house, the lowest first: a room takes from its own floor's other files of the same
# room, and from the floors below.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"jsonfile"}),
    frozenset({"columns", "failopen", "metric_names", "settings", "trainer_log"}),
    frozenset({"goal"}),
    frozenset({"metric_scale"}),
    frozenset({"record"}),
    frozenset({"reference", "remote", "trainer_facts"}),
    frozenset({"history", "signals", "forecast"}),
    frozenset({"risk"}),
    frozenset({"policy", "run_options"}),
    frozenset({"report", "report_text", "replay"}),
    frozenset({"terminal", "replay_text", "plots"}),
    frozenset({"preflight", "watch", "replay_command", "history_cli"}),
    frozenset({"callback", "hub"}),
    frozenset({"judging"}),
    frozenset({"instrument"}),
    frozenset({"script", "demo"}),
    frozenset({"cli"}),
    frozenset({"__main__", "__init__"}),
)
# Rooms on one floor that are one thing told in two files.
TOGETHER = frozenset({("report", "report_text"), ("report_text", "report")})


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imports(path: Path, *, types: bool = False) -> Iterator[str]:
    """Modules of ours that a file imports, wherever in it.

    Args:
        path: the file.
        types: also what it imports for type checking alone.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only and not types:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hf_ftrisk."):
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in MODULES else str(node.module)
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.startswith("hf_ftrisk."):
                    yield name.name


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


FILES = sorted(ROOT.rglob("*.py"))
MODULES = frozenset(_module(path) for path in FILES)


def test_every_room_has_its_floor() -> None:
    placed = {room for floor in FLOORS for room in floor}
    assert {_room(path) for path in FILES} == placed


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_between_rooms_go_down(path: Path) -> None:
    height = {room: level for level, floor in enumerate(FLOORS) for room in floor}
    room = _room(path)
    upward = [
        other
        for other in (name.split(".")[1] for name in _imports(path))
        if other != room and (room, other) not in TOGETHER and height[other] >= height[room]
    ]
    assert not upward


def _arrows(files: Sequence[Path], together: frozenset[tuple[str, str]]) -> dict[str, set[str]]:
    """Module -> modules it names, in types too, but for pairs that belong together."""
    return {
        _module(path): {
            other
            for other in _imports(path, types=True)
            if (_module(path).split(".")[-1], other.split(".")[-1]) not in together
        }
        for path in files
    }


def _has_circle(arrows: dict[str, set[str]]) -> bool:
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError:
        return True
    return False


def test_no_two_modules_name_each_other_in_a_circle() -> None:
    graphlib.TopologicalSorter(_arrows(FILES, TOGETHER)).prepare()  # the error names the circle


def test_a_circle_is_found_in_types_and_in_functions() -> None:
    """The reports' two files, which belong together, name each other so."""
    assert _has_circle(_arrows(FILES, frozenset()))
