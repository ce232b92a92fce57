"""What can go wrong in a pre-flight, by name."""

from __future__ import annotations


class PreflightError(RuntimeError):
    """The pre-flight could not be carried out; the trainer is as it was before."""


class PreflightUnsupportedError(PreflightError):
    """This training setup cannot be snapshotted and restored, so no pre-flight is tried on it."""


class PeerFailedError(PreflightError):
    """Another rank failed, which ended the pre-flight on this one as well."""


class PreflightArgumentError(ValueError):
    """The pre-flight was asked for something this trainer cannot give; it is as it was before."""
