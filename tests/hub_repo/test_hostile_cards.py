"""Cards in which our own marks, key or tag stand where no release of ours would put them."""

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hf_ftrisk.errors import CardError
from hf_ftrisk.hub.metadata import CardMetadata
from hf_ftrisk.hub_repo.card import Marks, merge, metadata, parts
from tests.fuzzing import fuzz

MARKS = Marks("ftrisk")
VALUE = {"version": 1, "verdict": "GO"}
BEGIN, END = MARKS.begin, MARKS.end


def put(card, section="## Risk\n\nText."):
    return merge(card, key="ftrisk", value=VALUE, tag="ftrisk", section=section)


def block(section="## Risk\n\nText."):
    return f"{BEGIN}\n{section}\n{END}"


def body(card):
    return parts(put(card)).body


# --- marks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fence", ["```", "~~~~", "  ```"])
def test_marks_in_a_block_of_code_are_text(fence):
    code = f"{fence}html\n{BEGIN}\nmy notes on the marks\n{END}\n{fence}\n"
    once = put(code)
    assert parts(once).body == f"\n{code}\n{block()}\n"
    assert put(once) == once
    assert put(put(once, "## Other"), "## Risk\n\nText.") == once


def test_marks_after_a_fence_that_is_never_closed_are_marks():
    once = put("```\ncode without an end\n")
    assert put(once) == once
    assert len(MARKS.find(once)) == 1


def test_a_fence_is_closed_by_its_own_kind_alone():
    code = f"````\n```\n~~~~\n{BEGIN}\nx\n{END}\n````\n"
    assert code in put(code)
    inline = f"``` a `b` c\n\n{block('old')}\n"  # a backtick after backticks: no fence
    assert body(inline) == f"\n``` a `b` c\n\n{block()}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # nested: the inner pair is the section, nothing between the others goes
        (
            f"{BEGIN}\nA\n{BEGIN}\nB\n{END}\nC\n{END}\n",
            f"{BEGIN}\nA\n{block()}\nC\n{END}\n",
        ),
        # twice: the first is the section, what stands between the two stays
        (f"{block('B')}\nC\n{block('D')}\nE\n", f"{block()}\nC\n\nE\n"),
        # strays before, between and after
        (
            f"{END}\nA\n{BEGIN}\nB\n{block('C')}\nD\n{END}\nE\n{BEGIN}\nF\n",
            f"{END}\nA\n{BEGIN}\nB\n{block()}\nD\n{END}\nE\n{BEGIN}\nF\n",
        ),
        # a copy between strays, which would be a section without it
        (
            f"{block('A')}\nB\n{BEGIN}\nC\n{block('D')}\nE\n{END}\nF\n",
            f"{block()}\nB\n\nC\n\nE\n\nF\n",
        ),
        # one line
        (f"{BEGIN} A {END}\n", f"{BEGIN} A {END}\n\n{block()}\n"),
    ],
)
def test_nothing_between_stray_marks_is_removed(before, after):
    assert body(f"---\nlicense: mit\n---\n{before}") == after
    once = put(before)
    assert put(once) == once


_lines = st.lists(
    st.sampled_from(
        [BEGIN, END, "```", "~~~", "````", "text one", "text two", "", f"  {BEGIN}", f"> {END}"]
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=fuzz(120))
@given(_lines, st.sampled_from(["\n", "\r\n"]))
@example(["```", BEGIN, "text one", END], "\n")
def test_publishing_twice_is_publishing_once_whatever_marks_there_are(lines, newline):
    card = newline.join(lines)
    once = put(card)
    assert put(once) == once
    assert put(put(card, "## Other")) == once
    # What stood outside a whole section stands there still, in its order.
    kept, at = [], 0
    for start, end in [*MARKS.find(card), (len(card), len(card))]:
        kept += [line for line in card[at:start].splitlines() if line.startswith("text")]
        at = end
    rest = iter(once.splitlines())
    assert all(line in rest for line in kept)


# --- front matter ----------------------------------------------------------------------------


def strict(front):
    """The front matter as the Hub reads it: a key that stands twice is an error there."""

    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader, node, deep=False):
        names = [loader.construct_object(name, deep=True) for name, _ in node.value]
        assert len(names) == len(set(map(str, names))), names
        return {
            name: loader.construct_object(value, deep=True)
            for name, (_, value) in zip(names, node.value, strict=True)
        }

    Strict.add_constructor("tag:yaml.org,2002:map", mapping)
    return yaml.load(front, Loader=Strict)


