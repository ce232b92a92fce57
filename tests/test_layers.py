"""Imports go down the layers: from every import, wherever it stands in a file."""

from __future__ import annotations

import ast
import graphlib
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hf_ftrisk
from tests.layers import LAYERS, table

ROOT = Path(hf_ftrisk.__file__).parent
CHECKOUT = Path(__file__).parents[1]
PAGE = CHECKOUT / "docs" / "reference" / "architecture.md"
MAX_LINES = 450
MAX_FILES = 15
MAX_FILES_AT_ROOT = 12

HEIGHT = {name: number for number, layer in enumerate(LAYERS) for name in layer}


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


FILES = sorted(ROOT.rglob("*.py"))
MODULES = frozenset(_module(path) for path in FILES)


def package_of(module: str) -> str:
    """The package directly below ``hf_ftrisk`` that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(source: str, modules: frozenset[str] = MODULES) -> Iterator[str]:
    """Modules of ours that a source imports: at its head, in functions, for types alone."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if (node.module or "").split(".")[0] == "hf_ftrisk":
                for name in node.names:
                    whole = f"{node.module}.{name.name}"
                    yield whole if whole in modules else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "hf_ftrisk")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import hf_ftrisk", ["hf_ftrisk"]),
        ("from hf_ftrisk import goal", ["hf_ftrisk.goal"]),
        ("from hf_ftrisk import Goal", ["hf_ftrisk"]),
        ("def f():\n    from hf_ftrisk.goal import Goal", ["hf_ftrisk.goal"]),
        ("if TYPE_CHECKING:\n    import hf_ftrisk.risk.fit as fit", ["hf_ftrisk.risk.fit"]),
        ("import numpy", []),
    ],
)
def test_an_import_is_seen_wherever_and_however_it_is_written(source: str, found: list[str]):
    assert list(imports(source)) == found


def test_every_package_has_its_layer() -> None:
    below = {path.name.removesuffix(".py") for path in ROOT.iterdir() if _is_ours(path)}
    assert below == HEIGHT.keys()


def _is_ours(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    own = package_of(_module(path))
    others = {package_of(module) for module in imports(path.read_text(encoding="utf-8"))} - {own}
    assert not {other for other in others if HEIGHT[other] >= HEIGHT[own]}


def test_no_two_modules_import_each_other_in_a_circle() -> None:
    graph = {
        _module(path): {
            other
            for other in imports(path.read_text(encoding="utf-8"))
            # A face imports its package's modules; they import each other, not their face.
            if other != _module(path)
        }
        for path in FILES
    }
    graphlib.TopologicalSorter(graph).prepare()  # the error names the circle


def test_the_page_shows_the_layers_as_they_are_tested() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), "print it with `python -m tests.layers`"


def _is_there(name: str) -> bool:
    """Whether a dotted name is a module of the package, or something that one holds."""
    module, _, attribute = name.rpartition(".")
    return name in MODULES or (
        module in MODULES and hasattr(importlib.import_module(module), attribute)
    )


def test_every_module_that_the_page_names_exists() -> None:
    dotted = re.findall(r"`([a-z_]+(?:\.\w+)+)`", PAGE.read_text(encoding="utf-8"))
    names = {f"hf_ftrisk.{name.removeprefix('hf_ftrisk.')}" for name in dotted}
    assert names
    assert not {name for name in names if not _is_there(name)}


def _heavy_after(modules: list[str]) -> str:
    loads = "\n".join(f"import {module}" for module in modules)
    check = "import sys; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"{loads}\n{check}"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_what_need_not_load_torch_does_not() -> None:
    light = {name for layer in LAYERS for name, package in layer.items() if not package.torch}
    modules = [
        module
        for module in sorted(MODULES)
        if package_of(module) in light and module != "hf_ftrisk.__main__"
    ]
    assert _heavy_after(modules) == "[]"


def test_signals_of_the_data_and_diagnoses_of_records_load_no_torch() -> None:
    light = ["signals.dataset", "signals.dynamics", "diagnoses.trajectory", "diagnoses.certain"]
    assert _heavy_after([f"hf_ftrisk.{name}" for name in light]) == "[]"


def test_no_package_is_wide_and_the_root_is_readable() -> None:
    widths = {folder: len(list(folder.glob("*.py"))) for folder in {p.parent for p in FILES}}
    assert widths.pop(ROOT) <= MAX_FILES_AT_ROOT
    assert not {folder.name: width for folder, width in widths.items() if width > MAX_FILES}


def test_contributors_are_told_the_bounds_that_are_tested() -> None:
    told = " ".join((CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    assert (
        f"No Python file has more than {MAX_LINES} lines, no package of `hf_ftrisk` more than "
        f"{MAX_FILES} of them, and its root has {MAX_FILES_AT_ROOT}."
    ) in told


def test_no_file_is_long() -> None:
    folders = ("hf_ftrisk", "tests", "benchmarks", "examples", "docs")
    files = [path for folder in folders for path in (CHECKOUT / folder).rglob("*.py")]
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not {path: lines for path, lines in lengths.items() if lines > MAX_LINES}
