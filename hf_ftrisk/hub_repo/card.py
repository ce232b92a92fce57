"""Changes to the text of a repository's card that leave every other byte as it was.

A card is a front matter (YAML between two lines of dashes) and a Markdown body. `merge` sets one
section of the body, one key of the front matter and one tag; key order, comments, quoting, line
endings, a byte order mark and everything a person wrote stay. Nothing here is re-serialized: the
text is edited at positions that the YAML parser reports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hf_ftrisk.errors import CardError
from hf_ftrisk.hub_repo import frontmatter

__all__ = [
    "CardError",
    "Marks",
    "line_ending",
    "merge",
    "metadata",
    "parts",
    "set_section",
    "with_front",
]

# Where the Hub sees a front matter; huggingface_hub.repocard.REGEX_YAML_BLOCK is the same.
_BREAK = r"(?:\r\n|\r|\n)"
_FRONT_MATTER = re.compile(
    rf"\A(?P<open>\s*---{_BREAK})(?P<yaml>[\S\s]*?)"
    rf"(?P<close>{_BREAK}---[ \t]*(?:\r\n|\n|\Z))"
)
_FENCE = re.compile(r"^ {0,3}(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)$", re.MULTILINE)
_BOM = "\ufeff"


@dataclass(frozen=True)
class Marks:
    """The two comments around a managed section.

    Args:
        name: short name, such as ``"ftrisk"``.
    """

    name: str

    @property
    def begin(self) -> str:
        """Comment before the section."""
        return f"<!-- {self.name}:begin (edits between these two comments are replaced) -->"

    @property
    def end(self) -> str:
        """Comment after the section."""
        return f"<!-- {self.name}:end -->"

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(
            rf"^<!-- {re.escape(self.name)}:(?P<edge>begin|end)\b[^\r\n]*?-->", re.MULTILINE
        )

    def inside(self, section: str) -> str:
        """What stands between the marks of a whole section, line breaks included."""
        text = section.replace("\r", "\n")
        marks = list(self._pattern.finditer(text))
        return section[marks[0].end() : marks[-1].start()]

    def find(self, body: str) -> list[tuple[int, int]]:
        """Spans [start, end) of all whole sections in `body`, marks included.

        A section starts at the last opening mark before a closing one, so an opening mark whose
        partner a person deleted swallows nothing. In a block of code a mark is text.
        """
        text = body.replace("\r", "\n")
        code = code_blocks(text)
        spans: list[tuple[int, int]] = []
        opened: int | None = None
        for mark in self._pattern.finditer(text):
            if any(start <= mark.start() < end for start, end in code):
                continue
            if mark["edge"] == "begin":
                opened = mark.start()
            elif opened is not None:
                spans.append((opened, mark.end()))
                opened = None
        return spans


def code_blocks(text: str) -> list[tuple[int, int]]:
    """Spans [start, end) of fenced code in Markdown whose lines end in a line feed.

    A fence that is never closed is none: CommonMark would take all that follows for code, and what
    stands there now, a section of ours among it, would not be found again.
    """
    blocks: list[tuple[int, int]] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            if "`" not in fence["info"] or fence["fence"][0] == "~":
                opened = fence
        elif fence["fence"].startswith(opened["fence"]) and not fence["info"].strip():
            blocks.append((opened.start(), fence.end()))
            opened = None
    return blocks


def merge(card: str, *, key: str, value: Mapping[str, Any], tag: str, section: str) -> str:
    """The card with one metadata key, one tag and one section set.

    Args:
        card: the card's text; empty for none.
        key: top-level key of the front matter; its old value is replaced where it stands.
        value: plain data for it.
        tag: added to ``tags`` when it is not there.
        section: Markdown between the marks named `key`; replaced where it stands, else appended.

    Raises:
        CardError: front matter that is not valid YAML or no mapping.
    """
    bom, opening, front, closing, body = parts(card)
    newline = line_ending(card)
    if not opening:
        opening, closing = f"---{newline}", f"{newline}---{newline}"
        if body and not body.startswith(("\r", "\n")):
            closing += newline
    elif not closing.endswith(("\r", "\n")):
        closing += newline
    front = frontmatter.set_tag(front, tag, newline)
    front = frontmatter.set_key(front, key, value, newline)
    return bom + opening + front + closing + set_section(body, section, Marks(key), newline)


class CardParts(NamedTuple):
    """A card, cut: put together again, the parts are the card.

    Args:
        bom: byte order mark, or nothing.
        opening: dashes before the front matter; empty when there is none.
        front: the front matter.
        closing: dashes after it.
        body: the rest.
    """

    bom: str
    opening: str
    front: str
    closing: str
    body: str


def parts(card: str) -> CardParts:
    """The parts of a card."""
    bom = _BOM if card.startswith(_BOM) else ""
    text = card[len(bom) :]
    match = _FRONT_MATTER.match(text)
    if match is None:
        return CardParts(bom, "", "", "", text)
    return CardParts(bom, match["open"], match["yaml"], match["close"], text[match.end() :])


def with_front(card: str, other: str) -> str:
    """The card with the front matter of another one."""
    body, frame = parts(card).body, parts(other)
    return f"{frame.bom}{frame.opening}{frame.front}{frame.closing}{body}"


def metadata(card: str) -> dict[str, Any]:
    """The front matter as plain data.

    Raises:
        CardError: not valid YAML, or no mapping.
    """
    return frontmatter.load(parts(card).front)


def line_ending(text: str) -> str:
    """The more frequent of CRLF and LF in `text`; LF when it has neither.

    A lone CR never counts: the Hub takes no front matter that a lone CR closes.
    """
    crlf = text.count("\r\n")
    return "\r\n" if crlf > text.count("\n") - crlf else "\n"


# --- body ------------------------------------------------------------------------------------


def set_section(body: str, section: str, marks: Marks, newline: str) -> str:
    """`body` with the marked section replaced where it stands, or appended.

    Further copies of the section, as a careless merge leaves them, are removed.

    Raises:
        CardError: a section that holds the marks itself.
    """
    block = newline.join([marks.begin, *re.split(_BREAK, section.strip("\r\n")), marks.end])
    if marks.find(block) != [(0, len(block))]:
        raise CardError(f"the section itself holds the marks of {marks.name!r}")
    spans = marks.find(body)
    if not spans:
        if body and not body.endswith(("\r", "\n")):
            body += newline
        return body + (newline if body.strip() else "") + block + newline
    for start, end in reversed(spans[1:]):
        body = body[:start] + body[end:]
    start, end = spans[0]
    body = body[:start] + block + body[end:]
    # Stray marks that a copy stood between would be a section now, and what they hold would go with
    # the next one: the marks go, what stood between them stays.
    while len(spans := marks.find(body)) > 1:
        start, end = spans[1]
        body = body[:start] + marks.inside(body[start:end]) + body[end:]
    return body
