"""The code on README and on the pages runs as it stands, with tiny models for the reader's own."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import typer.main
from matplotlib import pyplot

from hf_ftrisk.cli.app import app
from tests.docs.given import GIVEN

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Run elsewhere: a Hub that is there (tests/hub), a loop (examples/accelerate_loop.py,
# tests/watch/test_loop.py), a ranking
# (tests/choosing/test_rank.py), the code of docs/concepts/risk.md (tests/risk/test_docs.py).
ELSEWHERE = {
    "docs/guides/choosing.md": (0,),
    "docs/guides/hub.md": (0, 1),
    "docs/guides/accelerate-loop.md": (0, 1),
    "docs/concepts/risk.md": (0, 1),
}


# Commands that `hf-ftrisk run` is given on the pages: what follows is theirs.
LAUNCHERS = {"torchrun", "accelerate", "trl", "axolotl", "llamafactory-cli", "swift"}
LAUNCHERS |= {"python", "./launch.sh"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    kinds = "|".join(languages)
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```(?:{kinds})\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


CODE = {name_of(page): blocks(page, "python") for page in PAGES if blocks(page, "python")}


def test_every_page_that_is_given_something_has_code():
    assert GIVEN.keys() <= CODE.keys()
    assert ELSEWHERE.keys() <= CODE.keys()


def on_cpu(block: str) -> str:
    """The block for a machine without an accelerator: TRL's default of bf16 needs to be told."""
    return block.replace('output_dir="out",', 'output_dir="out", use_cpu=True,')


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CODE))
def test_the_code_of_a_page_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = GIVEN[name](tmp_path) if name in GIVEN else {}
    names["__name__"] = "page"
    for number, block in enumerate(CODE[name]):
        if number not in ELSEWHERE.get(name, ()):
            pyplot.close("all")  # as in a notebook, where a cell begins with no figure
            exec(compile(on_cpu(block), f"{name}, block {number}", "exec"), names)


def commands(page: Path) -> list[list[str]]:
    """Words of each call of the command on a page, the command itself left off."""
    calls = []
    for block in blocks(page, "bash", "console", "sh", ""):
        text = re.sub(r"\\\n", " ", block)
        for line in text.splitlines():
            match = re.match(r"^\s*(?:\$ )?(?:\S+ .*-m hf_ftrisk|hf-ftrisk) (.*)", line)
            if match:
                calls.append(shlex.split(match[1], comments=True))
    return calls


CALLS = [(name_of(page), words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(("page", "words"), CALLS, ids=[f"{p}: {' '.join(w)}" for p, w in CALLS])
def test_a_command_on_a_page_is_one_that_is_read(page, words):
    command: click.Command = typer.main.get_command(app)
    words = [word for word in words if word != "..."]
    with click.Context(command, info_name="hf-ftrisk", resilient_parsing=True) as context:
        while hasattr(command, "commands"):
            name = words.pop(0)
            command = command.commands[name]
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
    ours = words
    for position, word in enumerate(words):
        # What follows a script's name, or a command's, is its own.
        if word.endswith(".py") or word == "-m" or word in LAUNCHERS:
            ours = words[:position]
            break
    used = {word.partition("=")[0] for word in ours if word.startswith("-")}
    assert used <= options | {"--help", "--version"}, context.info_name
