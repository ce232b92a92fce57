"""What can be wrong with a history, in words a person can act on."""

from __future__ import annotations


class HistoryError(ValueError):
    """A history, or what should be added to it, cannot be used as it is; the message says why."""


class DamagedHistoryWarning(UserWarning):
    """A damaged history file, or row, was found; the message says where it is kept."""
