"""The command `hf-ftrisk`. Commands parse and print; other packages do the work."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from hf_ftrisk._version import __version__
from hf_ftrisk.cli.demo import app as demo_app
from hf_ftrisk.cli.doctor import app as doctor_app
from hf_ftrisk.cli.follow import app as follow_app
from hf_ftrisk.cli.group import Commands, print_json, told_errors
from hf_ftrisk.cli.history import app as history_app
from hf_ftrisk.cli.rank import app as rank_app
from hf_ftrisk.cli.replay_command import app as replay_app
from hf_ftrisk.cli.run import app as run_app

app = typer.Typer(
    name="hf-ftrisk",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(history_app, name="history")
app.add_typer(replay_app)
app.add_typer(follow_app)
app.add_typer(doctor_app)
app.add_typer(rank_app)
app.add_typer(run_app)
app.add_typer(demo_app)

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
    """How a Hugging Face fine-tune will end, told before and early in the run.

    Example: `hf-ftrisk replay --example sound` shows it on a recorded run.
    """
    # A metric's name in letters the terminal has not got is no reason to fail. The standard output
    # of a script that is run stays its own.
    if context.invoked_subcommand != "run" and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@app.command(no_args_is_help=True)
def report(
    path: Annotated[
        Path, typer.Argument(metavar="REPORT", help="A saved report, such as preflight.json.")
    ],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a saved report. JSON and Markdown leave out what should stay on this machine.

    Left out are paths, names, tokens, and settings that are not declared as shared.

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
    repo: Annotated[str, typer.Argument(metavar="REPO", help="Model on the Hub, owner/name.")],
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
