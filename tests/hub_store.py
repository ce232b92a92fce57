"""What the local Hub of the tests keeps: repositories as commits on branches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass
class Commit:
    """One state of a repository."""

    oid: str
    parent: str | None
    message: str
    files: dict[str, bytes]


@dataclass
class Repo:
    """A repository: its commits and the branches that point at them."""

    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def add(self, files: dict[str, bytes], message: str, branch: str, parent: str | None) -> Commit:
        oid = hashlib.sha1(f"{parent}{message}{len(self.commits)}".encode()).hexdigest()
        commit = self.commits[oid] = Commit(oid, parent, message, files)
        self.branches[branch] = oid
        return commit

    def at(self, revision: str) -> Commit | None:
        return self.commits.get(self.branches.get(revision, revision))

    def history(self, branch: str = "main") -> list[Commit]:
        """Commits of a branch, newest first."""
        log, oid = [], self.branches.get(branch)
        while oid is not None:
            log.append(self.commits[oid])
            oid = log[-1].parent
        return log
