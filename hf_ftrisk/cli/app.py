"""The command `hf-ftrisk`. Commands parse and print; other packages do the work."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from hf_ftrisk._version import __version__
from hf_ftrisk.cli.doctor import app as doctor_app
from hf_ftrisk.cli.follow import app as follow_app
from hf_ftrisk.cli.group import Commands, print_json, told_errors
from hf_ftrisk.cli.history import app as history_app
from hf_ftrisk.cli.rank import app as rank_app
from hf_ftrisk.cli.replay_command import Kind
from hf_ftrisk.cli.replay_command import app as replay_app

app = typer.Typer(
    name="hf-ftrisk",
    cls=Commands,
    help="How a Hugging Face fine-tune will end, told before and early in the run.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(history_app, name="history")
app.add_typer(replay_app)
app.add_typer(follow_app)
app.add_typer(doctor_app)
app.add_typer(rank_app)

_NO_REPORT = "Reports are written by `hf-ftrisk run --report-dir reports train.py`"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hf-ftrisk {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """How a Hugging Face fine-tune will end, told before and early in the run."""
    # A metric's name in letters the terminal has not got is no reason to fail. The standard output
    # of a script that is run stays its own.
    if context.invoked_subcommand != "run" and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


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
            help="What makes a run good, such as 'eval_accuracy>=0.85'; may be repeated: a Trainer "
            "takes the first that it evaluates. If not given, its metric_for_best_model, else "
            "eval_loss."
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
) -> None:
    """Run a training script or command unchanged, with every Trainer in it probed and watched.

    Exit status: 0 finished, 1 it failed by itself, 2 wrong usage, 3 no-go or stopped as poor.
    With --report-dir the reports are there as JSON; the standard output is the script's own.

    Example: `hf-ftrisk run --goal "eval_accuracy>=0.85" --report-dir reports train.py --seed 1`
    """
    from hf_ftrisk.errors import ScriptNotFoundError
    from hf_ftrisk.extras import require
    from hf_ftrisk.goal import Goal
    from hf_ftrisk.run.command import find_command, run_command
    from hf_ftrisk.run.options import RunOptions
    from hf_ftrisk.run.script import run_program

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
            history=_history(history),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        command = None if module else find_command(target)
        if command is None:
            status = run_program(target, context.args, module=module, options=options)
        else:
            status = run_command([command, *context.args], options)
    except ScriptNotFoundError as error:
        raise typer.BadParameter(str(error), param_hint="TARGET") from error
    raise typer.Exit(status)


def _history(given: str) -> Path | Literal["default"] | None:
    if given == "off":
        return None
    return "default" if given == "default" else Path(given)


@app.command()
def demo(
    task: Annotated[
        Literal["text", "lm"],
        typer.Option(
            help="text: MiniLM on BBC News, a few minutes; lm: SmolLM2 with LoRA on "
            "question-answer pairs, about ten."
        ),
    ] = "text",
    folder: Annotated[
        Path, typer.Option("--out", help="Folder for reports, model cards and figures.")
    ] = Path("ftrisk-demo"),
) -> None:
    """Fine-tune a real model: one sound setting and two with a fault, judged before and early.

    Example: `hf-ftrisk demo --task text --out ftrisk-demo`
    """
    from hf_ftrisk.errors import MissingDemoPackageError
    from hf_ftrisk.extras import require

    require("train")
    from hf_ftrisk.demo.story import run_demo

    try:
        run_demo(task, folder)
    except MissingDemoPackageError as error:
        raise typer.BadParameter(str(error), param_hint="--task") from error


@app.command(no_args_is_help=True)
def report(
    path: Annotated[Path, typer.Argument(help="A saved report, such as preflight.json.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a saved report; as JSON or Markdown without what should stay on this machine.

    Example: `hf-ftrisk report reports/watch.json --markdown`
    """
    from hf_ftrisk.hub.clean import clean_report
    from hf_ftrisk.report import RiskReport
    from hf_ftrisk.report.terminal import show_report

    with told_errors(_NO_REPORT):
        loaded = RiskReport.load(path)
    if json_output:
        print_json(clean_report(loaded).to_dict())
    elif markdown:
        typer.echo(clean_report(loaded).to_markdown(), nl=False)
    else:
        show_report(loaded)


@app.command(no_args_is_help=True)
def publish(
    path: Annotated[Path, typer.Argument(metavar="REPORT", help="A saved report.")],
    repo: Annotated[str, typer.Argument(help="Model on the Hub, owner/name.")],
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Open a pull request instead of committing.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the change and what would be sent, send nothing."),
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch; main if not given.")] = None,
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public",
            help="Create the repository with this visibility if it does not exist.",
        ),
    ] = None,
    figure: Annotated[
        bool, typer.Option("--figure/--no-figure", help="Send the figure too.")
    ] = True,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put a report into a model's card on the Hub; the rest of the card stays as it is.

    Uses the token of `hf auth login` or of HF_TOKEN. Exit status: 1 when the Hub cannot be used;
    the files are then left in ftrisk/unsent.

    Example: `hf-ftrisk publish reports/watch.json me/model --dry-run`
    """
    from hf_ftrisk.hub.publishing import publish as publish_report
    from hf_ftrisk.report import RiskReport

    with told_errors(_NO_REPORT):
        published = publish_report(
            RiskReport.load(path),
            repo,
            create_pr=create_pr,
            dry_run=dry_run,
            revision=revision,
            private=private,
            figure=figure,
        )
    if json_output:
        print_json({**vars(published), "files": dict(published.files)})
        return
    if dry_run:
        typer.echo(published.diff or "the card stays as it is\n", nl=False)
    for name, size in published.files.items():
        typer.echo(f"{size:>10,} bytes  {name}")
    typer.echo(published.pr_url or published.commit_url if published.sent else "nothing was sent")


@app.command(no_args_is_help=True)
def card(
    place: Annotated[
        str,
        typer.Argument(
            metavar="REPO_OR_FILE",
            help="Model on the Hub, owner/name, or a card's file or folder.",
        ),
    ],
    revision: Annotated[
        str | None, typer.Option(help="Branch or commit on the Hub; main if not given.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the prediction that a model card holds, and the outcome once it is known.

    Exit status: 1 when the Hub cannot be used, 2 for a card without a prediction.

    Example: `hf-ftrisk card me/model --json`
    """
    from hf_ftrisk.cli.card import card_text
    from hf_ftrisk.hub.metadata import CardMetadata

    with told_errors():
        prediction = CardMetadata.from_card(place, revision=revision)
    if json_output:
        print_json(prediction.to_dict())
    else:
        typer.echo(card_text(prediction))


def main() -> None:
    """Entry point of the console script and of `python -m hf_ftrisk`."""
    app()
