"""What a Parquet file will unpack to, before anything of it is unpacked.

A file's footer may say what it likes; a reader allocates what the header of each page says. So the
headers are walked, without touching the pages' content.
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

# Fields of a page's header, by number.
_UNPACKED_SIZE, _PACKED_SIZE, _DATA, _DICTIONARY, _DATA_V2 = 2, 3, 5, 7, 8
_VALUES = 1
_ENCODING = {_DATA: 2, _DATA_V2: 4}
# PLAIN, PLAIN_DICTIONARY, RLE, BIT_PACKED and RLE_DICTIONARY: what a page of these unpacks to is
# bounded by its size and its number of values. DELTA_BYTE_ARRAY, for one, is not.
_BOUNDED_ENCODINGS = frozenset({0, 2, 3, 4, 8})
_DEEPEST = 8
_LARGEST_DICTIONARY = 8 << 20


@dataclass(frozen=True)
class Unpacked:
    """What a file's pages claim, in sum.

    Args:
        size: bytes of all pages, decompressed; where a few texts may stand in many rows, the bytes
            that `rows` of them can take.
        values: values in all data pages, those of lists counted one by one.
    """

    size: int
    values: int


def unpacked(content: bytes, metadata: Any, *, rows: int) -> Unpacked:
    """Add up the headers of all pages that a reader would follow.

    Args:
        content: the whole file.
        metadata: its `pyarrow.parquet.FileMetaData`.
        rows: rows that are read at once.

    Raises:
        ValueError: headers that cannot be read, lie outside the file, disagree with the footer, or
            name an encoding whose result has no bound.
    """
    size = values = 0
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(index)
            part, longest = _chunk(content, chunk)
            flat = metadata.schema.column(index).max_repetition_level == 0
            texts = min(part.values, rows) if flat else part.values
            size, values = size + part.size + texts * longest, values + part.values
    return Unpacked(size, values)


def _chunk(content: bytes, chunk: Any) -> tuple[Unpacked, int]:
    """What one column's pages claim, and the longest text in its dictionary."""
    at = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        at = min(at, chunk.dictionary_page_offset)
    size = values = longest = 0
    while values < chunk.num_values:
        header, start = _read_struct(content, at, _DEEPEST)
        for kind in (_DATA, _DATA_V2):
            facts = header.get(kind)
            if isinstance(facts, dict):
                if facts.get(_ENCODING[kind]) not in _BOUNDED_ENCODINGS:
                    raise ValueError(f"a page of encoding {facts.get(_ENCODING[kind])!r}")
                values += _count(facts, _VALUES)
        plain = _count(header, _UNPACKED_SIZE)
        at = start + _count(header, _PACKED_SIZE)
        if at > len(content):
            raise ValueError("a page that ends outside the file")
        if _DICTIONARY in header and chunk.physical_type == "BYTE_ARRAY":
            longest = _longest_text(content[start:at], plain, chunk.compression)
        size += plain
    if values != chunk.num_values:
        raise ValueError(
            f"column {chunk.path_in_schema!r} has {values} values in its pages, "
            f"{chunk.num_values} by the footer"
        )
    return Unpacked(size, values), longest


def _longest_text(page: bytes, size: int, compression: str) -> int:
    """Bytes of the longest text in a dictionary's page: each stands behind its length."""
    if size > _LARGEST_DICTIONARY:
        raise ValueError(f"a dictionary of {size} bytes, more than {_LARGEST_DICTIONARY}")
    try:
        plain = page if compression == "UNCOMPRESSED" else _decompressed(page, size, compression)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"a dictionary that cannot be read: {error}") from None
    at = longest = 0
    while at < len(plain):
        length = int.from_bytes(plain[at : at + 4], "little")
        longest = max(longest, length)
        at += 4 + length
    return longest


def _decompressed(page: bytes, size: int, compression: str) -> bytes:
    return bytes(pa.decompress(page, size, codec=compression.lower(), asbytes=True))


def _count(fields: dict[int, Any], number: int) -> int:
    value = fields.get(number)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"a page's header without a count in field {number}")
    return value


# --- Thrift's compact protocol ---------------------------------------------------------------


def _read_struct(content: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Fields of a struct by number, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while True:
        head = _byte(content, at)
        at += 1
        if head == 0:
            return fields, at
        if head >> 4:
            number += head >> 4
        else:
            number, at = _zigzag(content, at)
        fields[number], at = _read_value(content, at, head & 0x0F, depth)


def _read_value(content: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):  # a truth value, in the field's own head
        return kind == 1, at
    if kind == 3:
        return _byte(content, at), at + 1
    if kind in (4, 5, 6):
        return _zigzag(content, at)
    if kind == 7:
        return None, at + 8
    if kind == 8:
        length, at = _varint(content, at)
        return None, at + length
    if kind == 12 and depth:
        return _read_struct(content, at, depth - 1)
    raise ValueError("a page with an unknown header")


def _byte(content: bytes, at: int) -> int:
    if not 0 <= at < len(content):
        raise ValueError("a page's header that ends outside the file")
    return content[at]


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = _byte(content, at)
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a page's header with an endless number")


def _zigzag(content: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(content, at)
    return (value >> 1) ^ -(value & 1), at
