"""Files that a reader sees whole, whatever happens to the writer."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the whole new one; folders are made.

    The temporary file begins with an underscore, which Trainer's pushes leave out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"_{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power failure may leave the new name without content
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
