"""A freshly generated card with what a person had changed in the one it replaces.

Trainer, TRL and PEFT rewrite a card from scratch each time. With the card they generated last as
the common base, a person's edits are the difference between that and the card on disk, and are
made again on the new one: by key in the front matter, by line in the body. Where both changed the
same lines, both versions stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

import yaml

from hf_ftrisk.errors import CardError
from hf_ftrisk.hub_repo import frontmatter
from hf_ftrisk.hub_repo.card import line_ending, parts

# Keys that describe the training, and so are the generator's when it writes them.
_GENERATED_KEYS = frozenset(
    {"base_model", "datasets", "library_name", "metrics", "model-index", "model_name"}
)
# What Trainer's and TRL's cards hold, also when PEFT has replaced the tags, and PEFT's template.
_GENERATED_TAG = "generated_from_trainer"
_GENERATED_MARK = "<!-- This model card has been generated automatically"
_TEMPLATE_MARK = "<!-- Provide a quick summary of what the model is/does. -->"
_TEMPLATE_GAP = "[More Information Needed]"
_TEMPLATE_GAPS = 20


def keep_edits(old: str, new: str, base: str | None) -> str:
    """`new` with the edits that lead from `base` to `old`.

    Args:
        old: the card that was replaced.
        new: the generated card that replaced it.
        base: the generated card that `old` was edited from; None when that is not known: then a
            generated `old` gives only the keys that no generator writes, and any other `old` is a
            person's own card, whose body and keys stay.

    Raises:
        CardError: a front matter that is not valid YAML.
    """
    newline = line_ending(old)
    theirs, ours = parts(old), parts(re.sub(r"\r\n|\n", newline, new))
    if base is None:
        generated = looks_generated(old)
        front = _without_base(theirs.front, ours.front, generated, newline)
        body = ours.body if generated else theirs.body
    else:
        front = _with_base(theirs.front, ours.front, parts(base).front, newline)
        body = merge_lines(parts(base).body, theirs.body, ours.body)
    front = _with_tags(front, [*_tags(theirs.front), *_tags(ours.front)], newline)
    frame = theirs if theirs.opening else ours
    return f"{theirs.bom}{frame.opening}{front}{frame.closing}{body}"


def holds(card: str, other: str) -> bool:
    """Whether a card's body has every line of another one's, in order: an update of it in place."""
    rest = iter(_lines(parts(card).body, "\n"))
    return all(line in rest for line in _lines(parts(other).body, "\n"))


def looks_generated(card: str) -> bool:
    """Whether a Trainer wrote the card, or it is PEFT's template with hardly a gap filled."""
    card_parts = parts(card)
    if _GENERATED_TAG in _tags(card_parts.front) or _GENERATED_MARK in card_parts.body:
        return True
    return (
        _TEMPLATE_MARK in card_parts.body and card_parts.body.count(_TEMPLATE_GAP) >= _TEMPLATE_GAPS
    )


# --- front matter ----------------------------------------------------------------------------


def _without_base(old: str, new: str, generated: bool, newline: str) -> str:
    if not old.strip():
        return new
    theirs, ours = _pairs(old), _pairs(new)
    if theirs is None or ours is None:
        return old
    lines = []
    for key, text in theirs.items():
        if key in _GENERATED_KEYS and (generated or key in ours):
            lines.append(ours.get(key, ""))
        else:
            lines.append(text)
    lines += [text for key, text in ours.items() if key not in theirs]
    return _joined(lines, newline, otherwise=old)


def _with_base(old: str, new: str, base: str, newline: str) -> str:
    if not old.strip() or not new.strip():
        return old or new
    theirs, ours, before = _pairs(old), _pairs(new), _pairs(base)
    if theirs is None or ours is None or before is None:
        return old
    values, base_values, fresh = (frontmatter.load(front) for front in (old, base, new))
    lines = []
    for key, text in theirs.items():
        untouched = key in before and values[key] == base_values.get(key)
        # The same value may stand there in a person's own style.
        same = key in ours and values[key] == fresh.get(key)
        lines.append(ours.get(key, "") if untouched and not same else text)
    lines += [text for key, text in ours.items() if key not in theirs and key not in before]
    return _joined(lines, newline, otherwise=old)


