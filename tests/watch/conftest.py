"""Settings of this package."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def _frozen_imports() -> Iterator[None]:
    """A Trainer collects garbage before each training: spare it all that the imports made."""
    import hf_ftrisk.watch.callback  # noqa: F401 - what is frozen below

    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
