"""Files that a reader sees whole, whatever happens to the writer."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the whole new one; folders are made.

    The temporary file begins with an underscore, which Trainer's pushes leave out.

    Raises:
        OSError: the file cannot be written; it is named, not the temporary one.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file to write: name a file in it")
    temporary = path.with_name(f"_{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power failure may leave the new name without content
        os.replace(temporary, path)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # such as a parent that is no folder
            temporary.unlink(missing_ok=True)
