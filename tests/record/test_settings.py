"""Every setting that the package writes or reads is declared, with whether it may be shared."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hf_ftrisk
from hf_ftrisk.record.settings import SETTINGS, SHARED, declared

ROOT = Path(hf_ftrisk.__file__).parent


def _names_settings(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "settings") or (
        isinstance(node, ast.Attribute) and node.attr == "settings"
    )


def _dict_keys(node: ast.expr) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Dict):
            for key in inner.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value


def settings_in(source: str) -> set[str]:
    """Names of settings that a module writes or reads by name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and _names_settings(node.value):
            names |= {c.value for c in ast.walk(node.slice) if isinstance(c, ast.Constant)}
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if node.value is not None and any(map(_names_settings, targets)):
                names.update(_dict_keys(node.value))
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id == "declared":
                names |= {item.arg for item in node.keywords if item.arg}
            if isinstance(called, ast.Attribute) and _names_settings(called.value) and node.args:
                names |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant)}
            for item in node.keywords:
                if item.arg == "settings":
                    names.update(_dict_keys(item.value))
    return names


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("settings['a'] = 1", {"a"}),
        ("record.settings.get('a')", {"a"}),
        ("f(settings={'a': 1, **more})", {"a"}),
        ("settings = {'a': 1} | more", {"a"}),
        ("settings |= declared(a=1)", {"a"}),
        ("other = {'a': 1}", set()),
    ],
)
def test_settings_are_found_however_they_are_written(source, names):
    assert settings_in(source) == names


FILES = sorted(path for path in ROOT.rglob("*.py") if "demo" not in path.parts)


def test_every_setting_of_the_package_is_declared():
    used = {name: path for path in FILES for name in settings_in(path.read_text())}
    assert len(used) > 20
    assert not {name: path.name for name, path in used.items() if name not in SETTINGS}


def test_an_undeclared_setting_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match=r"\['hostname'\] are written but not declared"):
        declared(hostname="bigbox")


def test_settings_are_shared_unless_they_say_otherwise():
    assert set(SETTINGS) - SHARED == {"trainer"}
