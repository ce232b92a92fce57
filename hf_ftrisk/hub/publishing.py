"""A report into a model card on the Hub, by hand."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hf_ftrisk.atomic import write_atomically
from hf_ftrisk.errors import CardError
from hf_ftrisk.hub.metadata import CARD_FILE
from hf_ftrisk.hub.parts import CardParts, build_parts

if TYPE_CHECKING:
    from hf_ftrisk.hub_repo.repository import Repository
    from hf_ftrisk.report import RiskReport

_MESSAGE = "Add the fine-tuning risk report"


@dataclass(frozen=True)
class Published:
    """What was sent, or with `dry_run` would be sent.

    Args:
        repo_id: the model repository.
        files: path in the repository -> size in bytes.
        diff: unified diff of the card; empty when it stays as it is.
        sent: whether anything was sent.
        commit_url: address of the commit.
        pr_url: address of the pull request, when one was opened.
    """

    repo_id: str
    files: Mapping[str, int]
    diff: str
    sent: bool
    commit_url: str | None = None
    pr_url: str | None = None


def publish(
    report: RiskReport,
    repo_id: str,
    *,
    create_pr: bool = False,
    dry_run: bool = False,
    token: str | None = None,
    revision: str | None = None,
    private: bool | None = None,
    figure: bool = True,
    keep_in: str | os.PathLike[str] = "ftrisk/unsent",
) -> Published:
    """Put a report into a model's card: section, metadata, tag, and the report and figure as files.

    The remote card is read, changed and committed on top of the very commit it was read from; an
    edit made meanwhile is kept. What leaves the machine is the cleaned report; see `clean_report`.

    Args:
        report: the report.
        repo_id: ``owner/name`` of the model.
        create_pr: open a pull request instead of committing.
        dry_run: read and merge, send nothing; `Published.diff` shows the change.
        token: None for the stored one.
        revision: branch; None for main.
        private: None: the repository must exist. True or False: created with this visibility if
            it does not; an existing one keeps its own.
        figure: send the figure too, where matplotlib is installed.
        keep_in: folder in which the files are left when they cannot be sent.

    Raises:
        HubError: offline, a refused token, no such repository, a failing Hub; the message says
            what to do and where the files were left.
        CardError: a remote card whose front matter is broken.
    """
    # huggingface_hub's client loads only when something is sent.
    from hf_ftrisk.errors import HubError
    from hf_ftrisk.hub_repo.repository import Repository

    parts = build_parts(report, figure=figure)
    merge = _Merge(Repository(repo_id, "model", revision=revision, token=token), parts)
    try:
        if dry_run:
            merge.read(private=private)
            return Published(repo_id, merge.sizes, merge.diff, sent=False)
        if private is not None:
            merge.repository.create(private=private)
        commit = merge.repository.update(merge.files, message=_MESSAGE, create_pr=create_pr)
    except (HubError, CardError) as error:
        folder = merge.keep(Path(keep_in) / repo_id.replace("/", "--"))
        raise type(error)(f"{error}. The files are left in {folder}.") from None
    assert commit is not None, "a report always gives files"
    return Published(
        repo_id, merge.sizes, merge.diff, sent=True, commit_url=commit.url, pr_url=commit.pr_url
    )


class _Merge:
    """The parts on top of the newest remote card that was read."""

    def __init__(self, repository: Repository, parts: CardParts) -> None:
        self.repository = repository
        self._parts = parts
        self._before = ""
        self._after: str | None = None

    def read(self, *, private: bool | None) -> None:
        """Read the remote card and merge; a repository still to be created has none."""
        from hf_ftrisk.errors import MissingRepositoryError

        try:
            self.files(self.repository.head())
        except MissingRepositoryError:
            if private is None:
                raise
            self._after = self._merged(None)

    def files(self, commit: str) -> dict[str, bytes]:
        """All files to commit on top of `commit`."""
        content = self.repository.read(CARD_FILE, commit)
        card = None if content is None else _decoded(content)
        self._before = card or ""
        self._after = self._merged(card)
        return {CARD_FILE: self._after.encode(), **self._parts.files}

    def keep(self, folder: Path) -> Path:
        """Write the files to disk; the card only if the remote one was read, else its section."""
        files = dict(self._parts.files)
        if self._after is not None:
            files[CARD_FILE] = self._after.encode()
        else:
            files["risk_section.md"] = self._parts.section.encode()
        for name, content in files.items():
            write_atomically(folder / name, content)
        return folder.absolute()

    @property
    def sizes(self) -> dict[str, int]:
        """Path -> size of everything that is sent."""
        card = {CARD_FILE: len((self._after or "").encode())}
        return card | {name: len(content) for name, content in self._parts.files.items()}

    @property
    def diff(self) -> str:
        """Unified diff of the card."""
        lines = difflib.unified_diff(
            self._before.splitlines(keepends=True),
            (self._after or "").splitlines(keepends=True),
            f"{self.repository.repo_id}/{CARD_FILE}",
            f"{self.repository.repo_id}/{CARD_FILE} with the report",
        )
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

    def _merged(self, card: str | None) -> str:
        return self._parts.merged_into(card, title=self.repository.repo_id.split("/")[-1])


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CardError(f"the remote card is not UTF-8 ({error}); correct it first") from None
