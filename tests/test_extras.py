"""The base install has no torch: what needs an extra says which, and what to type."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from hf_ftrisk.errors import MissingExtraError
from hf_ftrisk.extras import EXTRAS, named_extras

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
HOMES = packages_distributions()

# Import hooks that make torch and its kin impossible to find, as in a base install.
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder
GONE = {"torch", "transformers", "accelerate", "datasets", "peft", "datasketch", "sklearn"}
class Gone(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Gone())
"""


def without_torch(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code, *args], capture_output=True, text=True, check=False
    )


def names(requirements: list[str]) -> set[str]:
    return {r.split(">")[0].split("[")[0].strip().lower() for r in requirements}


@pytest.mark.parametrize("extra", EXTRAS)
def test_each_module_comes_with_the_extra_that_is_named_for_it(extra: str) -> None:
    declared = names(PROJECT["optional-dependencies"][extra])
    for module in EXTRAS[extra]:
        assert declared & {name.lower() for name in HOMES[module]}, module


def test_the_base_install_asks_for_nothing_that_trains() -> None:
    assert not names(PROJECT["dependencies"]) & names(PROJECT["optional-dependencies"]["train"])


@pytest.mark.parametrize("name", ["preflight", "FineTuneRiskCallback"])
def test_a_public_name_that_needs_torch_says_what_to_type(name: str) -> None:
    done = without_torch(f"from hf_ftrisk import {name}\n{name}({{}}, goal='eval_loss')")
    assert done.returncode == 1
    assert 'pip install "hf-ftrisk[train]"' in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", [["run", "x.py"], ["rank", "--vary", "a=1,2", "x"], ["demo"]])
def test_a_command_that_needs_torch_says_what_to_type(command: list[str]) -> None:
    code = "from hf_ftrisk.cli import main\nsys.argv[0] = 'hf-ftrisk'\nmain()"
    done = without_torch(code, *command)
    assert done.returncode == 2
    assert done.stderr == (
        'Error: this needs torch, which is not installed: pip install "hf-ftrisk[train]"\n'
    )


def test_a_missing_module_that_is_no_extra_stays_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError) as caught, named_extras():
        import no_such_module  # noqa: F401
    assert not isinstance(caught.value, MissingExtraError)
