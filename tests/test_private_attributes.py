"""The page of other libraries' private attributes says what the code uses, and they are there."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch.distributed.distributed_c10d as c10d
from accelerate.state import GradientState

import hf_ftrisk
from tests.watch.tiny import bert_trainer

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reference" / "private-attributes.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `_")]
LISTED = {row.split("`")[1] for row in ROWS}


def _own_names(tree: ast.AST) -> Iterator[str]:
    """Private names that a module defines itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute):
            if _is_self(node.value) and isinstance(node.ctx, ast.Store):
                yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def foreign_attributes(places: Sequence[object]) -> set[str]:
    """Private attributes that the package reads and that no class of its own has, or others too.

    Args:
        places: objects of other libraries; a name that one of them has is theirs, where it is read
            off anything but ``self``.
    """
    trees = [ast.parse(path.read_text()) for path in Path(hf_ftrisk.__file__).parent.rglob("*.py")]
    own = {name for tree in trees for name in _own_names(tree)}
    foreign = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        off_self = isinstance(node, ast.Attribute) and _is_self(node.value)
        for name in filter(re.compile(r"_[a-z]").match, _names_in(node)):
            theirs = not off_self and any(hasattr(place, name) for place in places)
            if name not in own or theirs:
                foreign.add(name)
    return foreign


def _names_in(node: ast.AST) -> Iterator[str]:
    """Attributes that a node reads, by name or by the text of one."""
    if isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Call) and _called(node) in ("getattr", "setattr", "_wrap"):
        constants = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        yield from (value for value in constants if isinstance(value, str))


def _called(call: ast.Call) -> str:
    """The last name of what is called."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Objects of the libraries as they are while a Trainer trains."""
    trainer = bert_trainer(tmp_path_factory.mktemp("trained"), max_steps=1)
    trainer.train()
    held = (trainer.accelerator, trainer.model, trainer.model.config, trainer.optimizer)
    return (trainer, *held, trainer.lr_scheduler, GradientState, GradientState(), c10d, sys)


def test_the_page_lists_what_is_used_and_nothing_else(places):
    assert foreign_attributes(places) == LISTED


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("`")[1])
def test_the_tests_that_would_notice_are_there(row):
    named = re.findall(r"`(tests/[\w/.]+)`", row)
    assert named
    assert all((ROOT / name).is_file() for name in named)


def test_every_listed_attribute_is_where_the_page_says(places):
    assert not {name for name in LISTED if not any(hasattr(place, name) for place in places)}
