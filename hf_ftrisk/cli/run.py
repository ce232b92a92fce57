"""`hf-ftrisk run`: options in, the script run, its status and reports out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hf_ftrisk.cli.group import print_json
from hf_ftrisk.cli.replay_command import Kind

if TYPE_CHECKING:
    from hf_ftrisk.report import RiskReport
    from hf_ftrisk.run.options import RunOptions
    from hf_ftrisk.run.outcome import Ended

app = typer.Typer()


@app.command(
    # What follows the target is the script's own, options included.
    context_settings={"allow_extra_args": True, "allow_interspersed_args": False},
    no_args_is_help=True,
)
def run(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET [ARGS]...",
            help="Training script, with -m a module, or a command that trains, such as "
            "'torchrun' or 'trl'; its arguments follow.",
        ),
    ],
    module: Annotated[
        bool, typer.Option("-m", "--module", help="TARGET is a module, as with `python -m`.")
    ] = False,
    preflight: Annotated[
        bool,
        typer.Option("--preflight/--no-preflight", help="Probe each Trainer before it trains."),
    ] = True,
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Forecast each training while it runs.")
    ] = True,
    goal: Annotated[
        list[str] | None,
        typer.Option(
            help="What makes a run good, such as 'eval_loss<=1.2'; may be repeated: a Trainer "
            "takes the first that it evaluates. If not given, the metric it keeps its best model "
            "by, else eval_loss."
        ),
    ] = None,
    kind: Kind = None,
    budget: Annotated[
        float, typer.Option(help="Share of the run's steps the pre-flight may spend.")
    ] = 0.05,
    seeds: Annotated[int, typer.Option(help="Probe runs of the pre-flight.")] = 3,
    finish: Annotated[
        Literal["gain", "goal", "anneal"] | None,
        typer.Option(
            help="End a run that has nothing more to gain (gain), or has reached its target "
            "(goal), or cool it down first (anneal)."
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Gain that is too small to train on for, in the metric's units."),
    ] = None,
    action: Annotated[
        Literal["stop", "warn"],
        typer.Option(help="On a no-go or a poor run: end it, or only say so."),
    ] = "stop",
    rule: Annotated[
        str,
        typer.Option(
            help="Stopping rule by name, such as 'calibrated'; any other name lists them."
        ),
    ] = "calibrated",
    report_dir: Annotated[
        Path | None, typer.Option(help="Folder to write the reports to, as JSON.")
    ] = None,
    history: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Run history to forecast from and to add to: a file, the one kept by 'default', "
            "or 'off'.",
        ),
    ] = "default",
    json_output: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print status and reports as JSON; what the script prints goes to standard error.",
        ),
    ] = False,
) -> None:
    """Run a training script or command unchanged, with every Trainer in it probed and watched.

    Exit status: 0 finished, 1 it failed by itself, 2 wrong usage, 3 no-go or stopped as poor.
    The standard output is the script's own: with --report-dir the reports are written to files.
    With --json it holds one JSON document alone, once the script has ended, and the script's goes
    to standard error.

    Example: `hf-ftrisk run --goal "eval_accuracy>=0.85" --report-dir reports train.py --seed 1`
    """
    from hf_ftrisk.errors import ScriptNotFoundError
    from hf_ftrisk.extras import require
    from hf_ftrisk.goal import Goal
    from hf_ftrisk.run.options import RunOptions

    require("train")
    try:
        options = RunOptions(
            preflight=preflight,
            watch=watch,
            goals=tuple(Goal.parse(text, kind=kind) for text in goal or ()),
            kind=kind,
            budget=budget,
            seeds=seeds,
            action=action,
            rule=rule,
            finish=finish,
            tolerance=tolerance,
            report_dir=report_dir,
            history="default" if history == "default" else Path(history),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        ended = _run(target, context.args, module, options, as_json=json_output)
    except ScriptNotFoundError as error:
        raise typer.BadParameter(str(error), param_hint="TARGET") from error
    raise typer.Exit(ended.status)


def _run(
    target: str, args: Sequence[str], module: bool, options: RunOptions, *, as_json: bool
) -> Ended:
    """Run it, and print what was found as JSON if that is asked for."""
    from hf_ftrisk.run.command import find_command, run_command
    from hf_ftrisk.run.script import run_program
    from hf_ftrisk.run.terminal import is_first_process, stdout_apart

    # Of ranks that a launcher outside has started, the first alone prints.
    ours = stdout_apart() if as_json else None
    command = None if module else find_command(target)
    if command is None:
        ended = run_program(target, args, module=module, options=options)
    else:
        ended = run_command([command, *args], options)
    if ours is not None and is_first_process():
        print_json(_output(ended), ours)
        ours.flush()
    return ended


def _output(ended: Ended) -> dict[str, Any]:
    """As JSON, without what should stay on the machine."""
    from hf_ftrisk.hub.clean import clean_report

    def cleaned(report: RiskReport | None) -> dict[str, Any] | None:
        return None if report is None else clean_report(report).to_dict()

    trainings = [
        {
            "training": one.training,
            "preflight": cleaned(one.preflight),
            "watch": cleaned(one.watch),
        }
        for one in ended.trainings
    ]
    return {"status": ended.status, "trainings": trainings}