def _pairs(front: str) -> dict[str, str] | None:
    """Top-level key -> its lines, with the comments right above it.

    None where lines and keys do not go together.
    """
    if not frontmatter.load(front):
        return None if front.strip() else {}
    root = yaml.compose(front, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        return None
    starts: list[int] = []
    names: list[str] = []
    end = 0
    for name, value in root.value:
        at = name.start_mark
        if not isinstance(name, yaml.ScalarNode) or at.column or name.value in names:
            return None
        starts.append(_above(front, at.index, end))
        names.append(name.value)
        end = frontmatter.leaf_end(value)
    ends = [*starts[1:], len(front)]
    starts[0] = 0
    return {name: front[i:j] for name, i, j in zip(names, starts, ends, strict=True)}


def _above(front: str, start: int, end: int) -> int:
    """Where the comment lines right above a key begin; the value before it ends at `end`."""
    while True:
        above = max(front.rfind("\n", 0, max(start - 1, 0)), -1) + 1
        if above == start or above < end or front[above : above + 1] != "#":
            return start
        start = above


def _joined(texts: Iterable[str], newline: str, *, otherwise: str) -> str:
    """The pairs as one front matter, or `otherwise` where they do not make one."""
    front = newline.join(text.rstrip("\r\n") for text in texts if text)
    try:
        frontmatter.load(front)
    except CardError:
        return otherwise
    return front


def _tags(front: str) -> list[str]:
    tags = frontmatter.load(front).get("tags")
    items = tags if isinstance(tags, list) else [tags]
    return [item for item in items if isinstance(item, str)]


def _with_tags(front: str, tags: Iterable[str], newline: str) -> str:
    for tag in tags:
        front = frontmatter.set_tag(front, tag, newline)
    return front


# --- body ------------------------------------------------------------------------------------


class _Hunk(NamedTuple):
    """Lines [start, end) of the base that became other lines."""

    start: int
    end: int
    lines: list[str]


def merge_lines(base: str, old: str, new: str) -> str:
    """`new` with the line edits that lead from `base` to `old`; line endings are `old`'s.

    Where both changed the same lines, the new ones come first and the lines a person wrote after
    them.
    """
    newline = line_ending(old) if old else line_ending(new)
    before, theirs, ours = (_lines(text, newline) for text in (base, old, new))
    edits, changes = _hunks(before, theirs), _hunks(before, ours)
    merged: list[str] = []
    at = 0
    while edits or changes:
        start = min(hunks[0].start for hunks in (edits, changes) if hunks)
        merged += before[at:start]
        added, in_edits = _insertion(changes, start), _insertion(edits, start)
        if added or in_edits:
            merged += added if added == in_edits else added + in_edits
            at = start
            continue
        ours_here, theirs_here, at = _region(changes, edits, start)
        generated = _text(before, start, at, ours_here)
        edited = _text(before, start, at, theirs_here)
        if not ours_here:
            merged += edited
        else:
            merged += generated
            if theirs_here and edited != generated:
                merged += [line for hunk in theirs_here for line in hunk.lines]
    merged += before[at:]
    return "".join(merged)


def _insertion(hunks: list[_Hunk], start: int) -> list[str]:
    """Take the lines that are only added at `start`, if there are any."""
    if hunks and hunks[0].start == hunks[0].end == start:
        return hunks.pop(0).lines
    return []


def _region(
    changes: list[_Hunk], edits: list[_Hunk], start: int
) -> tuple[list[_Hunk], list[_Hunk], int]:
    """Take the hunks of both sides that overlap from `start` on; returns them and their end."""
    sides: tuple[list[_Hunk], list[_Hunk]] = ([], [])
    end = start
    grown = True
    while grown:
        grown = False
        for hunks, side in zip((changes, edits), sides, strict=True):
            while hunks and (hunks[0].start == start or hunks[0].start < end):
                side.append(hunks.pop(0))
                end = max(end, side[-1].end)
                grown = True
    return sides[0], sides[1], end


def _text(before: Sequence[str], start: int, end: int, hunks: Iterable[_Hunk]) -> list[str]:
    """Lines [start, end) of the base with these hunks made."""
    lines: list[str] = []
    for hunk in hunks:
        lines += [*before[start : hunk.start], *hunk.lines]
        start = hunk.end
    return lines + list(before[start:end])


def _hunks(before: list[str], after: list[str]) -> list[_Hunk]:
    codes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [_Hunk(i, j, after[k:n]) for kind, i, j, k, n in codes if kind != "equal"]


def _lines(text: str, newline: str) -> list[str]:
    """Lines with the ending `newline`, the last one too: so an end is no difference."""
    lines = re.split(r"\r\n|\n|\r", text)
    if lines[-1] == "":
        lines.pop()
    return [line + newline for line in lines]
