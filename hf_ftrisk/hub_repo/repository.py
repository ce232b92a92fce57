"""Reading from and committing to one repository of the Hub.

Requests are tried a bounded number of times. A commit names the commit it was made from, so a
concurrent edit is never overwritten: on a conflict the new state is read, and the change made
again on top of it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from huggingface_hub import CommitOperationAdd, HfApi, RepoFile, get_token
from huggingface_hub.errors import RemoteEntryNotFoundError

from hf_ftrisk._version import __version__
from hf_ftrisk.errors import ConflictError, HubError
from hf_ftrisk.hub_repo.bounds import ANSWER_BYTES, LONG_SECONDS, SHORT_SECONDS, within_bounds
from hf_ftrisk.hub_repo.problems import REQUEST_ERRORS, Problem, understand

ATTEMPTS = 4
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
# The client waits and retries inside some requests too; past this, no further try is begun.
PATIENCE_SECONDS = 90.0
_CONFLICTS = 8

T = TypeVar("T")


@dataclass(frozen=True)
class Commit:
    """What a commit left on the Hub.

    Args:
        url: address of the commit.
        oid: its hash.
        pr_url: address of the pull request, when one was opened.
    """

    url: str
    oid: str
    pr_url: str | None = None


class Repository:
    """One repository at one branch.

    Args:
        repo_id: ``owner/name``.
        kind: ``"model"`` or ``"dataset"``.
        revision: branch; None for main.
        token: None for the stored one.
    """

    def __init__(
        self,
        repo_id: str,
        kind: Literal["model", "dataset"],
        *,
        revision: str | None = None,
        token: str | None = None,
    ) -> None:
        self.repo_id = repo_id
        self.kind = kind
        self.revision = revision
        self._token = token or get_token()
        self._api = HfApi(token=token, library_name="hf_ftrisk", library_version=__version__)

    def create(self, *, private: bool | None) -> None:
        """Create the repository where there is none.

        Raises:
            HubError: it cannot be created.
        """
        self._try(
            lambda: self._api.create_repo(
                self.repo_id, repo_type=self.kind, private=private, exist_ok=True
            )
        )

    def head(self) -> str:
        """Hash of the branch's last commit.

        Raises:
            HubError: it cannot be read; `MissingRepositoryError` when there is none.
        """
        info = self._try(
            lambda: self._api.repo_info(
                self.repo_id, repo_type=self.kind, revision=self.revision, timeout=30
            )
        )
        if not isinstance(info.sha, str) or not info.sha:
            raise HubError(f"{self.repo_id}: the Hub names no commit")
        return info.sha

    def read(self, path: str, commit: str, *, max_bytes: int = ANSWER_BYTES) -> bytes | None:
        """A file's content at a commit, None when it has none of that name.

        Args:
            path: its place in the repository.
            commit: hash of the commit.
            max_bytes: bytes that it may have.

        Raises:
            HubError: it cannot be read, or is larger.
        """
        with tempfile.TemporaryDirectory() as folder:

            def download() -> bytes | None:
                try:
                    file = self._api.hf_hub_download(
                        self.repo_id, path, repo_type=self.kind, revision=commit, cache_dir=folder
                    )
                except RemoteEntryNotFoundError:
                    return None
                return Path(file).read_bytes()

            return self._try(download, seconds=LONG_SECONDS, max_bytes=max_bytes)

    def files(self, folder: str, commit: str) -> list[tuple[str, int]]:
        """(path, size in bytes) of every file below a folder at a commit; none if it is missing.

        Raises:
            HubError: they cannot be listed.
        """

        def listed() -> list[tuple[str, int]]:
            try:
                tree = self._api.list_repo_tree(
                    self.repo_id, folder, recursive=True, revision=commit, repo_type=self.kind
                )
                return [(str(f.path), int(f.size)) for f in tree if isinstance(f, RepoFile)]
            except RemoteEntryNotFoundError:
                return []

        return self._try(listed)

    def update(
        self,
        make: Callable[[str], Mapping[str, bytes]],
        *,
        message: str,
        create_pr: bool = False,
    ) -> Commit | None:
        """Commit the files that `make` returns for a given parent commit.

        Args:
            make: called with the commit to build on; again with a newer one after a conflict.
            message: the commit's title.
            create_pr: open a pull request instead of committing to the branch.

        Returns:
            The commit, None when `make` returned no file.

        Raises:
            HubError: it could not be committed.
        """
        problem = Problem("")
        failures, started = 0, time.monotonic()
        for _ in range(_CONFLICTS):
            parent = self.head()
            files = make(parent)
            if not files:
                return None
            try:
                return self._commit(files, parent, message, create_pr)
            except REQUEST_ERRORS as error:
                problem = understand(error, self._token)
            if problem.error is ConflictError:
                continue
            # A lost answer leaves open whether the commit was made. Reading again tells, except
            # for a pull request: a second one would be opened.
            if create_pr and problem.unsure:
                raise self._error(
                    problem, "; check whether the pull request was opened nevertheless"
                )
            failures += 1
            self._wait_or_raise(problem, failures, started)
        raise self._error(problem)

    def _commit(
        self, files: Mapping[str, bytes], parent: str, message: str, create_pr: bool
    ) -> Commit:
        info = within_bounds(
            lambda: self._api.create_commit(
                self.repo_id,
                operations=[CommitOperationAdd(path, content) for path, content in files.items()],
                commit_message=message,
                repo_type=self.kind,
                revision=self.revision,
                create_pr=create_pr,
                parent_commit=parent,
            ),
            seconds=LONG_SECONDS,
        )
        return Commit(info.commit_url, info.oid, info.pr_url)

    def _try(
        self,
        action: Callable[[], T],
        *,
        seconds: float = SHORT_SECONDS,
        max_bytes: int = ANSWER_BYTES,
    ) -> T:
        failures, started = 0, time.monotonic()
        while True:
            try:
                return within_bounds(action, seconds=seconds, max_bytes=max_bytes)
            except REQUEST_ERRORS as error:
                problem = understand(error, self._token)
            failures += 1
            self._wait_or_raise(problem, failures, started)

    def _wait_or_raise(self, problem: Problem, failures: int, started: float) -> None:
        wait = problem.wait or FIRST_WAIT_SECONDS * 2 ** (failures - 1)
        spent = failures >= ATTEMPTS or time.monotonic() - started > PATIENCE_SECONDS
        if spent or not problem.transient or wait > LONGEST_WAIT_SECONDS:
            raise self._error(problem, f" (tried {failures} times)" if failures > 1 else "")
        time.sleep(wait)

    def _error(self, problem: Problem, more: str = "") -> HubError:
        return problem.error(f"{self.repo_id}: {problem.message}{more}")
