"""What went wrong with the Hub, in a sentence a person can act on and without a secret in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_ftrisk.errors import ConflictError, HubError, MissingRepositoryError
from hf_ftrisk.text import printable

# huggingface_hub 1 stands on httpx, 2 on httpx2: the base of its own error is the right library's
# error either way, and every broken connection or timeout derives from it.
_HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]

# What the client raises over an answer of another shape than it expects: null, a list, no key.
_ODD_ANSWER = (LookupError, TypeError, AttributeError)
# What a request to the Hub can raise: HTTP errors, broken connections and offline mode (OSError),
# a file that cannot be had, an upload that failed, an answer that is no JSON, a refused card.
REQUEST_ERRORS = (
    *(_HTTP_ERROR, OSError, EntryNotFoundError, RuntimeError, ValueError),
    *_ODD_ANSWER,
)

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}\b")
_MAX_ANSWER = 500


@dataclass(frozen=True)
class Problem:
    """A failed request, understood.

    Args:
        message: what happened and what to do.
        transient: trying again may help.
        wait: seconds the Hub asked to wait, None if it did not.
        unsure: the request may have been carried out although its answer is lost.
        error: the class to raise.
    """

    message: str
    transient: bool = False
    wait: float | None = None
    unsure: bool = False
    error: type[HubError] = HubError


def understand(error: BaseException, token: str | None = None) -> Problem:
    """What a failed request means; `token` is blotted out of anything the Hub said."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, OfflineModeIsEnabled):
            return Problem("offline mode is on: unset HF_HUB_OFFLINE to reach the Hub")
        if isinstance(cause, LocalTokenNotFoundError):
            return Problem("no token: log in with `hf auth login`, or set HF_TOKEN")
        if isinstance(cause, HfHubHTTPError):
            return _of_status(cause, token)
    for cause in chain:
        if isinstance(cause, json.JSONDecodeError):
            return Problem("the Hub's answer is unreadable", transient=True, unsure=True)
        if isinstance(cause, _HTTP_ERROR):
            reason = blot(str(cause) or type(cause).__name__, token)
            return Problem(
                f"no connection to {constants.ENDPOINT}: {reason}", transient=True, unsure=True
            )
        if isinstance(cause, HubError):
            return Problem(str(cause))
    words = blot(str(error), token)
    if isinstance(error, _ODD_ANSWER):
        what = f"{type(error).__name__} {words}".rstrip()
        return Problem(f"the Hub's answer is not of the shape expected ({what})", True, unsure=True)
    if isinstance(error, HFValidationError):
        return Problem(f"not a repository's name: {words}")
    if isinstance(error, ValueError):
        return Problem(f"the Hub refuses the card: {words}")
    return Problem(f"the Hub could not be used: {words}", transient=True, unsure=True)


def _of_status(error: HfHubHTTPError, token: str | None) -> Problem:
    status = error.response.status_code
    words = blot(error.server_message or "", token)
    detail = f" ({words})" if words else ""
    if isinstance(error, GatedRepoError):
        return Problem(f"access to this repository must be requested first{detail}")
    if isinstance(error, RevisionNotFoundError):
        return Problem(f"no such branch or revision{detail}")
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return Problem(
            f"no such repository, or the token may not see it{detail}",
            error=MissingRepositoryError,
        )
    if status == 401:
        return Problem(f"the Hub refuses the token{detail}: log in again with `hf auth login`")
    if status == 403:
        return Problem(f"the token may not write here{detail}: it needs the write permission")
    if status in (409, 412):
        return Problem(f"somebody committed in between{detail}", error=ConflictError)
    if status == 429:
        wait = _seconds(error.response.headers.get("retry-after"))
        after = "" if wait is None else f", to be tried again after {wait:.0f} s"
        return Problem(f"the Hub's rate limit is reached{after}{detail}", transient=True, wait=wait)
    if status >= 500:
        wait = _seconds(error.response.headers.get("retry-after"))
        unsure = status != 503
        return Problem(f"the Hub fails with status {status}{detail}", True, wait, unsure)
    return Problem(f"the Hub answers with status {status}{detail}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.strip().isdecimal() else None


def blot(text: str, token: str | None = None) -> str:
    """`text` on one printable line, cut short, without `token` or what looks like one."""
    if token:
        text = text.replace(token, "[token]")
    return printable(_TOKEN.sub("[token]", text), _MAX_ANSWER)
