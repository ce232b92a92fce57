"""What the user of the callback must know before training starts."""

from __future__ import annotations


class WatchArgumentError(ValueError):
    """The callback was given something it cannot work with; nothing has been trained."""
