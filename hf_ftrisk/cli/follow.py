"""`hf-ftrisk follow`: a running job's newest state, from another terminal, drawn anew."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_ftrisk.cli.group import told_errors
from hf_ftrisk.cli.replay_command import Kind, this_screen

if TYPE_CHECKING:
    from hf_ftrisk.record import RunRecord
    from hf_ftrisk.replay.batch import Replayer
    from hf_ftrisk.replay.replay import Replay

app = typer.Typer()

WATCH_FILE = "watch.json"
_CLEAR = "\x1b[H\x1b[2J"


@app.command(no_args_is_help=True)
def follow(
    folder: Annotated[
        Path, typer.Argument(metavar="OUTPUT_DIR", help="Folder that the job writes to.")
    ],
    goal: Annotated[
        str | None, typer.Option(help="What makes a run good, such as 'eval_accuracy>=0.85'.")
    ] = None,
    kind: Kind = None,
    history: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Run history to forecast from: a file, the one kept by 'default', or 'off'.",
        ),
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 5.0,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each new state.")
    ] = False,
) -> None:
    """Watch a running job from another terminal: its newest state, replayed as it comes.

    Reads the trainer_state.json of the newest checkpoint, or the watch.json that a callback with
    report_dir writes at every look, whichever is newer. Ends when the run has ended.

    Exit status: 0 the run ended well or without a judgment, 3 it ended poor, 130 Ctrl-C.

    Example: `hf-ftrisk follow out --goal "eval_accuracy>=0.85"`
    """
    from hf_ftrisk.replay.batch import Replayer, ReplayOptions

    with told_errors():
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is a file: `hf-ftrisk replay {folder}` reads it")
        replayer = Replayer(ReplayOptions(goal=goal, kind=kind, history=history))
    show = _json_line if json_output else _drawn
    if not newest(folder):
        typer.echo(f"waiting for a checkpoint in {folder}; Ctrl-C to quit", err=True)
    try:
        last = None
        for last in replays(folder, replayer, every):
            show(last)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if last is not None and last.good is False:
        raise typer.Exit(3)


def replays(
    folder: Path, replayer: Replayer, every: float, pause: Callable[[float], None] = time.sleep
) -> Iterator[Replay]:
    """A run's states as they come, replayed; ends with the run.

    Args:
        folder: what the job writes to.
        replayer: replays them.
        every: seconds between two looks.
        pause: waits.
    """
    from hf_ftrisk.replay.keep import keep_of

    last_state = None
    while True:
        state_file = newest(folder)
        mark = None if state_file is None else (state_file, state_file.stat().st_mtime_ns)
        if state_file is not None and mark != last_state:
            # A file that is being written is read at the next look.
            with suppress(ValueError, FileNotFoundError):
                record = _read(state_file, replayer)
                last_state = mark
                one = replayer.replay_record(record, state_file.relative_to(folder).as_posix())
                # A callback's report may lie elsewhere than the checkpoints.
                beside = folder / WATCH_FILE if state_file.name == WATCH_FILE else state_file
                one = replace(one, keep=keep_of(one.record, one.goal, beside))
                yield one
                if one.record.status != "running":
                    return
        pause(every)


def newest(folder: Path) -> Path | None:
    """The newest state below a folder: a checkpoint's, or a callback's report."""
    files = [*folder.glob("*/trainer_state.json"), *folder.glob("trainer_state.json")]
    files += [*folder.glob(WATCH_FILE), *folder.glob(f"*/{WATCH_FILE}")]
    times: list[tuple[float, Path]] = []
    for file in files:
        with suppress(FileNotFoundError):  # a checkpoint that was just rotated away
            times.append((file.stat().st_mtime, file))
    return max(times)[1] if times else None


def _read(file: Path, replayer: Replayer) -> RunRecord:
    if file.name != WATCH_FILE:
        return replayer.read(file)[0]
    from hf_ftrisk.report import RiskReport

    run = RiskReport.load(file).run
    if run is None:
        raise ValueError(f"{file} holds no run")
    return run


def _drawn(replay: Replay) -> None:
    from hf_ftrisk.replay.screen import plot_text
    from hf_ftrisk.replay.text import replay_text
    from hf_ftrisk.text import visible

    screen = this_screen()
    if screen is None:
        typer.echo(visible(_line(replay)))
        return
    plot = plot_text(replay, width=min(screen.width, 110), color=screen.color)
    clear = _CLEAR if os.environ.get("TERM") != "dumb" else ""
    typer.echo(f"{clear}{plot}\n{visible(replay_text(replay))}")


def _line(replay: Replay) -> str:
    """One line a state, for logs."""
    from hf_ftrisk.report.wording import value

    record, goal = replay.record, replay.goal
    text = f"step {record.last_step} of {record.max_steps}"
    if replay.looks:
        look = replay.looks[-1]
        text += (
            f"; {goal.metric} {'-' if look.observed is None else value(look.observed, goal)}; "
            f"forecast {value(look.median, goal)} "
            f"(90 %: {value(look.low, goal)} to {value(look.high, goal)})"
        )
        if look.prob_good is not None:
            text += f"; P(good) {look.prob_good:.2f}"
    if replay.stopped_at is not None:
        text += f"; would have been stopped at step {replay.stopped_at}"
    if replay.outcome is not None:
        text += f"; ended at {value(replay.outcome, goal)}"
    return text


def _json_line(replay: Replay) -> None:
    typer.echo(json.dumps(replay.to_dict(), ensure_ascii=False, allow_nan=False))
