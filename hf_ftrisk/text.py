"""Text that may be printed: one clean line, no characters that command a terminal."""

from __future__ import annotations

import unicodedata

MAX_TEXT = 600
# Joiners that scripts such as Persian and Hindi need; every other invisible character goes.
_JOINERS = "\u200c\u200d"


def printable(text: object, limit: int = MAX_TEXT) -> str:
    """One line of `text`: white space folded, control and direction characters gone, cut short."""
    shown = str(text)[: 8 * limit]
    if not (shown.isascii() and shown.isprintable()):  # most are both, and need no sifting
        shown = "".join(
            " " if character.isspace() else character
            for character in shown
            if character.isspace() or _is_visible(character)
        )
    line = " ".join(shown.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "\u2026"


def visible(text: str) -> str:
    """Lines of text as they are, without control and direction characters: safe on a terminal."""
    return "".join(c for c in text if c in "\n " or _is_visible(c))


def percent(share: float, form: str = ".0f") -> str:
    """A share, 1 being the whole, as every text spells a percentage: ``5 %``.

    Args:
        share: what is told.
        form: format of the number, such as ``".1f"``.
    """
    return f"{100 * share:{form}} %"


def sentence(clause: str) -> str:
    """A clause as a sentence: it begins with a capital and ends with a full stop."""
    return f"{clause[:1].upper()}{clause[1:].removesuffix('.')}."


def clause(sentence: str) -> str:
    """A sentence as it goes on after a colon or semicolon: it begins with a small letter."""
    return f"{sentence[:1].lower()}{sentence[1:]}"


def _is_visible(character: str) -> bool:
    return character in _JOINERS or not unicodedata.category(character).startswith("C")


def fitting(text: str, encoding: str | None) -> str:
    """`text` as a stream of this encoding can take it: other letters as their escapes."""
    name = encoding or "utf-8"
    return text.encode(name, "backslashreplace").decode(name)
