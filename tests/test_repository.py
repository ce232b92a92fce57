"""The files beside the package say what is true of it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from hf_ftrisk import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def text_of(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert {PROJECT["version"], citation["version"]} == {__version__}
    assert f"## [{__version__}]" in text_of("CHANGELOG.md")


def test_the_citation_names_the_license_and_the_paper() -> None:
    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert citation["license"] == PROJECT["license"]
    assert citation["references"][0]["url"] == "https://arxiv.org/abs/2606.17649"


def test_continuous_integration_runs_targets_that_exist_on_every_supported_python() -> None:
    jobs = yaml.safe_load(text_of(".github/workflows/ci.yml"))["jobs"]
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = {run.removeprefix("make ") for run in runs}
    assert targets == {"check", "docs", "test", "test-oldest"}
    assert targets <= set(re.findall(r"^([\w-]+):", text_of("Makefile"), re.MULTILINE))
    supported = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert jobs["test"]["strategy"]["matrix"]["python-version"] == supported


def test_hooks_before_a_commit_run_what_make_check_runs() -> None:
    (local,) = yaml.safe_load(text_of(".pre-commit-config.yaml"))["repos"]
    entries = [hook["entry"].removeprefix(".venv/bin/") for hook in local["hooks"]]
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", text_of("Makefile"), re.MULTILINE)
    assert recipe is not None
    tools = [line.split("/")[-1].split()[0] for line in recipe[1].splitlines()]
    assert set(tools) <= {entry.split()[0] for entry in entries}
    assert any("tests/test_layers.py" in entry for entry in entries)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_a_page_names_files_and_targets_that_exist(page: str) -> None:
    text = text_of(page)
    names = re.findall(r"(?<![\w./])[\w.][\w./-]*\.(?:py|md|yaml|yml|json)\b", text)
    folders = [ROOT, *(ROOT / "hf_ftrisk" / name for name in ("", "reference", "trainers"))]
    assert not [name for name in names if not any((folder / name).exists() for folder in folders)]
    targets = re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)
    assert set(targets) <= set(re.findall(r"^([\w-]+):", text_of("Makefile"), re.MULTILINE))
