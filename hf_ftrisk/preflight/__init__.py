"""Probe any Trainer before it trains, and leave no trace."""

from hf_ftrisk.preflight.errors import (
    PeerFailedError,
    PreflightError,
    PreflightUnsupportedError,
)
from hf_ftrisk.preflight.runner import PreflightRunner, preflight

__all__ = [
    "PeerFailedError",
    "PreflightError",
    "PreflightRunner",
    "PreflightUnsupportedError",
    "preflight",
]
