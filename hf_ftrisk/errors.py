"""Every exception of the package, by name.

What a user can cause is a ``ValueError`` as well (an argument, a file, a card), what the world can
cause a ``RuntimeError`` (the Hub, a failed probe); the messages say what to do.

FtriskError
    HistoryError (ValueError)
    CardError (ValueError)
    PreflightArgumentError (ValueError)
    WatchArgumentError (ValueError)
    ScriptNotFoundError (ValueError)
    HubError (RuntimeError)
        ConflictError
        MissingRepositoryError
    PreflightError (RuntimeError)
        PreflightUnsupportedError
        PeerFailedError
    MissingExtraError (ModuleNotFoundError)
        MissingDemoPackageError

`DamagedHistoryWarning` is a ``UserWarning``.
"""

from __future__ import annotations


class FtriskError(Exception):
    """Base of all of them: ``except FtriskError`` catches what this package raises on purpose."""


class HistoryError(FtriskError, ValueError):
    """A history, or what should be added to it, cannot be used as it is; the message says why."""


class DamagedHistoryWarning(UserWarning):
    """A damaged history file, or row, was found; the message says where it is kept."""


class WatchArgumentError(FtriskError, ValueError):
    """The callback was given something it cannot work with; nothing has been trained."""


class PreflightError(FtriskError, RuntimeError):
    """The pre-flight could not be carried out; the trainer is as it was before."""


class PreflightUnsupportedError(PreflightError):
    """This training setup cannot be snapshotted and restored, so no pre-flight is tried on it.

    Attributes:
        reason: why, as the beginning of a sentence.
    """

    reason: str = "this training setup cannot be restored after a probe"


class PeerFailedError(PreflightError):
    """Another rank failed, which ended the pre-flight on this one as well."""


class PreflightArgumentError(FtriskError, ValueError):
    """The pre-flight was asked for something this trainer cannot give; it is as it was before.

    Attributes:
        reported: metrics that its evaluations report, where the goal's is none of them.
    """

    reported: tuple[str, ...] = ()


class HubError(FtriskError, RuntimeError):
    """The Hub could not be used; the message says why and what to do."""


class ConflictError(HubError):
    """Somebody committed in between."""


class MissingRepositoryError(HubError):
    """No such repository, or the token may not see it."""


class CardError(FtriskError, ValueError):
    """A card that cannot be changed safely; the message says what is wrong with it."""


class ScriptNotFoundError(FtriskError, ValueError):
    """There is no such script or module to run."""


class MissingExtraError(FtriskError, ModuleNotFoundError):
    """A package beyond the base install is missing; the message says what to type."""


class MissingDemoPackageError(MissingExtraError):
    """A package with the demo's model or data is not installed."""
