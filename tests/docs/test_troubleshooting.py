"""docs/troubleshooting.md names every exception and every diagnosis that there is."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import hf_ftrisk
from hf_ftrisk import errors
from hf_ftrisk.policy.parts.findings import NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`(\w+)`", PAGE))


def diagnosis_names() -> set[str]:
    """Names given to `Diagnosis(...)` in the package, and a pre-flight's parts."""
    found = set(NAMES.values())
    for path in Path(hf_ftrisk.__path__[0]).rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Diagnosis":
                found |= {name for key in call.keywords if key.arg == "name" for name in told(key)}
    return found


def told(keyword: ast.keyword) -> set[str]:
    """What the value can be: texts, either arm of a choice, and a data set's ``which``."""
    value = keyword.value
    if isinstance(value, ast.IfExp):
        arms = (value.body, value.orelse)
        return {str(arm.value) for arm in arms if isinstance(arm, ast.Constant)}
    if isinstance(value, ast.JoinedStr):
        text = ast.unparse(value).strip("f'\"")
        return {text.replace("{which}", which) for which in ("train", "eval")}
    return {value.value} if isinstance(value, ast.Constant) and value.value else set()


def test_every_exception_is_on_the_page():
    kinds = {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == errors.__name__
    }
    assert kinds - {"FtriskError"} <= NAMED


def test_every_diagnosis_is_on_the_page():
    names = diagnosis_names()
    assert {"zero_gradients", "empty_eval_set", "cannot_move", "diverging"} <= names
    assert names <= NAMED
