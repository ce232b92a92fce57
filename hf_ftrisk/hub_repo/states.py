"""The trainer states of a model on the Hub."""

from __future__ import annotations

from pathlib import Path

from hf_ftrisk.errors import HubError
from hf_ftrisk.hub_repo.repository import Repository
from hf_ftrisk.jsonfile import MAX_BYTES
from hf_ftrisk.record.state_file import STATE_FILE

# States of one repository that are read: a run leaves one for each checkpoint it pushes.
_MAX_STATES = 200


def download_states(repo: str, folder: Path, *, revision: str | None = None) -> list[Path]:
    """Copy every ``trainer_state.json`` of a repository into a folder, at its own place.

    Args:
        repo: model on the Hub, ``owner/name``.
        folder: where they are written to.
        revision: branch or commit; None for main.

    Raises:
        HubError: the Hub cannot be used, or the repository holds no such file.
    """
    hub = Repository(repo, "model", revision=revision)
    head = hub.head()
    listed = [(path, size) for path, size in hub.files("", head) if Path(path).name == STATE_FILE]
    if not listed:
        raise HubError(
            f"{repo} holds no {STATE_FILE}: a Trainer pushes it with its checkpoints "
            f'(hub_strategy="checkpoint"). Its card: `hf-ftrisk card {repo}`'
        )
    files = []
    for path, _ in listed[:_MAX_STATES]:
        target = (folder / path).resolve()
        content = hub.read(path, head, max_bytes=MAX_BYTES)
        if content is None or not target.is_relative_to(folder.resolve()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        files.append(target)
    return files
