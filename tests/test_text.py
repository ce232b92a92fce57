"""One spelling of a percentage in all that people read."""

import re
from pathlib import Path

import pytest

import hf_ftrisk
from hf_ftrisk.text import percent

SOURCES = sorted(Path(hf_ftrisk.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize(
    ("share", "form", "text"),
    [
        (0.05, ".0f", "5 %"),
        (1.0, ".0f", "100 %"),
        (0.1234, ".1f", "12.3 %"),
        (0.025, ".2g", "2.5 %"),
    ],
)
def test_a_percentage_has_a_space_before_its_sign(share, form, text):
    assert percent(share, form) == text


def test_no_text_spells_a_percentage_by_itself():
    own = re.compile(r"""\d%[\s"'.,;:)}]|:\.\d%""")
    assert [path.name for path in SOURCES if own.search(path.read_text(encoding="utf-8"))] == []
