"""What the site is built with beyond mkdocs: the command's reference, formulas, a page of runs."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from typing import Any

_HERE = "<!-- cli -->"
_CONCEPTS = "concepts/"
# Code, addresses, tags: what stands there is no formula.
_OTHER = re.compile(r"(```.*?```|`[^`\n]*`|\]\([^)]*\)|<[^>]+>)", re.DOTALL)
_GREEK = {"alpha": "α", "gamma": "γ", "delta": "δ", "eta": "η", "theta": "θ", "lambda": "λ"}
_GREEK |= {"nu": "ν", "rho": "ρ", "sigma": "σ", "chi2": "χ²"}
_SIGNS = {">=": "≥", "<=": "≤", "+-": "±", "sqrt(": "√("}
_NESTED = r"\((?:[^()]|\([^()]*\))*\)"
_BELOW = re.compile(rf"\b([LVIXScR]|eta|theta|chi2)_({_NESTED}|\w+)")
_ABOVE = re.compile(rf"(?<=[\w)>])\^({_NESTED}|-?\w+)")
_SECTION = re.compile(r"#+ `hf-ftrisk ([^`]+)`\n\n(.+?)\n\n", re.DOTALL)
_CUT = re.compile(r"^\* `(\w+)`: .*\.\.\.$", re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`")
_MARKUP = re.compile(r"(<pre.*?</pre>|<code.*?</code>|<[^>]+>)", re.DOTALL)
_PERCENT = re.compile(r"(\d)\s%")
_BLOCK = re.compile(r"(?<=\n\n) {4}(\S.* = .*)(?=\n\n)")


def on_files(files: Any, config: Any) -> Any:
    """Add the page that `hf-ftrisk replay --html` writes of the recorded examples."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "examples.html", content=_examples()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the command's own help where a page asks for it, and set the formulas of concepts."""
    if page.file.src_uri.startswith(_CONCEPTS):
        return formulas(markdown)
    return markdown.replace(_HERE, _help()) if _HERE in markdown else markdown


def on_page_content(content: str, **_: Any) -> str:
    """Keep each percentage on one line."""
    parts = _MARKUP.split(content)
    return "".join(
        part if k % 2 else _PERCENT.sub("\\1\u00a0%", part) for k, part in enumerate(parts)
    )


def formulas(markdown: str) -> str:
    """Formulas written as plain text, with Greek letters and raised and lowered indices."""
    parts = _OTHER.split(_BLOCK.sub(r'<p class="formula">\1</p>', markdown))
    return "".join(part if k % 2 else _set(part) for k, part in enumerate(parts))


def _set(text: str) -> str:
    text = _BELOW.sub(lambda found: f"{found[1]}<sub>{_bare(found[2])}</sub>", text)
    text = _ABOVE.sub(lambda found: f"<sup>{_bare(found[1])}</sup>", text)
    for name, sign in _SIGNS.items():
        text = text.replace(name, sign)
    return re.sub(rf"\b({'|'.join(_GREEK)})(?=\b|<)", lambda found: _GREEK[found[1]], text)


def _bare(index: str) -> str:
    """An index without the brackets that hold it together in plain text."""
    return index[1:-1] if index.startswith("(") and len(index) > 3 else index


def _examples() -> str:
    from hf_ftrisk.replay.batch import Replayer, ReplayOptions
    from hf_ftrisk.replay.examples import NAMES, load_example
    from hf_ftrisk.replay.page import page
    from hf_ftrisk.replay.text import poor_first

    replayer = Replayer(ReplayOptions())
    shown = [load_example(name) for name in NAMES]
    replays = [replayer.replay_record(one.record, one.name, goal=one.goal) for one in shown]
    return page(poor_first(replays), replayer)


def _help() -> str:
    command = [sys.executable, "-m", "typer", "hf_ftrisk.cli.app", "utils", "docs"]
    done = subprocess.run(
        [*command, "--name", "hf-ftrisk"], capture_output=True, text=True, check=True
    )
    return read_in_full(done.stdout.partition("\n")[2])  # without its title: the page has one


def read_in_full(text: str) -> str:
    """Help as typer writes it, with whole sentences in its lists, and code that can be typed.

    Lists of commands are cut short there, and the signs of code are written as HTML entities.
    """
    sections = re.split(r"^(?=#+ `)", text, flags=re.MULTILINE)
    told = {
        found[1]: " ".join(found[2].split()) for found in map(_SECTION.match, sections) if found
    }
    written = []
    for section in sections:
        found = _SECTION.match(section)
        parent = f"{found[1]} " if found else ""

        def whole(cut: re.Match[str], parent: str = parent) -> str:
            return f"* `{cut[1]}`: {told[parent + cut[1]]}"

        written.append(_CUT.sub(whole, section))
    return _CODE.sub(lambda found: html.unescape(found[0]), "".join(written))
