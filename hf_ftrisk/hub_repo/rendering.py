"""Markdown from templates in which text from outside is text, whatever it spells.

Every value a template prints is escaped for Markdown and HTML unless it is a `Markdown`; the
template itself runs in Jinja's sandbox.
"""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from jinja2 import FunctionLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hf_ftrisk.text import printable

# Character references rather than backslashes: they hold in Markdown, inside HTML and in tables,
# and neither Jinja nor a formula renderer finds its own marks in them.
_SPECIAL = re.compile(r"[&<>`*\[\]{}|~$\\#@]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|:(?=/)")
_WWW = re.compile(r"(?i)\bwww\.")
# What would begin a list at the start of a line.
_BULLET = re.compile(r"\A(\d*)([-+.)])(?=\s|\Z)")


class Markdown(str):
    """Text that is Markdown already and is printed as it is."""

    __slots__ = ()


def escape(text: object) -> Markdown:
    """`text` as Markdown that renders as exactly this text, on one line."""
    if isinstance(text, Markdown):
        return text
    line = _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", printable(text))
    line = _WWW.sub(lambda match: match[0][:3] + "&#46;", line)
    return Markdown(_BULLET.sub(lambda match: f"{match[1]}&#{ord(match[2])};", line))


def render(template: str, values: dict[str, Any]) -> str:
    """The template of this name, filled with `values`.

    Raises:
        jinja2.UndefinedError: a value the template needs is missing.
    """
    environment = ImmutableSandboxedEnvironment(
        loader=FunctionLoader(_source),
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)


def templates() -> Traversable:
    """Folder of the templates, in the package: in a checkout it is a link to the one at the top."""
    return files("hf_ftrisk") / "model_card_templates"


def _source(template: str) -> str | None:
    file = templates() / template
    return file.read_text(encoding="utf-8") if file.is_file() else None
