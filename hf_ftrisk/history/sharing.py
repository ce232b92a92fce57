"""Runs shared as a Hub dataset: Parquet shards that are only ever added, and a dataset card.

A shard never changes once pushed. Two people who push at once both keep their runs: each commit
names the commit it was made from, and after a conflict only what is still missing is sent.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hf_ftrisk._version import __version__
from hf_ftrisk.errors import CardError, HistoryError, HubError, MissingRepositoryError
from hf_ftrisk.history.apart import index_apart, read_apart
from hf_ftrisk.history.encoding import EncodedRun, decode, shared_form
from hf_ftrisk.history.parquet import FORMAT_VERSION, MAX_FILE_BYTES, SCHEMA, to_parquet
from hf_ftrisk.hub_repo.card import merge
from hf_ftrisk.hub_repo.rendering import Markdown, render
from hf_ftrisk.hub_repo.repository import Repository
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import printable

KEY = "ftrisk"
TAG = "ftrisk"
CARD_FILE = "README.md"
FOLDER = "data"
RUNS_PER_SHARD = 2_000
BYTES_PER_SHARD = 64 << 20  # of trajectories, unpacked: far below what a reader takes
_MAX_TASKS = 50


@dataclass(frozen=True)
class Pushed:
    """What a push of runs sent, or with `dry_run` would send.

    Args:
        repo_id: the dataset repository.
        added: runs that the repository did not have.
        known: runs it had already.
        files: path in the repository -> size in bytes; empty when nothing was new.
        sent: whether anything was sent.
        commit_url: address of the commit.
        pr_url: address of the pull request, when one was opened.
    """

    repo_id: str
    added: int
    known: int
    files: Mapping[str, int]
    sent: bool
    commit_url: str | None = None
    pr_url: str | None = None


@dataclass(frozen=True)
class Pulled:
    """Runs read from a dataset.

    Args:
        source: ``hub:owner/name@commit``.
        records: the runs that passed every check.
        refused: (file and row, reason) of what did not.
    """

    source: str
    records: tuple[RunRecord, ...]
    refused: tuple[tuple[str, str], ...]


def push_runs(
    runs: list[EncodedRun],
    repo_id: str,
    *,
    create_pr: bool,
    dry_run: bool,
    token: str | None,
    revision: str | None,
    private: bool | None,
) -> Pushed:
    """Add what the repository lacks of `runs`, cleaned; see `RunHistory.push_to_hub`."""
    repository = Repository(repo_id, "dataset", revision=revision, token=token)
    push = _Push(repository, {run.fingerprint: run for run in map(shared_form, runs)})
    if dry_run:
        try:
            files = push.files(repository.head())
        except MissingRepositoryError:
            if private is None:
                raise
            files = push.files(None)
        return push.result(files, sent=False)
    if private is not None:
        repository.create(private=private)
    commit = repository.update(push.files, message="Add fine-tuning runs", create_pr=create_pr)
    if commit is None:
        return push.result({}, sent=False)
    return push.result(push.last, sent=True, commit_url=commit.url, pr_url=commit.pr_url)


def pull_runs(repo_id: str, *, token: str | None, revision: str | None) -> Pulled:
    """Read and check every run of a dataset; see `RunHistory.pull`."""
    repository = Repository(repo_id, "dataset", revision=revision, token=token)
    commit = repository.head()
    records: list[RunRecord] = []
    refused: list[tuple[str, str]] = []
    for path, size in _shards(repository, commit):
        try:
            table = read_apart(_content(repository, path, size, commit))
        except HistoryError as error:
            refused.append((printable(path), str(error)))
            continue
        records += table.records
        refused += [(f"{printable(path)}, row {row}", reason) for row, reason in table.refused]
    return Pulled(f"hub:{repo_id}@{commit}", tuple(records), tuple(refused))


class _Push:
    """The files that add the missing runs on top of one commit after another."""

    def __init__(self, repository: Repository, runs: Mapping[str, EncodedRun]) -> None:
        self._repository = repository
        self._runs = runs
        self._tasks = {name: decode(run).task for name, run in runs.items()}
        self._indexes: dict[str, dict[str, str | None]] = {}
        self._added = 0
        self.last: dict[str, bytes] = {}

    def files(self, commit: str | None) -> dict[str, bytes]:
        """All files to commit on top of `commit`; none when nothing is missing."""
        present = self._present(commit) if commit is not None else {}
        missing = sorted(self._runs.keys() - present.keys())
        self._added = len(missing)
        self.last = {}
        for names in self._shards_of(missing):
            # Named by what it holds: the same runs give the same file.
            stem = hashlib.sha256("".join(names).encode()).hexdigest()[:16]
            content = to_parquet(self._runs[name] for name in names)
            self.last[f"{FOLDER}/runs-{stem}.parquet"] = content
        if self.last:
            tasks = present | {name: self._tasks[name] for name in missing}
            self.last[CARD_FILE] = self._card(commit, Counter(tasks.values())).encode()
        return self.last

    def _shards_of(self, names: list[str]) -> Iterator[list[str]]:
        shard: list[str] = []
        size = 0
        for name in names:
            run = sum(len(column.values) for column in self._runs[name].columns)
            if shard and (len(shard) == RUNS_PER_SHARD or size + run > BYTES_PER_SHARD):
                yield shard
                shard, size = [], 0
            shard.append(name)
            size += run
        if shard:
            yield shard

    def result(
        self,
        files: Mapping[str, bytes],
        *,
        sent: bool,
        commit_url: str | None = None,
        pr_url: str | None = None,
    ) -> Pushed:
        sizes = {name: len(content) for name, content in files.items()}
        n_known = len(self._runs) - self._added
        return Pushed(
            self._repository.repo_id, self._added, n_known, sizes, sent, commit_url, pr_url
        )

    def _present(self, commit: str) -> dict[str, str | None]:
        tasks: dict[str, str | None] = {}
        for path, size in _shards(self._repository, commit):
            if path not in self._indexes:
                try:
                    index = index_apart(_content(self._repository, path, size, commit))
                except HistoryError:
                    # Somebody else's file in the folder: it holds none of our runs.
                    index = {}
                self._indexes[path] = index
            tasks |= self._indexes[path]
        return tasks

    def _card(self, commit: str | None, tasks: Counter[str | None]) -> str:
        name = self._repository.repo_id
        content = None if commit is None else self._repository.read(CARD_FILE, commit)
        try:
            card = content.decode() if content is not None else _new_card(name)
        except UnicodeDecodeError as error:
            raise CardError(
                f"the dataset's card is not UTF-8 ({error}); correct it first"
            ) from None
        counts = sorted((task, count) for task, count in tasks.items() if task is not None)
        section = render(
            "runs_section.md.jinja",
            {
                "count": tasks.total(),
                "tasks": [(task, f"{count:,}") for task, count in counts[:_MAX_TASKS]],
                "others": tasks.total() - sum(count for _, count in counts[:_MAX_TASKS]),
                "repo_id": Markdown(name),  # the client has checked it: letters, digits, - _ .
                "columns": _COLUMNS,
                "version": __version__,
            },
        )
        value = {
            "version": FORMAT_VERSION,
            "hf_ftrisk": __version__,
            "runs": tasks.total(),
        }
        return merge(card, key=KEY, value=value, tag=TAG, section=section)


_MEANINGS = {
    "fingerprint": "SHA-256 of the row's content: its name, and the check that it is whole",
    "task": "name under which runs are comparable",
    "status": "finished, or stopped early",
    "max_steps": "planned optimizer steps",
    "seed": "random seed",
    "train_step": "optimizer steps at which training values were logged",
    "train_loss": "training loss at `train_step`",
    "grad_norm": "gradient norm before clipping at `train_step`",
    "learning_rate": "learning rate at `train_step`",
    "eval_step": "optimizer steps of the evaluations",
    "evals": "evaluation metrics at `eval_step`",
    "nan_steps": "steps at which a value was NaN itself",
    "schedule": "planned learning rate of every step",
    "head": "everything else as JSON: settings, baselines, final values, static signals",
}
_COLUMNS = [(name, _MEANINGS[name].replace("`", "")) for name in SCHEMA.names]


def _new_card(repo_id: str) -> str:
    return render("dataset_card.md.jinja", {"title": repo_id.split("/")[-1]})


def _shards(repository: Repository, commit: str) -> list[tuple[str, int]]:
    files = repository.files(FOLDER, commit)
    return sorted((path, size) for path, size in files if path.endswith(".parquet"))


def _content(repository: Repository, path: str, size: int, commit: str) -> bytes:
    """A shard's bytes, unless the Hub says it is larger than any of ours."""
    if size > MAX_FILE_BYTES:
        raise HistoryError(f"the file has {size} bytes, more than {MAX_FILE_BYTES}")
    content = repository.read(path, commit, max_bytes=MAX_FILE_BYTES)
    if content is None:
        raise HubError(f"{repository.repo_id}: {printable(path)} is listed but cannot be read")
    return content
