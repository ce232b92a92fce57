"""Hypothesis strategies for model cards as people and tools write them."""

from hypothesis import strategies as st

# Top-level pairs of a front matter, in styles that a re-serialization would lose.
_PAIRS = {
    "license": ["license: mit", "license: apache-2.0   # checked", "'license':  \"mit\""],
    "language": ["language:\n- en\n- zh", "language: [en,  'no']", "language:   de"],
    "title": [
        "title: \u8bad\u7ec3 \u00e9t\u00e9 \U0001f917",
        'title: "a \\u00e9: b"',
        "title: '#x'",
    ],
    "text": ["text: |\n  two\n\n  lines", "text: >-\n  folded\n  text", 'text: "a\n  b"'],
    "custom": [
        "custom:\n  z: 1\n  a:\n    - {x: 1, y: [2, 3]}",
        "custom: {}",
        "custom: ~",
        "custom:",
    ],
    "date": ["date: 2024-01-01", "date: 1_000", "date: 0o17", "date: yes"],
    "anchored": ["anchored: &anchor\n  k: v\nalias: *anchor", "anchored: !!str 3"],
    "model-index": ["model-index:\n- name: m\n  results: []"],
    "commented": ["# a comment\n\n# another\ncommented: 1\n# after"],
}
_TAGS = [
    "tags:\n- a\n- b",
    "tags:\n  - a   # first\n  # between\n  - b\n# after the list",
    "tags: [a, 'b: c']",
    "tags: [ a, b, ]",
    "tags: []",
    "tags:",
    "tags: one",
    "tags: a, b",
    "tags: ~",
    "tags: null",
    "tags:\n- ftrisk\n- z",
    'tags:\n- a\n- "b"\n- >-\n  folded\n  tag',
    "tags: &t [x]\nother: *t",
]


@st.composite
def fronts(draw):
    """Lines of a front matter, joined by a line feed."""
    names = draw(st.permutations(sorted(_PAIRS)))[: draw(st.integers(0, 5))]
    pairs = [draw(st.sampled_from(_PAIRS[name])) for name in names]
    if draw(st.booleans()):
        pairs.insert(draw(st.integers(0, len(pairs))), draw(st.sampled_from(_TAGS)))
    return "\n".join(pairs)


_texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")
    | st.sampled_from("-#<>!{}%|`:"),
    max_size=12,
)
_LINES = [
    "# Title",
    "",
    "---",
    "{{ jinja }} {% raw %}",
    "<!-- a comment -->",
    "<!-- ftrisk:begin of nothing",
    "| a | b |",
    "```yaml",
    "ftrisk: no key",
]


@st.composite
def bodies(draw):
    """Text of a body, joined by a line feed; may lack the last one."""
    lines = draw(st.lists(_texts | st.sampled_from(_LINES), max_size=8))
    return "\n".join(lines)


@st.composite
def cards(draw):
    """A whole card: byte order mark, front matter, body; LF or CRLF throughout."""
    front, body = draw(fronts()), draw(bodies())
    card = f"---\n{front}\n---\n{body}" if front else body
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return draw(st.sampled_from(["", "", "\ufeff"])) + card.replace("\n", newline)
