"""`hf-ftrisk replay`: its options."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_ftrisk.cli.group import told_errors
from hf_ftrisk.goal.metric_names import MetricKind

if TYPE_CHECKING:
    from hf_ftrisk.cli.replay import Screen

app = typer.Typer()

Kind = Annotated[
    MetricKind | None,
    typer.Option(
        metavar="KIND",
        help="Range of the goal's metric: rate [0, 1], percent [0, 100], correlation [-1, 1], "
        "loss above 0, real. If not given, from its name and values.",
    ),
]


@app.command(no_args_is_help=True)
def replay(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH",
            help="A trainer_state.json, TensorBoard event file or CSV export (W&B); a folder of "
            "runs or checkpoints; or a model on the Hub, owner/name.",
            show_default=False,
        ),
    ] = None,
    example: Annotated[
        bool,
        typer.Option("--example", help="PATH names a recorded example; without PATH, list them."),
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write one interactive page, which needs no network.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="A good run's file, to set this run beside.")
    ] = None,
    at: Annotated[
        list[float] | None,
        typer.Option(help="Depth to forecast at, as a share of the run; may be repeated."),
    ] = None,
    goal: Annotated[
        str | None,
        typer.Option(
            help="What makes a run good, such as 'eval_accuracy>=0.85'; if not given, an accuracy, "
            "else another score, else eval_loss, against its trivial baseline."
        ),
    ] = None,
    kind: Kind = None,
    load_best: Annotated[
        bool, typer.Option("--load-best", help="The run keeps its best checkpoint, not its last.")
    ] = False,
    history: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Run history to forecast and to stop from: a file, the one kept by 'default', or "
            "'off'.",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Task of the history's runs, if it holds several.")
    ] = None,
    false_stop_rate: Annotated[
        float, typer.Option(help="Share of good runs that may be stopped.")
    ] = 0.05,
    rule: Annotated[
        str,
        typer.Option(
            help="Stopping rule by name, such as 'calibrated'; any other name lists them."
        ),
    ] = "calibrated",
    finish: Annotated[
        bool,
        typer.Option("--finish", help="Also show where the run would have been finished early."),
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Gain that is too small to train on for, in the metric's units; if not given, "
            "one point of a rate, 2 % of a loss."
        ),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Planned steps, for files that do not say them, such as CSV."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch or commit on the Hub; main if not given.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What would have been forecast of a run, when it would have been stopped, and how it ended.

    Needs the file alone: no model, no data, no torch. A folder of several runs gives a summary.

    Example: `hf-ftrisk replay --example sound`

    Example: `hf-ftrisk replay out/checkpoint-500 --goal "eval_accuracy>=0.85" --html out.html`
    """
    from hf_ftrisk.cli.replay import list_examples, run_replay

    if path is None:
        if not example:
            raise typer.BadParameter(
                "nothing to replay: give a file or a folder, or see `hf-ftrisk replay --example`"
            )
        typer.echo(list_examples())
        return
    with told_errors("See one that works with `hf-ftrisk replay --example sound`"):
        text = run_replay(
            None if example else path,
            example=path if example else None,
            other=compare,
            html=html,
            revision=revision,
            screen=this_screen(),
            max_steps=max_steps,
            shares=at,
            goal=goal,
            kind=kind,
            load_best=load_best,
            history=history,
            task=task,
            false_stop_rate=false_stop_rate,
            rule=rule,
            finish=finish,
            tolerance=tolerance,
            as_json=json_output,
        )
    typer.echo(text)


def this_screen() -> Screen | None:
    """The terminal on the standard output; None for a pipe, or letters it has not got."""
    from hf_ftrisk.cli.replay import Screen

    if not sys.stdout.isatty() or "utf" not in (sys.stdout.encoding or "").lower():
        return None
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Screen(shutil.get_terminal_size().columns, color=not plain)
