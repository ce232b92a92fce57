"""American spelling, as transformers and torch have it: in names, texts and pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("hf_ftrisk", "tests", "benchmarks", "docs", "examples", "model_card_templates")
KINDS = (".py", ".md", ".jinja", ".cff", ".toml", ".yml")
FILES = sorted(
    path
    for folder in map(ROOT.joinpath, FOLDERS)
    for path in (*folder.rglob("*"), *ROOT.glob("*"))
    if path.suffix in KINDS and path.is_file() and path != Path(__file__)
)

BRITISH = re.compile(
    r"""
    \w{2,}is(e|ed|er|ers|es|ing|able|ation|ations)
    | \w*lys(e|ed|er|ers|es|ing)
    | \w{2,}our(s|ed|ing|able|ably|ite|al|ful|hood|less)?
    | (un|re)?(cancel|channel|fuel|label|level|marshal|model|panel|signal|total|travel)
      l(ed|ing|er|ers)
    | (licen|defen|offen|preten)c(e|ed|es|ing)
    | (cent|fib|lit|met|theat|calib)re(s|d)?
    | (ana|cata|mono)logue(s|d)?
    | grey(s|ed|ish)? | (judge|acknowledge)ments? | ageing | artefacts? | fulfil | skilful | enrol
    | (mis)?spelt | learnt | whilst | programmes? | practis(e|ed|ing) | sceptic\w* | writeable
    """,
    re.VERBOSE,
)
# English on both sides of the Atlantic.
BOTH = re.compile(
    r"""
    (ad|super|re)vis(e|ed|es|ing) | (com|sur)?pris(e|ed|es|ing) | (com|pro|pre)mis(e|ed|es|ing)
    | p?rais(e|ed|es|er|ing) | ris(e|es|ing) | nois(e|ed|es) | exercis(e|ed|es|ing) | aris(e|es|ing)
    | (con|pre)cise | (dis)?guise | expertise | franchise | comprising
    | (other|like|layer|pair|point)?wise | (f|h|t|y|p)ours?
    """,
    re.VERBOSE,
)
# Words of others: numpy's flag, CycloneDX's field, a color of mkdocs-material, a data set's rows.
OF_OTHERS = {"writeable", "acknowledgement", "grey", "centre"}


def british(text: str) -> Iterator[str]:
    """British words in a text and in the names in it."""
    for word in re.findall(r"[A-Z]?[a-z]+", text):
        if BRITISH.fullmatch(word.lower()) and not BOTH.fullmatch(word.lower()):
            yield word.lower()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def summarise(): ...", ["summarise"]),
        ("NoBehaviourHere, min_colour", ["behaviour", "colour"]),
        ("the licence was cancelled at the centre", ["licence", "cancelled", "centre"]),
        ("otherwise a rising noise of four hours promises surprise", []),
    ],
)
def test_a_british_word_is_seen_in_text_and_in_names(text: str, found: list[str]) -> None:
    assert list(british(text)) == found


def test_everything_is_spelled_the_american_way() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in FILES}
    british_words = {file: set(british(text)) - OF_OTHERS for file, text in texts.items()}
    assert not {file: words for file, words in british_words.items() if words}
