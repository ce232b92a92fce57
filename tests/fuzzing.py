"""How long property tests of hostile input look: briefly and always alike, or as long as asked."""

import os

FACTOR = int(os.environ.get("HF_FTRISK_FUZZ", "1"))


def fuzz(examples: int, most: int | None = None) -> int:
    """Number of examples of a property test: `examples`, and under `make fuzz` many times that.

    Args:
        examples: of a plain run of the suite.
        most: bound under `make fuzz`, for a test of which each example is dear; None: no bound.
    """
    return examples * FACTOR if most is None else min(examples * FACTOR, max(examples, most))
