"""The page of other libraries' private attributes says what the code uses, and they are there."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
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
        elif isinstance(node, ast.Attribute) and _is_self(node.value):
            yield node.attr
        elif isinstance(node, ast.Assign):
            yield from (t.id for t in node.targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def foreign_attributes() -> set[str]:
    """Private attributes that the package reads and that no class of its own has."""
    trees = [ast.parse(path.read_text()) for path in Path(hf_ftrisk.__file__).parent.rglob("*.py")]
    own = {name for tree in trees for name in _own_names(tree)}
    used = {name for tree in trees for node in ast.walk(tree) for name in _names_in(node)}
    return {name for name in used - own if re.match(r"_[a-z]", name)}


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


def test_the_page_lists_what_is_used_and_nothing_else():
    assert foreign_attributes() == LISTED


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("`")[1])
def test_the_tests_that_would_notice_are_there(row):
    named = re.findall(r"`(tests/[\w/.]+)`", row)
    assert named
    assert all((ROOT / name).is_file() for name in named)


def test_every_listed_attribute_is_where_the_page_says(tmp_path):
    trainer = bert_trainer(tmp_path, max_steps=1)
    trainer.train()
    places = (trainer, trainer.accelerator, trainer.model.config, GradientState, GradientState())
    places = (*places, c10d, sys)
    missing = {name for name in LISTED if not any(hasattr(place, name) for place in places)}
    assert not missing