@pytest.mark.parametrize(
    "front",
    [
        "ftrisk: 1\nlicense: mit\nftrisk: 2",
        "ftrisk:\n  a: 1\n# mine\nftrisk:\n  b: 2\n  c: [1,\n    2]\nlicense: mit",
        "license: mit\nftrisk: |\n  text\n\n  more\nftrisk: 1\nftrisk:\n- 3\n",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_key_that_stands_twice_stands_once_afterwards(front, newline):
    card = f"---\n{front}\n---\n# Title\n".replace("\n", newline)
    once = put(card)
    read = strict(parts(once).front)
    assert read == {"license": "mit", "ftrisk": VALUE, "tags": ["ftrisk"]}
    assert put(once) == once
    assert ("# mine" in front) == ("# mine" in once)


def test_a_key_that_stands_twice_in_braces_is_told():
    with pytest.raises(CardError, match="'ftrisk' 2 times"):
        put("---\n{ftrisk: 1, ftrisk: 2}\n---\n")


@pytest.mark.parametrize(
    "front", ["tags: [a]\nlicense: mit\ntags: [b]", "tags:\n- a\ntags:\n- b\n- b", "tags:\ntags: b"]
)
def test_of_several_tags_the_one_that_readers_take_has_ours(front):
    once = put(f"---\n{front}\n---\n")
    read = metadata(once)["tags"]
    assert "b" in read
    assert read.count("ftrisk") == 1
    assert put(once) == once


def test_a_tag_that_stands_twice_is_left_as_it_is():
    once = put("---\ntags: [ftrisk, ftrisk, a]\n---\n")
    assert metadata(once)["tags"] == ["ftrisk", "ftrisk", "a"]


_PAIRS = [
    *("ftrisk: 1", "ftrisk:\n  a: 1\n  b:\n  - x", "tags: [a]", "tags:\n- b", "tags: c", "x: 1"),
    *("y: |\n  ftrisk: 1", "# ftrisk: 1", "'ftrisk': 2", "z: {ftrisk: 1}", ""),
]


@settings(deadline=None, max_examples=fuzz(120))
@given(st.lists(st.sampled_from(_PAIRS), min_size=1, max_size=7), st.sampled_from(["\n", "\r\n"]))
def test_publishing_twice_is_publishing_once_whatever_keys_there_are(pairs, newline):
    front = "\n".join(pairs).replace("\n", newline)
    card = f"---{newline}{front}{newline}---{newline}"
    assume(metadata(card))
    before = metadata(card)
    once = put(card)
    assert put(once) == once
    after = metadata(once)
    assert after.pop("ftrisk") == VALUE
    assert "ftrisk" in after.pop("tags")
    assert after == {name: v for name, v in before.items() if name not in ("ftrisk", "tags")}


# --- front matter that stands for more than it says ------------------------------------------

_NINE = ", ".join(["*x{}"] * 9)
BOMBS = {
    "lists": "x0: &x0 [a]\n"
    + "".join(f"x{i}: &x{i} [{_NINE.replace('{}', str(i - 1))}]\n" for i in range(1, 10)),
    "merged": "x0: &x0 {a: 1}\n"
    + "".join(
        f"x{i}: &x{i} {{<<: [{_NINE.replace('{}', str(i - 1))}], k{i}: 1}}\n" for i in range(1, 9)
    ),
    "texts": f"x0: &x0 {'a' * 9000}\nx1: [{', '.join(['*x0'] * 900)}]\n",
    "itself": "x: &x\n  y: *x\n",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_aliases_that_stand_for_far_more_than_is_written_are_refused(bomb):
    card = f"---\n{bomb}---\n# Title\n"
    for read in (metadata, put):
        with pytest.raises(CardError, match=r"aliases stand for far more|holds itself"):
            read(card)


def test_aliases_that_people_write_are_read():
    card = "---\nbase: &b {a: 1}\nx: *b\ny: {<<: *b, c: 2}\n---\n"
    assert metadata(put(card))["y"] == {"a": 1, "c": 2}


def test_a_prediction_with_absurd_numbers_is_refused():
    begin = "version: 1\n  verdict: GO\n  stage: watch\n  hf_ftrisk: '1'\n  goal: "
    for rest in (
        f"{{metric: eval_accuracy, target: {'9' * 400}}}\n  steps: {{full: 1, spent: 1}}",
        f"{{metric: eval_accuracy}}\n  steps: {{full: {'9' * 400}, spent: 1}}",
    ):
        with pytest.raises(CardError, match="must be a finite number"):
            CardMetadata.from_card(f"---\nftrisk:\n  {begin}{rest}\n---\n# Title\n")
    with pytest.raises(CardError, match="a very large int"):
        CardMetadata.from_card(f"---\nftrisk:\n  version: 1{':59' * 4000}\n---\n# Title\n")
