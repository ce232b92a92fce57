"""Edits of a YAML front matter by position, so that everything else keeps its bytes.

The parser says where a key, a value or a list ends; the text is changed there and nowhere else.
Every edit is checked: parsed again, only the key that was set may differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from hf_ftrisk.errors import CardError

_STRING = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
# What ends a plain word inside brackets, and not outside them.
_ENDS_IN_FLOW = re.compile(r"[,\[\]{}]")
# Plain words that some YAML version reads as a truth value or as nothing.
_NOT_PLAIN = frozenset({"yes", "no", "on", "off", "y", "n", "true", "false", "null"})

# A few lines of aliases of aliases would fill any memory.
_MAX_ALIASED = 1_000_000

_PLAIN = re.compile(r"[A-Za-z_](?:[\w./+-]|:(?=[\w./+-]))*", re.ASCII)


def load(front: str) -> dict[str, Any]:
    """Front matter as plain data; empty when there is none.

    Raises:
        CardError: not valid YAML, no mapping, or one whose aliases stand for far more than is
            written or for themselves.
    """
    try:
        reader = yaml.SafeLoader(front)
        node = reader.get_single_node()
        if node is not None and _unfolded(node, {}) > 2 * len(front) + _MAX_ALIASED:
            raise ValueError("its aliases stand for far more than is written")
        data = None if node is None else reader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CardError(f"the card's front matter is not valid YAML: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise CardError(
            f"the card's front matter must be a mapping of keys, found a {type(data).__name__}"
        )
    return data


def _unfolded(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Characters and values that a node stands for, every alias in it written out.

    Args:
        node: what is measured.
        sizes: those known already, by the nodes' identity.

    Raises:
        ValueError: it holds itself.
    """
    if not isinstance(node, yaml.CollectionNode):
        return 1 + len(node.value)
    if id(node) not in sizes:
        sizes[id(node)] = -1
        parts = (p for item in node.value for p in (item if isinstance(item, tuple) else (item,)))
        sizes[id(node)] = 1 + sum(_unfolded(part, sizes) for part in parts)
    elif sizes[id(node)] < 0:
        raise ValueError("a value holds itself by an alias")
    return sizes[id(node)]


def set_key(front: str, key: str, value: Mapping[str, Any], newline: str) -> str:
    """`front` with `key` set to plain data: where it stands first, else as the last key.

    Where it stands more than once, as a careless merge leaves it, it stands once afterwards: YAML
    readers take the last one, or none of such a mapping.

    Raises:
        CardError: front matter that is no valid mapping, or cannot take the key.
    """
    front = _without_repeats(front, key)
    root = _root(front)
    place = _find(root, key)
    if root is not None and root.flow_style:
        flow = to_yaml(value, flow=True)
        if place is None:
            return _checked(front, _append_flow(front, root, f"{key}: {flow}"), key, value)
        start, end = place[1].start_mark.index, place[1].end_mark.index
        return _checked(front, front[:start] + flow + front[end:], key, value)
    block = _indented(to_yaml({key: value}), root, newline)
    if place is None:
        return _append(front, block, key, value, newline)
    name, node = place
    start = name.start_mark.index
    after = front[:start] + block.lstrip(" ") + front[_last_line_end(front, name, node) :]
    return _checked(front, after, key, value)


def set_tag(front: str, tag: str, newline: str) -> str:
    """`front` with `tag` among its ``tags``, which keep their form: block, flow or one word.

    A list that another key shares, by anchor and alias, or that holds anything but words, is left
    alone. Of several ``tags`` the last one takes the tag, which is the one that readers take.

    Raises:
        CardError: front matter that is no valid mapping.
    """
    tags = load(front).get("tags")
    items = tags if isinstance(tags, list) else [] if tags is None else [tags]
    if tag in items or not all(isinstance(item, str | int | float) for item in items):
        return front
    root = _root(front)
    place = _find(root, "tags")
    word = tag if _is_plain(tag) else to_yaml([tag], flow=True)[1:-1]
    if place is None:
        if root is not None and root.flow_style:
            return _checked(front, _append_flow(front, root, f"tags: [{word}]"), "tags", [tag])
        block = _indented(f"tags:\n- {word}", root, newline)
        return _append(front, block, "tags", [tag], newline)
    name, node = _find_all(root, "tags")[-1]
    if root is None or node.start_mark.index < name.start_mark.index or _is_shared(root, node):
        return front
    return _checked(front, _with_item(front, name, node, word, newline), "tags", [*items, tag])


