"""What the site is built with beyond mkdocs: the command's reference, from the command itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

_HERE = "<!-- cli -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the command's own help where a page asks for it."""
    return markdown.replace(_HERE, _help()) if _HERE in markdown else markdown


def _help() -> str:
    command = [sys.executable, "-m", "typer", "hf_ftrisk.cli.app", "utils", "docs"]
    done = subprocess.run(
        [*command, "--name", "hf-ftrisk"], capture_output=True, text=True, check=True
    )
    return done.stdout.partition("\n")[2]  # without its title: the page has one
