"""The card's text: one section, one key and one tag change; every other byte stays."""

import re

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hf_ftrisk.errors import CardError
from hf_ftrisk.hub_repo.card import Marks, line_ending, merge, metadata, parts
from hf_ftrisk.hub_repo.frontmatter import to_yaml
from tests.hub_repo.cards import cards

VALUE = {"version": 1, "verdict": "GO", "goal": {"metric": "eval_loss", "target": 0.5}, "list": [1]}
OTHER = {"version": 1, "verdict": "NO_GO", "note": 'on: "off" # \u00e9 {{ x }}', "nothing": {}}
SECTION = "## Risk\n\nText \u00e9t\u00e9."
MARKS = Marks("ftrisk")
many = settings(deadline=None, max_examples=60)


def put(card, value=VALUE, section=SECTION):
    return merge(card, key="ftrisk", value=value, tag="ftrisk", section=section)


def valid(card):
    """Whether the card has front matter that can be changed; others are refused as a whole."""
    try:
        metadata(card)
    except CardError:
        return False
    return True


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(line in rest for line in part)


@many
@given(cards())
def test_every_other_byte_stays(card):
    assume(valid(card))
    before, after = parts(card), parts(put(card))
    assert after.bom == before.bom
    # The body: exactly the marked block is new, with an end of line before it where one lacked.
    ((start, end),) = MARKS.find(after.body)
    newline = line_ending(card)
    left, right = after.body[:start], after.body[end:]
    assert right == newline
    assert left.strip("\r\n") == before.body.strip("\r\n")
    assert left.count(newline) - before.body.count(newline) <= 3
    # The front matter: what was there is there in its order, but for a list of tags in brackets.
    kept = [line for line in before.front.split(newline) if "tags" not in line and line]
    assert is_subsequence(kept, after.front.split(newline))


@many
@example("---\ntags: &t [x]\nother: *t\n---\n")
@given(cards())
def test_the_metadata_are_the_old_ones_and_ours(card):
    assume(valid(card))
    before, after = metadata(card), metadata(put(card))
    assert after.pop("ftrisk") == VALUE
    tags = after.pop("tags")
    old = before.pop("tags", None)
    old = old if isinstance(old, list) else [] if old is None else [old]
    assert tags in (old, [*old, "ftrisk"])
    assert "ftrisk" in tags or "other" in before
    assert after == before
    assert list(after) == list(before)


@many
@given(cards())
def test_writing_twice_is_writing_once(card):
    assume(valid(card))
    once = put(card)
    assert put(once) == once


@many
@given(cards())
def test_a_second_write_leaves_no_trace_of_the_first(card):
    assume(valid(card))
    assert put(put(card, OTHER, "## Longer\n\n- a\n- b"), VALUE, SECTION) == put(card)


@many
@given(cards(), st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_what_a_person_writes_around_the_section_stays(card, text):
    assume(valid(card))
    assume("ftrisk:" not in text)
    once = put(card)
    edited = put(once + text, OTHER, "## New")
    assert edited.endswith(once[-2:].lstrip("> -") + text)
    assert len(MARKS.find(parts(edited).body)) == 1


@many
@given(cards())
def test_the_hubs_own_parser_reads_what_is_written(card):
    assume(valid(card))
    read = ModelCard(put(card.removeprefix("\ufeff")), ignore_metadata_errors=True)
    assert read.data["ftrisk"] == VALUE
    assert SECTION.split("\n")[-1] in read.text


@many
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
def test_any_plain_value_comes_back_from_the_front_matter(value):
    front = to_yaml({"ftrisk": value})
    assert yaml.safe_load(front) == {"ftrisk": value}
    assert re.match(r"ftrisk:[ \n]", front)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("---\na: [\n---\n", "not valid YAML"),
        ("---\n- a\n---\n", "must be a mapping"),
        ("---\njust text\n---\n", "must be a mapping"),
        ("---\na: 1\nb: !!python/object:os.system x\n---\n", "not valid YAML"),
    ],
)
def test_a_card_that_cannot_be_changed_safely_is_refused(card, message):
    with pytest.raises(CardError, match=message):
        put(card)


def test_a_section_with_a_lost_end_mark_swallows_nothing():
    card = put("# Mine\n").replace(MARKS.end, "") + "Below.\n"
    assert "Below.\n" in put(card)
    assert put(put(card)) == put(card)


def test_doubled_sections_become_one():
    card = put("# Mine\n")
    doubled = card + "Between.\n" + card[card.index(MARKS.begin) :]
    assert put(doubled).count(MARKS.begin) == 1
    assert "Between.\n" in put(doubled)


def test_a_section_cannot_smuggle_in_a_mark():
    with pytest.raises(CardError, match="holds the marks"):
        put("# x\n", section=f"a\n{MARKS.end}\nb")