def _is_plain(word: str) -> bool:
    """Whether a word needs no quotes, as a tag such as ``region:us`` does not."""
    return bool(_PLAIN.fullmatch(word)) and word.lower() not in _NOT_PLAIN


def to_yaml(data: Mapping[str, Any] | list[str], *, flow: bool = False) -> str:
    """YAML that a 1.1 and a 1.2 parser read alike, lines joined by a line feed."""
    text: str = yaml.dump(
        data if isinstance(data, list) else dict(data),
        Dumper=_Emitter,
        default_flow_style=flow,
        sort_keys=False,
        allow_unicode=True,
        width=1_000_000,
    )
    return text.rstrip("\n")


class _Emitter(yaml.SafeDumper):
    """Quotes every string: a plain one may be a number or a date to the next parser."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never an alias: it would tie our block to others."""
        return True


def _represent_text(emitter: _Emitter, text: str) -> yaml.ScalarNode:
    return emitter.represent_scalar(_STRING, text, style='"')


def _represent_mapping(emitter: _Emitter, data: Mapping[str, Any]) -> yaml.MappingNode:
    pairs = []
    for key, item in data.items():
        plain = re.fullmatch(r"[a-z][a-z_]*", key) is not None and key not in _NOT_PLAIN
        name = emitter.represent_scalar(_STRING, key, style=None if plain else '"')
        pairs.append((name, emitter.represent_data(item)))
    return yaml.MappingNode(
        "tag:yaml.org,2002:map", pairs, flow_style=bool(emitter.default_flow_style)
    )


_Emitter.add_representer(str, _represent_text)
_Emitter.add_representer(dict, _represent_mapping)


# --- positions -------------------------------------------------------------------------------


def _root(front: str) -> yaml.MappingNode | None:
    node = yaml.compose(front, Loader=yaml.SafeLoader) if load(front) else None
    if node is None and front.strip():
        node = yaml.compose(front, Loader=yaml.SafeLoader)
    return node if isinstance(node, yaml.MappingNode) else None


