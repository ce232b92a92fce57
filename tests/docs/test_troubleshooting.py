"""docs/troubleshooting.md names every exception, diagnosis and message that there is."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import hf_ftrisk
from hf_ftrisk import errors
from hf_ftrisk.policy.parts.findings import NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`(\w+)`", PAGE))


def diagnosis_names() -> set[str]:
    """Names given to `Diagnosis(...)` in the package, and a pre-flight's parts."""
    words = set(NAMES.values())
    for path in Path(hf_ftrisk.__path__[0]).rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Diagnosis":
                words |= {name for key in call.keywords if key.arg == "name" for name in told(key)}
    return words


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


def exceptions() -> set[str]:
    """Names of the package's own exceptions."""
    return {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == errors.__name__
    }


def test_every_exception_is_on_the_page():
    assert exceptions() - {"FtriskError"} <= NAMED


def test_every_diagnosis_is_on_the_page():
    names = diagnosis_names()
    assert {"zero_gradients", "empty_eval_set", "cannot_move", "diverging"} <= names
    assert names <= NAMED


# What a page quotes of a message; three dots stand for what the message fills in.
QUOTED = [
    re.compile(re.escape(text).replace(re.escape("..."), ".*"))
    for row in re.findall(r"^\| (`.*?) \| .*$", PAGE, re.MULTILINE)
    for text in re.findall(r"`([^`]+)`", row)
    if " " in text
]
# What an expression's callee is called when a person is told something by it.
TELLS = {"warning", "warn", "say", "note"}
# What the page explains by its kind, in its first table; other errors are told by their message.
KINDS = exceptions()


def text_of(node: ast.expr) -> str | None:
    """A message as it is written, with three dots for what it fills in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part) or "..." for part in parts)
        case ast.BinOp(left=left, right=right):
            return (text_of(left) or "...") + (text_of(right) or "...")
    return None


def messages() -> dict[str, str]:
    """Every message that is raised, warned or said with words of its own, and its file."""
    places = {}
    for path in sorted(Path(hf_ftrisk.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            call = node.exc if isinstance(node, ast.Raise) else node
            if not isinstance(call, ast.Call) or not call.args:
                continue
            callee = ast.unparse(call.func).rpartition(".")[2]
            if callee in KINDS or not (isinstance(node, ast.Raise) or callee in TELLS):
                continue
            text = text_of(call.args[0])
            if text and re.search(r"[a-z]{4}", text.replace("[ftrisk", "")):
                places[text.replace("%s", "...")] = path.name
    return places


def test_messages_are_found():
    places = messages()
    assert len(places) > 250
    assert any(text.startswith("[ftrisk] the card goes without") for text in places)


@pytest.mark.parametrize("text", sorted(messages()))
def test_a_message_is_answered_on_the_page(text):
    assert any(quoted.search(text) for quoted in QUOTED), (
        f"no row for {text!r} ({messages()[text]})"
    )
