"""How long property tests of hostile input look: briefly and always alike, or as long as asked."""

import os

FACTOR = int(os.environ.get("HF_FTRISK_FUZZ", "1"))


def fuzz(examples: int) -> int:
    """Number of examples of a property test: `examples`, and under `make fuzz` many times that."""
    return examples * FACTOR
