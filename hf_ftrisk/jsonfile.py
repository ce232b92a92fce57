"""JSON from a file that somebody else may have written: bounded, and never waited for."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

MAX_BYTES = 256 << 20


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: no such file.
        OSError: it may not be read.
        ValueError: a pipe or device, too large, no JSON, or nested too deep to be read.
    """
    facts = file.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError(f"{file} is not a regular file")
    if facts.st_size > MAX_BYTES:
        raise ValueError(f"{file} has {facts.st_size:,} bytes, more than {MAX_BYTES:,}")
    try:
        # From bytes: json tells UTF-8, UTF-16 and UTF-32 apart, with a byte-order mark or not.
        return json.loads(file.read_bytes())
    except RecursionError:
        raise ValueError(f"{file} is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from None
