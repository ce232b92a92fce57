"""Behind `hf-ftrisk replay`: runs in; a plot, text, JSON or a page out."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.state_file import STATE_FILE
from hf_ftrisk.replay.batch import Replayer, ReplayOptions
from hf_ftrisk.replay.compare import Comparison, compare
from hf_ftrisk.replay.examples import NAMES, load_example
from hf_ftrisk.replay.files import find_states
from hf_ftrisk.replay.replay import Replay
from hf_ftrisk.replay.screen import plot_text
from hf_ftrisk.replay.summary import summarize
from hf_ftrisk.replay.text import comparison_text, poor_first, replay_text, summary_text
from hf_ftrisk.text import printable, visible

_REPO = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Screen:
    """A terminal to draw on.

    Args:
        width: its columns.
        color: whether it takes colors.
    """

    width: int
    color: bool


@dataclass(frozen=True)
class _Found:
    """What was replayed.

    Args:
        replays: the runs.
        one: it was asked for one run: a file, a checkpoint's folder or an example.
        refused: (name, reason) of what could not be read.
        about: lines to be said first.
    """

    replays: list[Replay]
    one: bool
    refused: list[tuple[str, str]]
    about: tuple[str, ...] = ()


def run_replay(
    place: Path | str | None,
    *,
    example: str | None = None,
    other: Path | None = None,
    revision: str | None = None,
    as_json: bool = False,
    html: Path | None = None,
    screen: Screen | None = None,
    **how: Any,
) -> str:
    """Replay a file, every run below a folder or in a Hub repository, or an example; and word it.

    Args:
        place: a trainer state, TensorBoard event file or CSV export; a folder; ``owner/name`` of
            a model on the Hub, where nothing lies at that path.
        example: name of an example, in place of `place`.
        other: a good run's file, to set a run beside.
        revision: branch or commit on the Hub; None for main.
        as_json: JSON instead of text.
        html: file to write an interactive page to as well.
        screen: a terminal, where a plot is drawn above the text of one run.
        how: the fields of `ReplayOptions`.

    Raises:
        FileNotFoundError: no such path.
        HubError: the Hub cannot be used.
        MissingExtraError: a page or an event file was asked for without its extra.
        ValueError: no run there, or a goal, depth or rate that cannot be.
    """
    if html is not None and html.is_dir():  # known before all its runs are replayed
        raise IsADirectoryError(
            f"{html} is a folder: --html takes the file to write, such as {html / 'replay.html'}"
        )
    replayer = Replayer(ReplayOptions(**how))
    replays = _found(place, example, revision, replayer)
    compared = None
    if other is not None:
        if len(replays.replays) > 1:
            raise ValueError(
                f"--compare sets one run beside another, and {place} holds "
                f"{len(replays.replays)}: name the folder or file of one"
            )
        compared = compare(replays.replays[0], *_other(replayer, other))
    if html is not None:
        _write_page(html, replays, replayer, compared)
    if as_json:
        return _json(_data(replays, compared))
    return _words(replays, compared, screen, html)


def list_examples() -> str:
    """The examples, a line each."""
    width = max(map(len, NAMES))
    rows = [f"{name:<{width}}  {load_example(name).words}" for name in NAMES]
    return "\n".join([*rows, "", f"Replay one: hf-ftrisk replay --example {NAMES[0]}"])


def _found(
    place: Path | str | None, example: str | None, revision: str | None, replayer: Replayer
) -> _Found:
    if example is not None:
        example_run = load_example(example)
        one = replayer.replay_record(
            example_run.record, f"example {example}", goal=example_run.goal
        )
        return _Found([one], True, [], about=(example_run.words, ""))
    assert place is not None
    path = Path(place)
    text = str(place)
    if not path.exists() and _REPO.fullmatch(text) and not path.suffix:
        with _downloaded(text, revision) as (folder, about):
            replays = _below(folder, replayer, text)
            return replace(replays, about=about)
    return _below(path, replayer, text)


def _below(path: Path, replayer: Replayer, called: str) -> _Found:
    """The run of a file or the runs of a folder."""
    files = find_states(path)
    if path.is_file() or files == [path / STATE_FILE]:
        return _Found([replayer.replay(files[0], _name(files[0]))], True, [])
    replays: list[Replay] = []
    refusals: list[tuple[str, str]] = []
    for file in files:
        name = file.relative_to(path).as_posix()
        try:
            replays.append(replayer.replay(file, name))
        except (ValueError, OSError, ModuleNotFoundError) as error:
            refusals.append((name, str(error).replace(str(file), name)))
    if not replays:
        why = "; ".join(reason for _, reason in refusals[:3]) or (
            "it holds no trainer_state.json, CSV or TensorBoard event file"
        )
        raise ValueError(
            f"no run to replay in {called}: {why}. See one with `hf-ftrisk replay --example sound`"
        )
    return _Found(poor_first(replays), False, refusals)


def _name(file: Path) -> str:
    """What a file is called: trainer states all have one name, so the folder goes with it."""
    return "/".join(file.parts[-2:]) if file.name == STATE_FILE else file.name


@contextmanager
def _downloaded(repo: str, revision: str | None) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A folder with the states of a Hub repository, and what its card says."""
    from hf_ftrisk.cli.card import card_text
    from hf_ftrisk.errors import CardError
    from hf_ftrisk.hub.metadata import CardMetadata
    from hf_ftrisk.hub_repo.states import download_states

    try:
        card = card_text(CardMetadata.from_card(repo, revision=revision))
    except CardError:
        card = "The card holds no prediction."
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        download_states(repo, folder, revision=revision)
        yield folder, (f"{repo} on the Hub", *card.splitlines(), "")


def _other(replayer: Replayer, place: Path) -> tuple[RunRecord, str]:
    """The one run at a path, and what it is called."""
    (file, *more) = find_states(place) or [place]
    if more:
        raise ValueError(f"{place} holds {len(more) + 1} runs: name the file of the good one")
    return replayer.read(file)[0], _name(file)


def _write_page(
    target: Path, found: _Found, replayer: Replayer, compared: Comparison | None
) -> None:
    from hf_ftrisk.atomic import write_atomically
    from hf_ftrisk.replay.page import page

    write_atomically(target, page(found.replays, replayer, compared).encode())


def _data(found: _Found, compared: Comparison | None) -> Any:
    if compared is not None:
        return {**found.replays[0].to_dict(), "compared": compared.to_dict()}
    if found.one:
        return found.replays[0].to_dict()
    return {
        "runs": [replay.to_dict() for replay in found.replays],
        "summary": summarize(found.replays).to_dict(),
        "refused": [{"name": name, "reason": reason} for name, reason in found.refused],
    }


def _words(
    found: _Found, compared: Comparison | None, screen: Screen | None, html: Path | None
) -> str:
    lines = [visible(line) for line in found.about]
    skipped = [f"left out {printable(name)}: {printable(why)}" for name, why in found.refused]
    if len(found.replays) == 1:
        (one,) = found.replays
        if screen is not None:
            lines.append(plot_text(one, width=min(screen.width, 110), color=screen.color))
        lines.append(visible("\n".join([replay_text(one), *skipped])))
        if compared is not None:
            lines += ["", visible(comparison_text(compared, one.goal))]
    else:
        summary = summarize(found.replays)
        lines.append(visible("\n".join([summary_text(found.replays, summary), *skipped])))
    if html is not None:
        lines += ["", f"page written to {printable(html)}"]
    return "\n".join(lines)


def _json(data: object) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
