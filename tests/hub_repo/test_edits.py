"""A person's edits, made again on a card that was generated anew."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_ftrisk.hub_repo.card import metadata
from hf_ftrisk.hub_repo.edits import keep_edits, looks_generated, merge_lines

_lines = st.lists(st.sampled_from(["a", "b", "", "## c", "More information needed"]), max_size=7)
many = settings(deadline=None, max_examples=150)


def joined(lines):
    return "".join(f"{line}\n" for line in lines)


@many
@given(_lines, _lines)
def test_what_only_one_side_changed_is_that_sides(base, other):
    base, other = joined(base), joined(other)
    assert merge_lines(base, base, other) == other
    assert merge_lines(base, other, base) == other
    assert merge_lines(base, other, other) == other


@many
@given(_lines, _lines, st.lists(st.tuples(st.integers(0, 7), st.integers(0, 99)), max_size=4))
def test_no_line_a_person_wrote_is_lost(base, new, additions):
    edited = list(base)
    written = []
    for place, number in additions:
        written.append(f"mine {number} {len(written)}")
        edited.insert(place, written[-1])
    merged = merge_lines(joined(base), joined(edited), joined(new)).splitlines()
    assert all(merged.count(line) == 1 for line in written)
    in_order = [line for line in edited if line in written]
    assert [line for line in merged if line in written] == in_order
    # And nothing of the new card.
    rest = iter(merged)
    assert all(line in rest for line in new)


def test_edits_and_changes_far_apart_are_both_made():
    base = "# m\n\nLoss: 0.5\n\nMore information needed\n\nend\n"
    old = "# m\n\nLoss: 0.5\n\nFor cats only.\n\nend\n"
    new = "# m\n\nLoss: 0.4\nAccuracy: 0.8\n\nMore information needed\n\nend\n"
    assert merge_lines(base, old, new) == (
        "# m\n\nLoss: 0.4\nAccuracy: 0.8\n\nFor cats only.\n\nend\n"
    )


def test_where_both_changed_a_line_both_stay():
    merged = merge_lines("x\nLoss: 0.5\ny\n", "x\nLoss: 0.5 (one seed)\ny\n", "x\nLoss: 0.4\ny\n")
    assert merged == "x\nLoss: 0.4\nLoss: 0.5 (one seed)\ny\n"


def test_a_line_a_person_removed_stays_away_unless_it_changed():
    assert merge_lines("a\nb\nc\n", "a\nc\n", "a\nb\nc\nd\n") == "a\nc\nd\n"
    assert merge_lines("a\nb 1\nc\n", "a\nc\n", "a\nb 2\nc\n") == "a\nb 2\nc\n"


def test_line_endings_are_the_persons():
    assert merge_lines("a\nb\n", "a\r\nmine\r\nb\r\n", "a\nb\nc\n") == "a\r\nmine\r\nb\r\nc\r\n"


BASE = "---\nlicense: mit\ntags:\n- generated_from_trainer\nmetrics:\n- loss\n---\n\n# m\n"
NEW = "---\nlicense: mit\ntags:\n- generated_from_trainer\n- new\nmetrics:\n- f1\n---\n\n# m\n"


def test_keys_are_merged_one_by_one():
    old = (
        "---\n# ours\nmine: {a: [1,  2]}\nlicense: 'apache-2.0' # really\n"
        "tags:\n- generated_from_trainer\n- mine\nmetrics:\n- loss\n---\n\n# m\n"
    )
    card = keep_edits(old, NEW, BASE)
    assert card.startswith("---\n# ours\nmine: {a: [1,  2]}\nlicense: 'apache-2.0' # really\n")
    data = metadata(card)
    assert data["tags"] == ["generated_from_trainer", "mine", "new"]
    assert data["metrics"] == ["f1"]


def test_a_key_a_person_removed_stays_away():
    old = BASE.replace("license: mit\n", "")
    assert "license" not in metadata(keep_edits(old, NEW, BASE))


def test_a_front_matter_whose_lines_are_no_pairs_is_left_as_it_is():
    old = "---\n{license: apache-2.0, mine: 1}\n---\n\n# m\n\nMine.\n"
    card = keep_edits(old, NEW, BASE)
    assert metadata(card)["mine"] == 1
    assert "# m\n\nMine.\n" in card


def test_a_card_without_front_matter_gets_the_new_one():
    card = keep_edits("# Mine\n", NEW, None)
    assert metadata(card) == metadata(NEW)
    assert card.endswith("# Mine\n")


def test_an_odd_tag_comes_through_quoted():
    old = BASE.replace(
        "- generated_from_trainer\n", '- generated_from_trainer\n- "a: #b"\n- "yes"\n'
    )
    base_tags = NEW.replace("- new\n", '- "no"\n')
    tags = metadata(keep_edits(old, base_tags, BASE))["tags"]
    assert tags == ["generated_from_trainer", "a: #b", "yes", "no"]


@pytest.mark.parametrize(
    ("card", "generated"),
    [
        ("---\ntags:\n- generated_from_trainer\n---\n# x\n", True),
        ("<!-- This model card has been generated automatically according to -->\n", True),
        ("---\ntags: [x]\n---\n# x\n", False),
        ("# x\n", False),
        ("", False),
    ],
)
def test_what_looks_generated(card, generated):
    assert looks_generated(card) is generated


def test_pefts_template_looks_generated_until_it_is_filled():
    from huggingface_hub import ModelCard, ModelCardData

    template = str(ModelCard.from_template(ModelCardData()))
    assert looks_generated(template)
    assert not looks_generated(template.replace("[More Information Needed]", "Something."))
