"""The files that pin versions say the same as pyproject.toml and as one another."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PIN = re.compile(r"^([\w.-]+)==([\w.+]+)", re.MULTILINE)


def pins(file: str) -> dict[str, str]:
    lines = PIN.findall((ROOT / file).read_text(encoding="utf-8"))
    return {canonicalize_name(name): version for name, version in lines}


def asked(*extras: str) -> list[Requirement]:
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    return [Requirement(text) for text in texts if not text.startswith("hf-ftrisk[")]


@pytest.mark.parametrize("needed", asked("plots", "tensorboard", "train"), ids=lambda n: n.name)
def test_a_lower_bound_is_the_version_that_the_oldest_set_installs(needed: Requirement) -> None:
    if needed.name == "torch":  # older releases are allowed, and not tried (docs/start/install.md)
        return
    (bound,) = needed.specifier
    oldest = pins("constraints-oldest.txt")[canonicalize_name(needed.name)]
    assert bound.operator == ">="
    assert needed.specifier.contains(oldest)
    assert oldest.removesuffix(".0").removesuffix(".0") == bound.version.removesuffix(".0")


def test_the_demos_hashed_pins_are_those_of_the_constraints() -> None:
    ours, all_of_them = pins("requirements-demo.txt"), pins("constraints.txt")
    assert {n: v for n, v in ours.items() if all_of_them.get(n, v) != v} == {}


def test_all_that_the_demo_asks_for_is_hashed_but_torch() -> None:
    ours = pins("requirements-demo.txt")
    names = {canonicalize_name(needed.name) for needed in asked("demo", "train")}
    assert names - ours.keys() == {"torch"}
    entries = (ROOT / "requirements-demo.txt").read_text(encoding="utf-8").split("\n")
    heads = [k for k, line in enumerate(entries) if "==" in line]
    assert all("--hash=sha256:" in entries[k + 1] for k in heads)