def _find(root: yaml.MappingNode | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    return next(iter(_find_all(root, key)), None)


def _find_all(root: yaml.MappingNode | None, key: str) -> list[tuple[yaml.Node, yaml.Node]]:
    pairs = root.value if root else ()
    return [
        (name, value)
        for name, value in pairs
        if isinstance(name, yaml.ScalarNode) and name.value == key
    ]


def _without_repeats(front: str, key: str) -> str:
    """`front` without all but the first of the pairs that have this key."""
    root = _root(front)
    repeats = _find_all(root, key)[1:]
    if not repeats:
        return front
    if root is not None and root.flow_style:
        raise CardError(
            f"the card's front matter has the key {key!r} {len(repeats) + 1} times; leave one"
        )
    after = front
    for name, node in reversed(repeats):
        start = front.rfind("\n", 0, name.start_mark.index) + 1
        rest = after[_last_line_end(front, name, node) :]
        after = after[:start] + rest.removeprefix("\r").removeprefix("\n")
    if _other_pairs(front, key) != _other_pairs(after, key):
        raise _refusal(key)
    return after


def _is_shared(root: yaml.Node, wanted: yaml.Node) -> bool:
    """Whether a node stands in more than one place, by anchor and alias."""
    places, visited, waiting = 0, set[int](), [root]
    while waiting:
        node = waiting.pop()
        places += node is wanted
        if id(node) in visited or not isinstance(node, yaml.CollectionNode):
            continue
        visited.add(id(node))
        for child in node.value:
            waiting.extend(child if isinstance(child, tuple) else (child,))
    return places > 1


def _indented(block: str, root: yaml.MappingNode | None, newline: str) -> str:
    indent = " " * (root.start_mark.column if root else 0)
    return newline.join(indent + line for line in block.split("\n"))


def _append(front: str, block: str, key: str, value: Any, newline: str) -> str:
    """`block` as the last lines; as the first, where the last value would take it in."""
    if not front:
        return block
    joint = "" if front.endswith(("\r", "\n")) else newline
    try:
        return _checked(front, front + joint + block, key, value)
    except CardError:
        return _checked(front, block + newline + front, key, value)


def _append_flow(front: str, root: yaml.MappingNode, item: str) -> str:
    at = root.end_mark.index - 1
    inside = front[root.start_mark.index + 1 : at]
    joint = "" if not root.value else " " if inside.rstrip().endswith(",") else ", "
    return front[:at] + joint + item + front[at:]


def _with_item(front: str, name: yaml.Node, node: yaml.Node, tag: str, newline: str) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.SequenceNode) and node.flow_style:
        inside = front[start + 1 : end - 1]
        joint = "" if not node.value else " " if inside.rstrip().endswith(",") else ", "
        return front[: end - 1] + joint + tag + front[end - 1 :]
    if isinstance(node, yaml.SequenceNode):
        last = _last_line_end(front, name, node)
        return front[:last] + newline + " " * node.start_mark.column + f"- {tag}" + front[last:]
    if start == end:
        at = name.end_mark.index + 1
        return front[:at] + f" [{tag}]" + front[at:]
    if node.tag == _NULL:
        return front[:start] + f"[{tag}]" + front[end:]
    word = front[start:end]
    if isinstance(node, yaml.ScalarNode) and node.style is None and _ENDS_IN_FLOW.search(word):
        word = to_yaml([node.value], flow=True)[1:-1]  # one word until now, two in brackets
    return front[:start] + f"[{word}, {tag}]" + front[end:]


def _last_line_end(front: str, name: yaml.Node, node: yaml.Node) -> int:
    """End of the value's last line, without its line ending and without comments after it."""
    at = max(leaf_end(node), name.end_mark.index)
    # A block scalar ends where the next line begins.
    while at > name.end_mark.index and front[at - 1] in "\r\n":
        at -= 1
    while at < len(front) and front[at] not in "\r\n":
        at += 1
    return at


def leaf_end(node: yaml.Node) -> int:
    """Where the last value inside ends; a block's own end lies beyond the comments after it."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return max(leaf_end(child) for child in (last if isinstance(last, tuple) else (last,)))
    return int(node.end_mark.index)


# --- checks ----------------------------------------------------------------------------------


def _checked(before: str, after: str, key: str, value: Any) -> str:
    """`after`, when `key` has its value there and nothing else differs from `before`."""
    try:
        same = _other_pairs(before, key) == _other_pairs(after, key)
        places = _find_all(_root(after), key)
    except (CardError, yaml.YAMLError):
        raise _refusal(key) from None
    if (
        not same
        or not places
        or yaml.constructor.SafeConstructor().construct_document(places[-1][1])
        != (dict(value) if isinstance(value, Mapping) else value)
    ):
        raise _refusal(key)
    return after


def _refusal(key: str) -> CardError:
    return CardError(
        f"the card's front matter cannot take the key {key!r} without changing others; "
        "nothing was changed"
    )


def _other_pairs(front: str, key: str) -> list[tuple[Any, ...]]:
    """Events of all top-level pairs but `key`'s; linear in the text, whatever its aliases."""
    pairs: list[tuple[Any, ...]] = []
    depth, at_key, skipping = 0, True, False
    for event in yaml.parse(front, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth == 1 and isinstance(event, yaml.NodeEvent):
            if at_key:
                skipping = isinstance(event, yaml.ScalarEvent) and event.value == key
            at_key = not at_key
        if depth >= 1 and not skipping:
            pairs.append(
                (
                    type(event),
                    getattr(event, "value", None),
                    getattr(event, "tag", None),
                    getattr(event, "anchor", None),
                    getattr(event, "implicit", None),
                )
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
    return pairs
