"""The tree of exceptions: one base, the built-in kinds kept, the docstring true."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import hf_ftrisk
from hf_ftrisk import errors
from hf_ftrisk.errors import FtriskError

_OURS = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, Exception) and not issubclass(kind, Warning)
}


@pytest.mark.parametrize("name", sorted(set(_OURS) - {"FtriskError"}))
def test_an_error_is_an_ftrisk_error_and_one_of_pythons(name: str) -> None:
    assert issubclass(_OURS[name], FtriskError)
    assert issubclass(_OURS[name], (ValueError, RuntimeError, ModuleNotFoundError))


def test_the_docstring_shows_the_tree_as_it_is() -> None:
    at_depth: dict[int, str] = {}
    shown = {}
    for line in inspect.getdoc(errors).splitlines():
        match = re.fullmatch(r"( *)(\w+Error)(?: \((\w+)\))?", line)
        if match:
            depth = len(match[1]) // 4
            at_depth[depth] = match[2]
            shown[match[2]] = [name for name in (at_depth.get(depth - 1), match[3]) if name]
    real = {name: [base.__name__ for base in kind.__bases__] for name, kind in _OURS.items()}
    assert shown == {**real, "FtriskError": []}


def test_no_other_module_has_a_public_error() -> None:
    root = Path(hf_ftrisk.__file__).parent
    strays = {
        node.name
        for path in root.rglob("*.py")
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and any(re.search(r"(Error|(?<!Base)Exception)$", ast.unparse(b)) for b in node.bases)
    }
    assert not strays
