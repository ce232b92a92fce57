"""A file, and JSON in one, that somebody else may have written: bounded, and never waited for."""

from __future__ import annotations

import json
import reprlib
import stat
from pathlib import Path
from typing import Any

MAX_BYTES = 256 << 20


def read_bytes(file: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: no such file.
        OSError: it may not be read.
        ValueError: a pipe or device, or larger than `max_bytes`.
    """
    facts = file.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError(f"{file} is not a regular file")
    if facts.st_size > max_bytes:
        raise ValueError(f"{file} has {facts.st_size:,} bytes, more than {max_bytes:,}")
    return file.read_bytes()


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: no such file.
        OSError: it may not be read.
        ValueError: a pipe or device, too large, no JSON, or nested too deep to be read.
    """
    content = read_bytes(file)
    try:
        # From bytes: json tells UTF-8, UTF-16 and UTF-32 apart, with a byte-order mark or not.
        return json.loads(content)
    except RecursionError:
        raise ValueError(f"{file} is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from None


def check_format(what: str, version: object, reads: int) -> None:
    """Refuse what another release wrote.

    Args:
        what: what was read, such as ``"report"``.
        version: its ``format_version``, whatever stands there.
        reads: the version that this release reads.

    Raises:
        ValueError: another version.
    """
    if version == reads:
        return
    text = f"{what} has format_version {reprlib.repr(version)}, this release reads {reads}"
    newer = isinstance(version, int) and version > reads
    raise ValueError(f"{text}: pip install --upgrade hf-ftrisk" if newer else text)
