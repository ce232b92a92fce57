"""Memory in use while training."""

from __future__ import annotations

import psutil
import torch


def peak_memory(device: torch.device, so_far: int | None) -> int:
    """Device memory allocated at most, or resident memory of the process, bytes.

    Args:
        device: where training happens.
        so_far: the largest value seen before.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return max(int(psutil.Process().memory_info().rss), so_far or 0)
